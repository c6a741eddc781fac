"""Redaction: secrets and personal data stay in the raw topics; nothing that intake writes has them.

Log lines are looked at as a batch (suspects.py) and only what is suspect is masked. Labels,
metrics and services are masked when they are named, which happens once a label set. A dead
letter has its record masked; where a record cannot be masked, because it is binary or packed,
it is kept when nothing is found in it and withheld otherwise: the raw topic still has it.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from schemas.masking import STEPS, masked
from streams.formats.columns import LineColumns
from streams.formats.series import METRIC, named
from streams.intake.packed import NotPacked, unpacked
from streams.intake.redaction_settings import RedactionSettings, any_of
from streams.intake.suspects import suspects

HASH_BYTES = 8  # a thousand million values have two of one hash with 3 %
LABELS_CACHED = 100_000
WINDOW = 4096  # of a text that is cut: so much more is looked at, so that no half a secret stays
KEY_LINES = 200  # of a private key that was logged line by line, at most
KEY_SOURCES = 1000
BODY = re.compile(
    r"=?[A-Za-z0-9+/]{1,76}={0,2}|(?:Proc-Type|DEK-Info|Version|Comment|Hash): .{1,100}"
)
BEGINS, ENDS = re.compile(r"PRIVATE KEY(?: BLOCK)?-----"), "-----END"
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")  # what no text has
PIECES = re.compile(r"[^\x00-\x1f\"\x7f]{6,}")  # of a binary record: its strings
QUOTE = re.compile(r"(['\"]).*\1", re.DOTALL)
# A label's whole name: `secret` alone is left out, since in Kubernetes it is the name of one
SECRET_LABEL = re.compile(
    r"(?:.*[._-])?(?:passw(?:or)?d|passwd|pwd|passphrase|token|credentials?|(?:set-)?cookie"
    r"|authorization|sess(?:ion_?)?id|cvv2?|cvc2?|otp(?:[-_]code)?"
    r"|(?:api|access|account|private|secret|encryption|signing|master)[-_]?key"
    r"|(?:client|app|shared|access|api)[-_]?secret)|\w*(?:Token|Password|ApiKey|SecretKey)",
    re.IGNORECASE,
)
WITHHELD = "; the original holds what is masked: it is left in the raw topic alone"


class Shown(NamedTuple):
    """A dead letter's record and reason, as they may be kept."""

    original: bytes
    reason: str


class Redaction:
    """What the settings say, done."""

    def __init__(self, settings: RedactionSettings, decoded_bytes: int) -> None:
        self._kinds = settings.kinds
        self._wanted = sum(1 << n for n, s in enumerate(STEPS) if s.kind in self._kinds)
        self._dropped, self._hashed = any_of(settings.drop_labels), any_of(settings.hash_labels)
        hidden = settings.drop_labels + settings.hash_labels
        self._hidden = _mention_of(hidden) if hidden else None
        secret = settings.hash_key.get_secret_value().encode()
        self._key = hashlib.blake2b(secret).digest()
        self._decoded_bytes = decoded_bytes
        self._keys: dict[tuple[str, str], int] = {}  # sources within a private key -> lines left
        self.label = lru_cache(LABELS_CACHED)(self._label)
        self._fate = lru_cache(LABELS_CACHED)(self._fate_of)

    # ---- log lines

    def lines(self, lines: LineColumns) -> LineColumns:
        """The lines with their texts masked."""
        if not self._wanted or not lines.text:
            return lines
        bits = suspects(lines.text, self._wanted)
        chosen = np.flatnonzero(bits).tolist()
        if not chosen and not self._keys:
            return lines
        text = list(lines.text)
        for i in chosen:
            text[i] = _stepped(text[i], int(bits[i]))
        if "token" in self._kinds and (
            self._keys or any(map(BEGINS.search, (lines.text[i] for i in chosen)))
        ):
            self._key_bodies(lines, text)
        return lines._replace(text=text)

    def _key_bodies(self, lines: LineColumns, text: list[str]) -> None:
        """Mask the lines of private keys that were logged as a line each."""
        for i, said in enumerate(lines.text):
            source = lines.service[i], lines.labels[i]
            left = self._keys.get(source, 0)
            if left and ENDS in said:
                del self._keys[source]
            elif left:
                if BODY.fullmatch(said.strip()):
                    text[i] = "<secret>"
                if left > 1:
                    self._keys[source] = left - 1
                else:
                    del self._keys[source]
            if ENDS not in said and BEGINS.search(said):
                if len(self._keys) >= KEY_SOURCES:
                    self._keys.clear()
                self._keys[source] = KEY_LINES

    # ---- labels, and what else names a series

    def _label(self, name: str, value: str) -> str:
        """The value that a label may be seen with; empty when the label is to go.

        A metric is the label `__name__`, as in Prometheus: it is masked, whatever is dropped.
        """
        match self._fate(name):
            case "drop":
                return ""
            case "hash":
                said = value.encode(errors="surrogatepass")
                return hashlib.blake2b(said, key=self._key, digest_size=HASH_BYTES).hexdigest()
            case "secret":
                return "<secret>"
        return masked(value, self._kinds)

    def _fate_of(self, name: str) -> str:
        if name == METRIC:
            return "mask"
        plain = named(name) if name else ""
        for pattern, fate in ((self._dropped, "drop"), (self._hashed, "hash")):
            if pattern.fullmatch(name) or pattern.fullmatch(plain):
                return fate
        if masked(name, self._kinds) != name:
            return "drop"  # a name that is a secret itself
        return "secret" if "token" in self._kinds and SECRET_LABEL.fullmatch(name) else "mask"

    # ---- dead letters

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """A record's headers, masked as labels are."""
        shown = {name: self.label(name, value) for name, value in headers.items()}
        return {name: value for name, value in shown.items() if value}

    def letter(self, value: bytes, reason: str, kept: int, *, packed: bool) -> Shown:
        """The first `kept` bytes of a record, masked or withheld, and the reason for its letter.

        `packed` says that it is of a format whose records are compressed.
        """
        if self._hidden and self._hidden.search(value.decode("latin-1")):
            return Shown(b"", QUOTE.sub("<hidden>", reason) + WITHHELD)
        if not self._wanted:
            return Shown(value[:kept], reason)
        text = _text(value)
        if text is not None:
            return Shown(self._cut(text, kept), reason)
        if self._found(value[: kept + WINDOW]) or self._found_inside(value, packed=packed):
            return Shown(b"", reason + WITHHELD)
        return Shown(value[:kept], reason)

    def _cut(self, text: str, kept: int) -> bytes:
        """Masked, then cut, so that no half of a secret is left."""
        window = text[: kept + WINDOW]
        shown = _stepped(window, int(suspects([window], self._wanted)[0]))
        if len(text) > len(window):
            shown = shown[:-WINDOW]
        return shown.encode()[:kept]

    def _found_inside(self, value: bytes, *, packed: bool) -> bool:
        try:
            return self._found(unpacked(value, self._decoded_bytes, plain=not packed))
        except NotPacked:
            return False
        except ValueError:
            return True  # nobody can say what is in it

    def _found(self, value: bytes) -> bool:
        """Whether there is anything to mask in bytes that are no text.

        In front of a string stands its length, which may look like a letter of it.
        """
        text = value.decode("latin-1")
        pieces = [text, *PIECES.findall(text)]
        pieces += [piece[skip:] for piece in pieces[1:] for skip in (1, 2)]
        bits = suspects(pieces, self._wanted)
        return any(
            _stepped(pieces[i], int(bits[i])) != pieces[i] for i in np.flatnonzero(bits).tolist()
        )


def _stepped(text: str, bits: int) -> str:
    for number, step in enumerate(STEPS):
        if bits >> number & 1:
            text = step.mask(text)
    return text


def _text(value: bytes) -> str | None:
    """The value as text; None for what is none."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return None if CONTROLS.search(text) else text


def _mention_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What finds such a label's name anywhere in a record."""
    names = [re.escape(p).replace(r"\*", r"[\w.:/-]*").replace(r"\?", ".") for p in patterns]
    return re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(names)})", re.IGNORECASE)
