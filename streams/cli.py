"""The command line: every command on one screen, each loaded only when it is used.

`sentinel --help` must answer at once, and a command must not pay for the libraries of the
others. So this table has the names and one line on each; the modules have the rest.

Exit status: 0 fine, 1 failure, 2 wrong use. A failure is one line on standard error that says
what to do; the traceback of a fault of ours is shown only with --debug.
"""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from schemas.errors import SentinelError
from streams.commands.terminal import say

FAILED, WRONG_USE = 1, 2
INTERRUPTED = 130  # what typer makes of Ctrl-C


class Entry(NamedTuple):
    """A command or a group of commands: `module` has it under `name` in its `app`."""

    name: str
    module: str
    summary: str


COMMANDS = (
    Entry("demo", "demo", "Break a small shop for real and watch Sentinel mend it"),
    Entry("up", "up", "Start the whole pipeline on this machine"),
    Entry("worker", "worker", "Run some of its stages in this process"),
    Entry("bridge", "bridge", "Take metrics, logs and alerts over HTTP, or scrape"),
    Entry("connect", "connect", "See what a cluster's topics hold, write settings"),
    Entry("intake", "intake", "Say what was refused or left out, and why a series is missing"),
    Entry("topics", "topics", "Make and list the topics"),
    Entry("tail", "tail", "Watch what travels on a topic"),
    Entry("templates", "templates", "List what the log lines of services say"),
    Entry(
        "incidents", "incidents", "List incidents, show one from its first anomaly to its report"
    ),
    Entry("approve", "answers", "Approve the plan that waits, signed with your key"),
    Entry("reject", "answers", "Reject the plan that waits"),
    Entry("rollback", "answers", "Take a run back"),
    Entry("verdict", "verdicts", "Say whether an incident was one, and in time"),
    Entry("verdicts", "verdicts", "List what people said of incidents, and what came of it"),
    Entry("keys", "keys", "Make the key that you sign answers with"),
    Entry("audit", "audit", "Verify that no record was changed, removed or cut off"),
    Entry("runbooks", "runbooks", "Check and list runbooks"),
    Entry("policy", "policy", "Check policies, try one on a plan"),
    Entry("rules", "rules", "Check and list static limits"),
    Entry("slo", "slo", "Check and list service level objectives"),
    Entry("doctor", "doctor", "Find out what is missing or wrong, and what to do"),
    Entry("backtest", "backtest", "Score a folder of history"),
)


@dataclass
class Chosen:
    """What the options before the command said."""

    debug: bool = False


class Commands(TyperGroup):
    """The table as a group of placeholders, enough for help; the one that is meant is loaded."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The real command."""
        name, placeholder, rest = super().resolve_command(ctx, args)
        return name, placeholder and load(str(name)), rest


def load(name: str) -> Any:
    """The command of that name, from its module."""
    entry = next(entry for entry in COMMANDS if entry.name == name)
    module = importlib.import_module(f"streams.commands.{entry.module}")
    module.app.rich_markup_mode = _markup()
    group = get_group(module.app)
    command = group.commands.get(name, group)
    command.name = name
    return command


def _markup() -> Any:
    """Help in boxes and colours on a terminal, else as plain text."""
    return "rich" if sys.stdout.isatty() else None


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature
    if wanted:
        sys.stdout.write(f"sentinel {version('sentinel-pipeline')}\n")
        raise typer.Exit


def _options(
    context: typer.Context,
    *,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.")
    ] = False,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Event-streaming operations on Kafka: from raw events to a verified, explained fix."""
    context.obj.debug = debug


def root() -> Any:
    """The whole command line, nothing of the commands loaded yet."""
    app = typer.Typer(
        cls=Commands,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=_markup(),
        epilog="Settings: sentinel.yaml, .env or SENTINEL_... in the environment. "
        "Begin with `sentinel doctor`.",
    )
    app.callback()(_options)
    group = get_group(app)
    group.commands = {
        entry.name: TyperCommand(entry.name, help=entry.summary) for entry in COMMANDS
    }
    return group


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit status."""
    chosen = Chosen()
    given = None if arguments is None else list(arguments)
    try:
        status = root().main(given, prog_name="sentinel", standalone_mode=False, obj=chosen)
    except (KeyboardInterrupt, typer.Abort):
        return _failed("interrupted", FAILED)
    except typer.TyperException as error:
        return _misused(error)
    except SentinelError as error:
        if chosen.debug:
            raise
        return _failed(str(error), FAILED)
    except Exception as error:
        if chosen.debug:
            raise
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        return _failed(f"{fault[:300]} (a fault of Sentinel's: `sentinel --debug ...`)", FAILED)
    if status == INTERRUPTED:
        return _failed("interrupted", FAILED)
    return status if isinstance(status, int) else 0


def _failed(line: str, status: int) -> int:
    say(f"sentinel: {line}")
    return status


def _misused(error: Any) -> int:
    """Wrong use, in one line; without any arguments, the help that says what there is."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        say(error.format_message())
        return WRONG_USE
    path = context.command_path if context else "sentinel"
    text = " ".join(error.format_message().split())
    say(f"{path}: {text} (see `{path} --help`)")
    return int(error.exit_code)


if __name__ == "__main__":
    sys.exit(main())
