"""Elements of records that are lines of text, by a walk along them."""

import json
import re
from collections.abc import Callable

from tests.streams.formats.elements import Reader, Unit, Units, UntoldError

ESCAPE, QUOTE, SPACE, COMMA, EQUALS, NEWLINE = (ord(c) for c in '\\" ,=\n')
NAMED = re.compile(r'\S+ "[^"\\]*" ([^"]*)')
DATE = "0000-00-00T"


def lines(raw: bytes) -> list[bytes]:
    """The lines that are not blank; not told where carriage returns stand alone."""
    if b"\r" in raw.replace(b"\r\n", b""):
        raise UntoldError
    return [line for line in raw.split(b"\n") if line.strip()]


def each(weigh: Callable[[str], Unit]) -> Reader:
    """A reader of lines of UTF-8; one that is not is a unit all the same."""

    def read(raw: bytes) -> Units:
        return [_weighed(line, weigh) for line in lines(raw)]

    return read


def _weighed(line: bytes, weigh: Callable[[str], Unit]) -> Unit:
    try:
        return weigh(line.decode())
    except UnicodeDecodeError:
        return Unit()


def one(_: str) -> Unit:
    """A line that is one element."""
    return Unit()


def single(_: bytes) -> Units:
    """A record that is one element, whatever is in it."""
    return [Unit()]


def text(raw: bytes) -> Units:
    """Plain lines, or a record that is one text in JSON."""
    if raw.startswith(b'"') and raw.rstrip().endswith(b'"'):
        return [Unit()] if isinstance(json.loads(raw.decode()), str) else []
    return [Unit() for _ in lines(raw)]


def putval(line: str) -> Unit:
    """A command of collectd's: each value behind a time is an element."""
    if '"' in line:
        found = NAMED.fullmatch(line.strip())
        if not found:
            raise UntoldError
        words = found[1].split()
    else:
        words = line.split()[2:]
    values = [value for word in words if "=" not in word for value in word.split(":")[1:]]
    return Unit(max(1, len(values)), values.count("U"))


def exposition(raw: bytes) -> Units:
    """Samples and their exemplars, a sample a line; comments are none."""
    found = []
    for line in lines(raw):
        said = line.lstrip()
        if said[:1].isascii() and said[0] <= SPACE:
            raise UntoldError
        unit = _weighed(line, _exposed)
        if unit.elements:
            found.append(unit)
    return found


def _exposed(line: str) -> Unit:
    """A sample; what stands behind a # outside of quotes is an exemplar. Nothing of a comment."""
    if line.lstrip().startswith("#"):
        return Unit(0)
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', "", line)
    if '"' in outside:
        raise UntoldError
    return Unit(1 + ("#" in outside), int("#" in outside))


def influx(raw: bytes) -> Units:
    """Line protocol: each field of a line is an element, and so is a comment."""
    if b"\r" in raw.replace(b"\r\n", b""):
        raise UntoldError
    found, at = [], 0
    while at < len(raw):
        start = at
        at, fields, texts = _measured(raw, at)
        line = raw[start:at]
        if line.strip():
            found.append(_protocol(line, fields, texts))
        at += 1
    return found


def _protocol(line: bytes, fields: int, texts: int) -> Unit:
    given = line.lstrip()
    if given[0] <= SPACE or not given[:1].isascii():
        raise UntoldError
    if given.startswith(b"#"):
        return Unit(1, 1)
    try:
        line.decode()
    except UnicodeDecodeError:
        return Unit()
    return Unit(max(1, fields), texts)


def _measured(raw: bytes, at: int) -> tuple[int, int, int]:
    """Where a line ends that begins at `at`, its fields, and which of these are text."""
    if raw[at:].lstrip(b" \t").startswith(b"#"):
        return _commented(raw, at), 0, 0
    at += len(raw[at:]) - len(raw[at:].lstrip(b" \t"))
    fields = texts = part = 0  # parts: what names the series, fields, a time
    while at < len(raw) and raw[at] != NEWLINE:
        letter = raw[at]
        if letter == ESCAPE:
            if raw[at + 1 : at + 2] in {b"\n", b"\r", b""}:
                raise UntoldError
            at += 1
        elif letter == SPACE:
            part += 1
            fields += part == 1
        elif part == 1 and letter == COMMA:
            fields += 1
        elif letter == QUOTE and part:
            if part > 1 or raw[at - 1] != EQUALS:
                raise UntoldError
            at = _closing(raw, at)
            texts += 1
        at += 1
    return at, fields, texts


def _commented(raw: bytes, at: int) -> int:
    """Where the comment ends that begins at `at`."""
    end = raw.find(b"\n", at)
    end = end if end >= 0 else len(raw)
    if b'"' in raw[at:end]:
        raise UntoldError  # whether it may hold a text of several lines is not said
    return end


def _closing(raw: bytes, at: int) -> int:
    """Where the text ends whose quote is at `at`."""
    at += 1
    while at < len(raw) and raw[at] != QUOTE:
        at += 2 if raw[at] == ESCAPE else 1
    if raw[at : at + 1] != b'"' or raw[at + 1 : at + 2] not in {b"", b",", b" ", b"\n", b"\r"}:
        raise UntoldError
    return at


def messages(begins: Callable[[str], bool]) -> Reader:
    """A reader of messages, each of which is the line that begins it and those behind it."""

    def read(raw: bytes) -> Units:
        found, follows = 0, False
        for line in lines(raw):
            try:
                said = line.decode()
            except UnicodeDecodeError:
                found, follows = found + 1, False
                continue
            if not follows or begins(said):
                found += 1
            follows = True
        return [Unit() for _ in range(found)]

    return read


def priority(line: str) -> bool:
    """Whether a line begins with syslog's priority."""
    number = line[1:5].partition(">")
    return line.startswith("<") and bool(number[1]) and number[0].isdecimal()


def stamped(line: str) -> bool:
    """Whether a line begins with a time and a host; not told of what is almost one."""
    words = line.split(" ")
    if any(word.split() != [word] for word in words[:2]):
        raise UntoldError  # a space that is none of ASCII's
    if len(words) > 2 and dated(words[0]) and words[1]:
        return True
    if line[:1].isdecimal() or line[:1].isupper():
        raise UntoldError
    return False


def dated(word: str) -> bool:
    """Whether a word is of a date and a time."""
    shape = "".join("0" if c.isdecimal() else c for c in word[: len(DATE)])
    return shape == DATE and len(word) > len(DATE)


def container(raw: bytes) -> Units:
    """A container's log: a line, or the parts of one in the order of its stream."""
    found = 0
    open_streams: set[str] = set()
    for line in lines(raw):
        try:
            parts = line.decode().split(" ", 3)
        except UnicodeDecodeError:
            found += 1
            continue
        if any(part.split() != [part] for part in parts[:3]):
            raise UntoldError  # a space that is none of ASCII's
        flag = parts[2].partition(":")[0] if len(parts) > 2 else ""
        if not dated(parts[0]) or parts[1:2] not in (["stdout"], ["stderr"]) or not flag:
            if len(parts) > 2 and parts[0][:4].isdecimal():
                raise UntoldError
            found += 1
        elif flag not in {"P", "F"}:
            raise UntoldError
        else:
            found += parts[1] not in open_streams
            (open_streams.discard if flag == "F" else open_streams.add)(parts[1])
    return [Unit() for _ in range(found)]
