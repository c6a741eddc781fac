"""Policies in process: Rego files evaluated by regopy (rego-cpp), no server needed.

The files are compiled once; an evaluation then takes a fraction of a millisecond. The input goes
in as JSON text: regopy's `set_input` cuts strings at a NUL and does not escape quotes, so that a
label from outside could end a string or shorten it on its way into a rule.
"""

import hashlib
import json
import re
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import regopy
import yaml

from runbooks.problem import Problem
from schemas.errors import Rejected

SHIPPED = Path(__file__).parent / "policies"
QUERY = "data.sentinel.policy.answer"
PACKAGE = re.compile(r"^package\s+sentinel\.policy\s*$", re.MULTILINE)
ERROR = re.compile(r"\(error \d+:(?P<file>.*?)\|(?P<at>\d+)\|\d+\s+\(errormsg \d+:(?P<text>[^()]*)")
CALL = re.compile(r"(?<![\w.])([a-z_]+(?:\.[a-z_0-9]+)+)\(")
# Listed as built in, but they answer nothing (regopy 1.5.2) or not the same twice
UNFIT = {
    "time.parse_rfc3339_ns": "answers nothing here: compare input.now as text",
    "time.now_ns": "gives another answer at every replay: use input.now",
    "opa.runtime": "shows the environment to policies: put what they need into data.yaml",
    "rand.intn": "gives another answer at every replay",
    "uuid.rfc4122": "gives another answer at every replay",
}

regopy.set_default_log_level("None")  # it would print to standard error what it raises as well


class Rego:
    """The policies of one folder: `*.rego` but `*_test.rego`, with `data.yaml` or `data.json`.

    Raises Rejected, one line a problem, when they cannot be compiled. Not for several threads.
    """

    def __init__(self, folder: Path) -> None:
        if problems := lint_policies(folder):
            raise Rejected("\n".join(map(str, problems)))
        modules, data = _modules(folder), _data(folder)
        self._held = list(_compiled(modules, data))
        # At exit, too, they are freed while regopy is still whole: it would complain otherwise
        weakref.finalize(self, self._held.clear)
        digest = hashlib.sha256(json.dumps([modules, data], sort_keys=True).encode()).hexdigest()
        self.engine = f"regopy {regopy.__version__}, policies {digest[:12]}"

    def evaluate(self, document: Mapping[str, object]) -> object:
        """The policies' answer to an input document. Raises Rejected when it is undefined."""
        interpreter, bundle = self._held
        return _answer(interpreter, bundle, document)


def lint_policies(folder: Path) -> list[Problem]:
    """What keeps the policies of a folder from working, by file and line."""
    files = _files(folder)
    if not files:
        return [Problem(folder, 1, "holds no policy: it should be a folder of *.rego")]
    problems = [problem for file in files for problem in _flaws(file)]
    try:
        data = _data(folder)
    except Rejected as error:
        return [*problems, *_split(error)]
    if problems:
        return problems
    try:
        interpreter, bundle = _compiled(_modules(folder), data)
        _answer(interpreter, bundle, EXAMPLE)
    except Rejected as error:
        return _split(error) or [Problem(files[0], 1, str(error))]
    return []


def _flaws(file: Path) -> Iterator[Problem]:
    """What is wrong with one file by itself."""
    try:
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield Problem(file, 1, f"cannot be read: {error}")
        return
    if not PACKAGE.search(source):
        yield Problem(file, 1, "must be in `package sentinel.policy`: it would never be asked")
    interpreter = regopy.Interpreter()
    code = re.sub(r"#.*", "", source)  # same lines; a # inside a string hides calls at worst
    for found in CALL.finditer(code):
        name, line = found[1], code.count("\n", 0, found.start()) + 1
        if name in UNFIT:
            yield Problem(file, line, f"{name} {UNFIT[name]}")
        elif not name.startswith(("data.", "input.")) and not interpreter.is_builtin(name):
            yield Problem(file, line, f"{name} is not there in process: use an OPA server for it")
    try:
        _compiled({str(file): source}, {})
    except Rejected as error:
        yield from _split(error)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*.rego")) if not path.stem.endswith("_test")]


def _modules(folder: Path) -> dict[str, str]:
    return {str(path): path.read_text(encoding="utf-8") for path in _files(folder)}


def _data(folder: Path) -> dict[str, Any]:
    """The base documents. Raises Rejected, `file:line: why`, for what is no JSON value."""
    found = [path for name in ("data.yaml", "data.json") if (path := folder / name).is_file()]
    if len(found) > 1:
        raise Rejected(f"{found[1]}:1: data.yaml is there too: keep one of them")
    if not found:
        return {}
    file = found[0]
    try:
        source = file.read_text(encoding="utf-8")
        data = json.loads(source) if file.suffix == ".json" else yaml.safe_load(source)
        json.dumps(data, allow_nan=False)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise Rejected(f"{file}:{mark.line + 1 if mark else 1}: {error.problem}") from error
    except json.JSONDecodeError as error:
        raise Rejected(f"{file}:{error.lineno}: {error.msg}") from error
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise Rejected(f"{file}:1: cannot be read: {' '.join(str(error).split())}") from error
    except TypeError as error:
        raise Rejected(f"{file}:1: {error}: write times and dates in quotes") from error
    if not isinstance(data, dict):
        raise Rejected(f"{file}:1: must be a mapping")
    return data


def _compiled(modules: Mapping[str, str], data: object) -> tuple[Any, Any]:
    """Interpreter and bundle. Raises Rejected, `file:line: why` a line."""
    interpreter = regopy.Interpreter()
    try:
        if data:
            interpreter.add_data_json(json.dumps(data))
        for name, source in modules.items():
            interpreter.add_module(name, source)
        bundle = interpreter.build(f"answer = {QUERY}")
    except regopy.RegoError as error:
        raise Rejected("\n".join(_located(str(error), modules))) from error
    if not bundle.ok():
        raise Rejected(f"{next(iter(modules))}:1: cannot be compiled")
    return interpreter, bundle


def _located(error: str, modules: Mapping[str, str]) -> list[str]:
    """The first error of regopy's tree with its line: what follows it are its consequences."""
    found = ERROR.search(error)
    if found is None or found["file"] not in modules:
        return [f"{next(iter(modules))}:1: {' '.join(error.split())[:200]}"]
    before = modules[found["file"]].encode()[: int(found["at"])]
    return [f"{found['file']}:{before.count(10) + 1}: {found['text'].strip()}"]


def _answer(interpreter: Any, bundle: Any, document: Mapping[str, object]) -> object:
    try:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        interpreter.set_input_term(text)
        output = interpreter.query_bundle(bundle)
    except (regopy.RegoError, TypeError, ValueError) as error:
        raise Rejected(f"the policies cannot be evaluated: {str(error)[:200]}") from error
    if not output.ok():
        raise Rejected(f"the policies cannot be evaluated: {str(output)[:200]}")
    bindings = output[0].bindings if len(output) else {}
    if "answer" not in bindings:
        raise Rejected(f"{QUERY} is undefined for this input")
    return bindings["answer"]


def _split(error: Rejected) -> list[Problem]:
    """`file:line: why` lines as problems."""
    found = [re.fullmatch(r"(.*?):(\d+): (.*)", line) for line in str(error).splitlines()]
    return [Problem(Path(each[1]), int(each[2]), each[3]) for each in found if each]


# An input document, so that policies are tried when they are linted; agents/policy.py writes the
# real ones, and a test holds the two together.
EXAMPLE: dict[str, object] = {
    "plan": {
        "runbook": "example",
        "version": "1",
        "owner": "example-team",
        "risk": "low",
        "blast_radius": ["shop"],
        "dry_run": False,
        "requested_by": "sentinel",
        "hash": "0" * 64,
        "steps": [
            {
                "name": "scale",
                "touches": "shop",
                "executors": ["http"],
                "actions": [{"executor": "http", "arguments": {"target": "shop"}}],
                "reversible": True,
                "timeout_s": 30.0,
            }
        ],
    },
    "incident": {
        "id": "inc-000000000000",
        "service": "shop",
        "services": ["shop"],
        "severity": "high",
        "status": "open",
        "signals": 1,
    },
    "environment": "staging",
    "budget": {
        "objective": "shop",
        "verdict": "exhausts",
        "left": 0.5,
        "burn": 14.4,
        "exhausts": 0.9,
    },
    "now": "2026-01-05T12:00:00Z",
    "now_s": 1767614400,
    "hour": 12,
    "weekday": "mon",
}
