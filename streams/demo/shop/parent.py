"""What a process of the shop has from its parent: the control token, and how long it may live.

No process of the shop outlives the one that started it.
"""

import argparse
import ctypes
import os
import signal
import sys

TOKEN = "SHOP_CONTROL_TOKEN"  # noqa: S105 - the variable's name, not the secret
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def add_lifeline(parser: argparse.ArgumentParser) -> None:
    """Add the flag that ties a process to its parent."""
    parser.add_argument("--parent", type=int, help="process id without which this one ends")


def die_with(parent: int | None) -> None:
    """Have the kernel end this process when the thread of `parent` that started it ends."""
    if parent is None:
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the kernel knew
        sys.exit(1)
