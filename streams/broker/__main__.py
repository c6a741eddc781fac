"""The embedded broker by itself.

python -m streams.broker prepare            fetch the jars, make the class archive
python -m streams.broker run [--nodes 3]    run one until Ctrl-C
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from schemas.errors import SentinelError
from streams.broker.embedded import EmbeddedBroker, prepare


def say(line: str) -> None:
    """Tell the person at the terminal, now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def run(nodes: int, port: int | None, data_dir: Path | None) -> NoReturn:
    """Run a broker in the foreground until SIGINT or SIGTERM."""

    def end(signum: int, _frame: FrameType | None) -> NoReturn:
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with EmbeddedBroker(nodes, data_dir, port=port) as broker:
        say(broker.bootstrap)
        broker.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    """`python -m streams.broker`."""
    parser = argparse.ArgumentParser(prog="python -m streams.broker", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("prepare", help="fetch the jars and make the class archive")
    running = commands.add_parser("run", help="run a broker in the foreground")
    running.add_argument("--nodes", type=int, default=1, choices=(1, 3))
    running.add_argument("--port", type=int, help="of the first node; default: a free one")
    running.add_argument("--data", type=Path, help="folder to keep the data in; default: scratch")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "prepare":
            prepare(progress=say)
        else:
            run(chosen.nodes, chosen.port, chosen.data)
    except SentinelError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
