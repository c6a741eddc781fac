"""Records that hold other records: taken out of their wrapping, then read in their own format."""

from collections import Counter
from collections.abc import Callable

import msgspec
import numpy as np

from schemas.masking import masked
from streams.formats.columns import Batch, Parsed, Parser, Reading, Reject
from streams.formats.json import TIMES
from streams.formats.limits import Refused
from streams.formats.verdict import FAULTS, verdict

Unwrap = Callable[[bytes, Reading], list[bytes]]  # raises what FAULTS says
NONE = msgspec.Raw(b"")
Moments = msgspec.defstruct("Moments", [(name, msgspec.Raw, NONE) for name in TIMES])
MOMENTS = msgspec.json.Decoder(Moments)


def read_inside(
    batch: Batch, reading: Reading, unwrap: Unwrap, inner: Parser, *, empty: str = ""
) -> Parsed:
    """Read what `unwrap` finds in each record with `inner`.

    `empty` is the reason under which an empty record is left out, where it has a meaning.
    """
    values: list[bytes] = []
    of: list[int] = []  # which record each is of
    rejects: list[Reject] = []
    skips: Counter[str] = Counter()
    limit = reading.limits.record_bytes
    for index, raw in enumerate(batch.values):
        if not raw and empty:
            skips[empty] += 1
            continue
        try:
            if len(raw) > limit:
                raise Refused("too-large", f"{len(raw)} bytes, {limit} allowed")
            if not raw:
                raise Refused("empty", "the record is empty")
            found = unwrap(raw, reading)
        except FAULTS as error:
            rule, reason, _ = verdict(error)
            rejects.append(Reject(index, rule, masked(reason)))
            continue
        if not found:
            skips["nothing-inside"] += 1
        values += found
        of += [index] * len(found)
    place = np.array(of, np.int64)
    parsed = inner(Batch(values, batch.arrived[place], batch.now[place], batch.service), reading)
    rejects += [reject._replace(record=of[reject.record]) for reject in parsed.rejects]
    return parsed._replace(rejects=_merged(rejects), skips=parsed.skips + skips)


def _merged(rejects: list[Reject]) -> list[Reject]:
    """One letter a record and rule."""
    found: dict[tuple[int, str], Reject] = {}
    for reject in rejects:
        key = reject.record, reject.rule
        before = found.get(key)
        if before is not None:
            both = Counter(dict(before.services)) + Counter(dict(reject.services))
            elements = before.elements + reject.elements
            reject = before._replace(elements=elements, services=tuple(both.items()))  # noqa: PLW2901 - it takes the other's place
        found[key] = reject
    return [found[key] for key in sorted(found)]


def timed(data: bytes, at: str | int) -> bytes:
    """A JSON object, with the time `at` if it has none of its own."""
    if not data.startswith(b"{"):
        return data
    found = MOMENTS.decode(data)
    if any(bytes(getattr(found, name)) for name in TIMES):
        return data
    rest = data[1:].lstrip()
    comma = b"" if rest.startswith(b"}") else b","
    return b'{"at":' + msgspec.json.encode(at) + comma + rest
