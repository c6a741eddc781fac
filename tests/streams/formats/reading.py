"""What the tests of formats share: a batch at a fixed time, and what came of it."""

import numpy as np

from streams.formats import FORMATS
from streams.formats.avro_schema import Schema, compiled
from streams.formats.columns import Batch, Parsed, Reading
from streams.formats.limits import Limits, Refused
from streams.formats.series import SeriesIndex

NOW = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
AT = "2026-01-02T03:04:05.678Z"


class Shelf:
    """Schemas by their number, without a registry."""

    def __init__(self, schemas: dict[int, str]) -> None:
        self._schemas = {number: compiled(text) for number, text in schemas.items()}

    def schema(self, number: int) -> Schema:
        """The schema, if it is on the shelf."""
        if number not in self._schemas:
            raise Refused("unknown-schema", f"the registry has no schema {number}")
        return self._schemas[number]


EVENT = """{"type":"record","name":"Event","namespace":"com.shop","fields":[
{"name":"service","type":"string"},{"name":"metric","type":["null","string"]},
{"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
{"name":"value","type":["null","double"]},{"name":"labels","type":{"type":"map","values":"string"}},
{"name":"tags","type":{"type":"array","items":"int"},"default":[]}]}"""
SCHEMAS = Shelf({7: EVENT})


def reading(**limits: object) -> Reading:
    """Limits and an index that knows nothing."""
    chosen = Limits.model_validate(limits)
    return Reading(chosen, SeriesIndex(chosen), SCHEMAS)


def parsed(
    name: str,
    *values: bytes,
    using: Reading | None = None,
    service: str = "",
    arrived: int = NOW,
    now: int = NOW,
) -> Parsed:
    """A batch, read in the format `name`."""
    clock = np.full(len(values), now, np.int64)
    batch = Batch(values, np.full(len(values), arrived, np.int64), clock, service)
    return FORMATS[name](batch, using or reading())


def samples(result: Parsed, using: Reading) -> list[tuple[str, int, float]]:
    """Series, time and value of each sample."""
    columns = result.samples
    return [
        (using.series.names[code], at, value)
        for code, at, value in zip(
            columns.code.tolist(), columns.at.tolist(), columns.value.tolist(), strict=True
        )
    ]


def rules(result: Parsed) -> list[tuple[int, str]]:
    """Which record broke which rule."""
    return [(reject.record, reject.rule) for reject in result.rejects]
