"""The log: one line a record on standard error, set up once by whatever runs for long."""

import logging
import sys
from datetime import UTC, datetime

from schemas.masking import KINDS, masked

SHOWN = KINDS - {"ip"}  # whom we cannot reach is what a log is read for


class OneLine(logging.Formatter):
    """Time in UTC, level, logger and text; line ends within become bars, traces included.

    What looks like a secret or somebody's data is masked: errors quote what they were given.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record on one line."""
        at = datetime.fromtimestamp(record.created, UTC)
        text = super().format(record)
        folded = " | ".join(part.strip() for part in text.splitlines() if part.strip())
        begin = f"{at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {record.levelname} {record.name}"
        return f"{begin}: {masked(folded, SHOWN)}"


def set_up(*, verbose: bool = False) -> None:
    """Warnings and worse, with `verbose` all that is said at INFO; replaces earlier handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True
    )
    logging.captureWarnings(capture=True)
