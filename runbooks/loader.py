"""The catalogue: a folder of runbooks, read as a whole and refused as a whole.

A runbook that is wrong must be found when its author saves it, not in the outage. So beside its
schema everything is tried that can be tried without a target: placeholders, checks for every
severity, undo against what is observed. Every problem has file and line; one problem anywhere,
and nothing is loaded, because a catalogue with a hole proposes the wrong remedy.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml
from pydantic import JsonValue, ValidationError

from runbooks import template
from runbooks.model import Arguments, Runbook, StepSpec
from runbooks.problem import Problem
from runbooks.resolve import INCIDENT, blast_radius, resolved, values_for
from schemas.errors import Rejected
from schemas.event import Severity

SHIPPED = Path(__file__).parent / "catalogue"
READS = frozenset({"GET", "HEAD"})
HTTP = {"target", "method", "path"}  # what every call of the http executor says
HTTP_MAY = {"json", "expect_status"}

Place = tuple[str | int, ...]  # the way from the document's root to a value
Fault = tuple[Place, str]


def load(folder: Path, executors: Collection[str]) -> tuple[Runbook, ...]:
    """The runbooks of `*.yaml` and `*.yml` in a folder, by name.

    `executors` are the names that `use` may have. Raises Rejected with every problem, one a line.
    """
    runbooks, problems = _read(folder, executors)
    if problems:
        raise Rejected("\n".join(map(str, problems)))
    return tuple(sorted(runbooks, key=lambda runbook: runbook.name))


def lint(folder: Path, executors: Collection[str]) -> list[Problem]:
    """All that is wrong with the runbooks of a folder, by file and line."""
    return _read(folder, executors)[1]


def _read(folder: Path, executors: Collection[str]) -> tuple[list[Runbook], list[Problem]]:
    files = sorted({*folder.glob("*.yaml"), *folder.glob("*.yml")})
    if not files:
        return [], [Problem(folder, 1, "holds no runbook: it should be a folder of *.yaml")]
    found: dict[str, Path] = {}
    runbooks: list[Runbook] = []
    problems: list[Problem] = []
    for file in files:
        document, faults = _parsed(file)
        if document is None:
            problems += faults
            continue
        runbook, about = _checked(document, executors)
        problems += [Problem(file, document.line(place), text) for place, text in about]
        if runbook is None:
            continue
        if runbook.name in found:
            line = document.line(("name",))
            message = f"runbook {runbook.name!r} is in {found[runbook.name].name} too: rename one"
            problems.append(Problem(file, line, message))
        found[runbook.name] = file
        runbooks.append(runbook)
    return runbooks, sorted(problems)


class _Document(NamedTuple):
    """A YAML document with its lines."""

    root: yaml.Node
    data: object

    def line(self, place: Sequence[str | int]) -> int:
        """The line of a key or item; of what holds it when it is not there."""
        node, line = self.root, self.root.start_mark.line
        for part in place:
            if isinstance(node, yaml.MappingNode):
                pairs = [(key, value) for key, value in node.value if key.value == part]
                if pairs:
                    node, line = pairs[0][1], pairs[0][0].start_mark.line
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                node = node.value[part]
                line = node.start_mark.line
        return int(line) + 1


def _parsed(file: Path) -> tuple[_Document | None, list[Problem]]:
    loader = None
    try:
        source = file.read_text(encoding="utf-8")
        loader = yaml.SafeLoader(source)
        root = loader.get_single_node()
        if root is None:
            return None, [Problem(file, 1, "is empty")]
        if faults := [Problem(file, line, text) for line, text in _odd(source, root)]:
            return None, faults
        return _Document(root, loader.construct_document(root)), []
    except OSError as error:
        return None, [Problem(file, 1, f"cannot be read: {error.strerror}")]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        return None, [Problem(file, mark.line + 1 if mark else 1, f"is no YAML: {error.problem}")]
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # no UTF-8, no such date, too deep
        return None, [Problem(file, 1, f"is no YAML: {' '.join(str(error).split())}")]
    finally:
        if loader is not None:
            loader.dispose()


def _odd(source: str, node: yaml.Node) -> Iterator[tuple[int, str]]:
    """What YAML allows and a runbook does not: aliases and keys said twice (the last would win)."""
    for token in yaml.scan(source, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            yield token.start_mark.line + 1, f"alias *{token.value}: write it out"
            return
    yield from _repeated(node)


def _repeated(node: yaml.Node) -> Iterator[tuple[int, str]]:
    inner = node.value if isinstance(node, yaml.SequenceNode) else []
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                yield key.start_mark.line + 1, 'a key must be plain text; quote a "{{...}}" value'
                continue
            if key.value in seen:
                yield key.start_mark.line + 1, f"key {key.value!r} is there twice: remove one"
            seen.add(key.value)
            yield from _repeated(value)
    for item in inner:
        yield from _repeated(item)


def _checked(document: _Document, executors: Collection[str]) -> tuple[Runbook | None, list[Fault]]:
    try:
        runbook = Runbook.model_validate(document.data)
    except ValidationError as error:
        said = [_said(dict(detail)) for detail in error.errors()]
        hollow = {place for place, text in said if "after validation" in text}
        return None, [  # a list is not too short because its items are faulty
            (place, text)
            for place, text in said
            if place not in hollow or not any(len(p) > 1 and p[0] == place[0] for p, _ in said)
        ]
    return runbook, list(_faults(runbook, executors))


def _said(detail: dict[str, object]) -> Fault:
    place = detail["loc"]
    assert isinstance(place, tuple)  # noqa: S101 - pydantic's own contract
    if place[:1] == ("params",):
        place = place[:2] + place[3:]  # the third is the type, which pydantic adds
    where = ".".join(str(part) for part in place) or "runbook"
    kind, message = detail["type"], str(detail["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = "unknown key: remove it or correct its spelling"
    elif kind == "missing":
        message = "is missing"
    return place, f"{where}: {message}"


def _faults(runbook: Runbook, executors: Collection[str]) -> Iterator[Fault]:
    """What the schema alone cannot see."""
    if twice := _twice([step.name for step in runbook.steps]):
        for i, step in enumerate(runbook.steps):
            if step.name in twice:
                yield ("steps", i, "name"), f"steps.{i}.name: {step.name!r} is there twice"
    known = {("params", name) for name in runbook.params} | {("incident", n) for n in INCIDENT}
    for i, service in enumerate(runbook.blast_radius):
        yield from _unknown(("blast_radius", i), service, known)
    for i, step in enumerate(runbook.steps):
        yield from _step_faults(("steps", i), step, runbook, executors, known)
    for name in sorted(runbook.params.keys() - _used(runbook)):
        yield ("params", name), f"params.{name}: no step uses it: remove it"
    if runbook.verification.stable > runbook.verification.within:
        yield (
            ("verification", "stable"),
            "verification.stable: is longer than `within`: no run could ever be verified",
        )


def _step_faults(
    place: Place,
    step: StepSpec,
    runbook: Runbook,
    executors: Collection[str],
    known: set[tuple[str, str]],
) -> Iterator[Fault]:
    where = ".".join(map(str, place))
    if step.use not in executors:
        names = ", ".join(sorted(executors))
        yield (*place, "use"), f"{where}.use: unknown executor {step.use!r}; there are {names}"
    if step.touches not in runbook.blast_radius:
        message = f"{where}.touches: {step.touches!r} is not in blast_radius: add it there"
        yield (*place, "touches"), message
    found: list[Fault] = []
    for key, call, reads in _calls(step):
        spot = (*place, *key)
        found += _unknown(spot, call, known | _before(step) if key == ("undo",) else known)
        if step.use == "http":
            found += [(spot, f"{'.'.join(map(str, spot))}: {m}") for m in _http(call, reads=reads)]
    found += _unknown((*place, "summary"), step.summary, known)
    found += _unknown((*place, "touches"), step.touches, known)
    if step.precheck is not None:
        found += _unknown((*place, "precheck", "expect"), step.precheck.expect, known)
    yield from found
    if not found:
        yield from _trial(place, step, runbook)


def _trial(place: Place, step: StepSpec, runbook: Runbook) -> Iterator[Fault]:
    """The step filled in for an incident of every severity, as planning would do it."""
    alone = runbook.model_copy(update={"steps": (step,)})
    for severity in Severity:
        values = values_for(alone, incident="inc-0", service="sample", severity=severity)
        try:
            resolved(alone, values)
            blast_radius(alone, values)
        except Rejected as error:
            yield place, f"{'.'.join(map(str, place))}: {error}"
            return


def _calls(step: StepSpec) -> Iterator[tuple[Place, Arguments, bool]]:
    """A step's calls: where they stand, their arguments, whether they only read."""
    if step.precheck is not None:
        yield ("precheck", "call"), step.precheck.call, True
    if step.observe is not None:
        yield ("observe",), step.observe, True
    yield ("do",), step.do, False
    if step.undo is not None:
        yield ("undo",), step.undo, False


def _http(call: Arguments, *, reads: bool) -> Iterator[str]:
    """What is wrong with the arguments of a call of the http executor."""
    if missing := HTTP - call.keys():
        yield f"needs {', '.join(sorted(missing))}"
    if unknown := call.keys() - HTTP - HTTP_MAY:
        yield f"has unknown {', '.join(sorted(unknown))}; it takes {', '.join(HTTP | HTTP_MAY)}"
    if not str(call.get("path", "/")).startswith("/"):
        yield "path must begin with /"
    if reads and str(call.get("method", "GET")) not in READS:
        yield f"must only read: method GET or HEAD, not {call['method']}"


def _before(step: StepSpec) -> set[tuple[str, str]]:
    """What undo may say of the state before: nothing when nothing was observed."""
    if step.observe is None or step.undo is None:
        return set()
    return {(p.scope, p.name) for p in _found(step.undo) if p.scope == template.LATER}


def _found(value: JsonValue) -> list[template.Placeholder]:
    try:
        return list(template.placeholders(value))
    except Rejected:
        return []  # said by _unknown


def _unknown(place: Place, value: JsonValue, known: set[tuple[str, str]]) -> Iterator[Fault]:
    where = ".".join(map(str, place))
    try:
        unknown = [p for p in template.placeholders(value) if tuple(p) not in known]
    except Rejected as error:
        yield place, f"{where}: {error}"
        return
    for scope, name in unknown:
        if scope == template.LATER:
            why = "only undo may use the state before, and only of a step that has `observe`"
        else:
            why = f"there are {', '.join(sorted(f'{s}.{n}' for s, n in known))}"
        yield place, f"{where}: unknown placeholder {scope}.{name}; {why}"


def _used(runbook: Runbook) -> set[str]:
    """The parameters that some step uses."""
    texts: list[JsonValue] = [*runbook.blast_radius]
    for step in runbook.steps:
        texts += [step.summary, step.touches, *(call for _, call, _ in _calls(step))]
        texts += [step.precheck.expect] if step.precheck else []
    return {p.name for value in texts for p in _found(value) if p.scope == "params"}


def _twice(names: list[str]) -> set[str]:
    return {name for name in names if names.count(name) > 1}
