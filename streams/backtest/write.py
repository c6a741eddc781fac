"""Scores of a backtest on disk: `timestamp,score,alarm`, a row for each row of the history."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from streams.backtest.table import Floats
from streams.history import text


class Scores(Protocol):
    """A file of scores that grows."""

    def write(self, written: Any, score: Floats, alarm: npt.NDArray[np.bool_]) -> None:
        """Add rows: times as the history wrote them, scores, alarms."""

    def close(self) -> None:
        """Finish the file."""


def scores(path: Path) -> Scores:
    """A file of the kind that its name says."""
    return _ParquetScores(path) if path.name.endswith(".parquet") else _CsvScores(path)


class _CsvScores:
    """As text; a score reads back as exactly the same number."""

    def __init__(self, path: Path) -> None:
        self._file = text(path, "w")
        self._file.write("timestamp,score,alarm\n")

    def write(self, written: list[str], score: Floats, alarm: npt.NDArray[np.bool_]) -> None:
        self._file.writelines(
            f"{stamp},{value!r},{int(alarmed)}\n"
            for stamp, value, alarmed in zip(written, score.tolist(), alarm.tolist(), strict=True)
        )

    def close(self) -> None:
        self._file.close()


class _ParquetScores:
    """The time keeps its type, alarm is a boolean."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None

    def write(self, written: Any, score: Floats, alarm: npt.NDArray[np.bool_]) -> None:
        table = pa.table({"timestamp": written, "score": score, "alarm": alarm})
        if self._file is None:
            self._file = pq.ParquetWriter(self._path, table.schema)
        self._file.write_table(table)

    def close(self) -> None:
        if self._file is None:  # no rows
            types = {"timestamp": pa.float64(), "score": pa.float64(), "alarm": pa.bool_()}
            self._file = pq.ParquetWriter(self._path, pa.schema(types))
        self._file.close()
