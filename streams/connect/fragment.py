"""Settings for what was recognised, as a file that a person reads before using it.

Only what is sure or likely becomes a setting; the others stand there as comments with what
speaks for what, so that putting one right means taking a `#` away.
"""

import json
import secrets
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

from schemas.errors import Rejected
from streams.connect.recognise import Found

WIDE = 92  # characters of a comment
NO_TOPICS: Mapping[str, str] = MappingProxyType({})
Recognised = tuple[str, Found]  # topic, as settings name it


def fragment(
    found: Iterable[Recognised],
    head: Iterable[str],
    registry: str = "",
    own: Mapping[str, str] = NO_TOPICS,
) -> str:
    """The file. Raises Rejected when there is nothing to set.

    `own` are topics that are to be read in any case, with their formats.
    """
    topics = list(found)
    known = [(name, each) for name, each in topics if each.format]
    if not known:
        raise Rejected("no topic was recognised, so there are no settings to write")
    top = [line for said in head for line in comments(said)]
    read = {name: each for name, each in own.items() if name not in dict(known)}
    return "\n".join([*top, *_intake(topics, registry, read)]) + "\n"


def _intake(topics: list[Recognised], registry: str, own: Mapping[str, str]) -> Iterator[str]:
    yield "intake:"
    yield "  topics:"
    for name, found in topics:
        said = "; ".join(found.reasons), *(f"beware: {warning}" for warning in found.warnings)
        for part in (f"{found.certainty}: {said[0]}", *said[1:]):
            yield from (f"    {line}" for line in comments(part))
        if found.format:
            yield f"    {scalar(name)}: {scalar(found.format)}"
        else:
            choice = " or ".join(found.candidates) or "?"
            yield f"    # {scalar(name)}: {choice}"
    if own:
        yield "    # Sentinel's own, where `sentinel bridge` puts what comes over HTTP"
    for name, each in own.items():
        yield f"    {scalar(name)}: {scalar(each)}"
    services = [(name, found.service) for name, found in topics if found.format and found.service]
    if services:
        yield "  services:  # of records that name none: check them"
    for name, service in services:
        yield f"    {scalar(name)}: {scalar(service)}"
    if registry and any(found.format.partition("@")[0] == "avro" for _, found in topics):
        yield "  registry:"
        yield f"    url: {scalar(registry)}"


def comments(text: str) -> list[str]:
    """The text as lines of comment: what came from records cannot end them."""
    said = "".join(letter if letter.isprintable() else " " for letter in text)
    return [f"# {line}" for line in textwrap.wrap(said, WIDE, subsequent_indent="  ")]


def scalar(text: str) -> str:
    """The text as YAML, in quotes where it would be taken for something else."""
    try:
        plain = yaml.safe_load(f"{text}: 1") == {text: 1} and text.isascii()
    except yaml.YAMLError:
        plain = False
    return text if plain else json.dumps(text)


def refuse_to_overwrite(path: Path, *, force: bool) -> None:
    """Raises Rejected when the file is there and is to stay, or cannot be there."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise Rejected(f"{path}: no file can be written there")
    if path.exists() and not force:
        raise Rejected(f"{path} is there already: --force replaces it")


def save(path: Path, text: str) -> None:
    """Write the file, whole or not at all. Raises Rejected."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise Rejected(f"{path}: {error.strerror}") from error
