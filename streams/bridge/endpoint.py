"""What an address of the bridge takes: formats by content type, raw topics, ways to answer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from schemas.topics import Topic
from streams.bridge.refusal import RefusedRequest
from streams.formats.columns import TOLD, Fault, Native
from streams.formats.limits import quoted


class Content(NamedTuple):
    """What a request says its body is."""

    format: str  # by the names of streams/formats
    media: str  # for the record's header, as a reader of the topic finds it over HTTP


class Result(NamedTuple):
    """What is in a request that Kafka has; elements are samples and lines."""

    samples: int  # that go on to frames
    lines: int
    left_out: Mapping[str, int]  # taken, but in no frame: by reason
    refused: int
    faults: Sequence[Fault]  # the first of the refused
    native: Native = Native()

    @property
    def accepted(self) -> int:
        """Elements that were not refused."""
        return self.samples + self.lines + sum(self.left_out.values())


class Route(NamedTuple):
    """Where in Kafka what an address takes goes, and which of the two it takes."""

    topic: Topic
    samples: bool = False
    lines: bool = False
    lines_alone: Topic | None = None  # for bodies without samples; None: the same topic
    # What a body that is refused whole says of the other address, of its format; "": it is right
    elsewhere: Callable[[str, bytes], str] = lambda _, __: ""


@dataclass(frozen=True)
class Document:
    """What the OpenAPI document says of an address beside what all share."""

    description: str
    bodies: Mapping[str, Any]  # content type -> media type object
    answers: Mapping[int, tuple[str, Mapping[str, Any]]]  # status -> what it means, what it holds
    parameters: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Endpoint:
    """An address of the bridge."""

    path: str
    takes: str  # one line for a person
    route: Route
    encodings: tuple[str, ...]  # of Content-Encoding; the format itself may be packed besides
    content: Callable[[Request], Content]  # raises RefusedRequest
    accepted: Callable[[Request, Content, Result], Response]
    refused: Callable[[Request, RefusedRequest], Response]
    document: Document
    busy: int = 429  # 503 where the sender takes 429 for a verdict on its data
    nothing_is_fine: bool = False  # a request without any element


def media_type(request: Request) -> tuple[str, dict[str, str]]:
    """The request's content type in lower case, and its parameters."""
    media, _, rest = request.headers.get("content-type", "").partition(";")
    pairs = (part.strip().partition("=")[::2] for part in rest.split(";") if part.strip())
    return media.strip().lower(), {name.lower(): value.strip('"') for name, value in pairs}


def encoding(request: Request, allowed: Sequence[str]) -> str:
    """The request's Content-Encoding, one of `allowed`. Raises RefusedRequest with 415."""
    named = request.headers.get("content-encoding", "").strip().lower() or "identity"
    if named not in allowed:
        said = f"Content-Encoding must be {' or '.join(allowed)}, not {quoted(named, 80)}"
        raise RefusedRequest(415, "bad-encoding", said)
    return named


def in_one_line(faults: Sequence[Fault], refused: int) -> str:
    """Faults in one line, one a rule with how many more there are like it."""
    first: dict[str, Fault] = {}
    for fault in faults:
        first.setdefault(fault.rule, fault)
    parts = [f"{fault.rule}: {_placed(fault)}" for fault in first.values()]
    more = refused - len(first)
    return "; ".join(parts) + (f" (and {more} more)" if more > 0 else "")


def _placed(fault: Fault) -> str:
    return fault.reason if fault.element < 0 else f"element {fault.element}: {fault.reason}"


def refused_elements(result: Result) -> int:
    """Distinct elements among the refused, as far as they were told one by one."""
    if len(result.faults) < TOLD:
        return len({(fault.record, fault.element) for fault in result.faults})
    return result.refused
