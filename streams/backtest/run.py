"""Backtest: what the detector would have said about a folder of history.

Every `.csv`, `.csv.gz`, `.parquet` and Prometheus `.json` below the input holds series. Below the
output, under the same name, each gets `timestamp,score,alarm`, a row for each of its rows, in
their order; labels are read to measure, never to score. Every `.jsonl` and `.jsonl.gz` is log
lines, `{"line": text}` each: of these, which template each has. A file that cannot be read is
told and left out; the others go on.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import msgspec

from schemas.errors import Rejected
from schemas.frames import parsed
from streams.backtest import logs as backtest_logs
from streams.backtest.album import Album, Pictures
from streams.backtest.detector import Choice, Detector, Shipped
from streams.backtest.from_csv import SUFFIXES as CSV
from streams.backtest.from_csv import read_csv
from streams.backtest.from_parquet import SUFFIX as PARQUET
from streams.backtest.from_parquet import read_parquet
from streams.backtest.from_prometheus import SUFFIXES as JSON
from streams.backtest.from_prometheus import is_answer, read_prometheus, whole_name
from streams.backtest.labels import SHOWN, bare, is_windows, read_labels
from streams.backtest.numenta import numenta
from streams.backtest.page import write_page
from streams.backtest.quality import quality
from streams.backtest.series import Series
from streams.backtest.summary import Summary
from streams.backtest.table import Chunk, Table, safe_name
from streams.backtest.write import Scores, scores
from streams.history import UNREADABLE, text, whole

PAGE = "index.html"

Progress = Callable[[str, int, int], None]  # what was just done, how many are, how many there are


@dataclass(frozen=True)
class Wish:
    """What is asked of a backtest beside its folders."""

    labels: Path | None = None
    zone: tzinfo = UTC  # of times that name none
    pictures: Pictures = Pictures.none
    detector: Choice = field(default_factory=Shipped)


def backtest(
    input_dir: Path, output_dir: Path, wish: Wish | None = None, progress: Progress | None = None
) -> Summary:
    """Score every series and mine all log lines below `input_dir`, into `output_dir`.

    What cannot be read is in the summary's `faults`, file and line named, and leaves nothing.
    Rejected for folders that will not do, Unavailable for what cannot be written.
    """
    run = _Run(input_dir, output_dir, wish or Wish())
    return run.all(progress or (lambda _what, _done, _of: None))


class _Source(NamedTuple):
    """A file, or the pieces of one; names are relative to the input."""

    name: str
    pieces: tuple[tuple[Path, str], ...]


class _Run:
    """A backtest that is under way."""

    def __init__(self, input_dir: Path, output_dir: Path, wish: Wish) -> None:
        self._given, self._wish = (input_dir, output_dir), wish
        self._source, self._target = input_dir.resolve(), output_dir.resolve()
        self._labels = read_labels(wish.labels, wish.zone) if wish.labels else None
        self._album = Album(self._target, wish.pictures, wish.detector.threshold)
        self._series: list[Series] = []
        self._outputs: set[Path] = set()
        self._faults: list[str] = []
        self._notes: list[str] = []
        self._seconds = 0.0

    def all(self, progress: Progress) -> Summary:
        found, logs = self._files()
        mined: list[backtest_logs.MinedFile] = []
        for done, source in enumerate((*found, *logs), 1):
            try:
                if done <= len(found):
                    self._score(source)
                else:
                    mined.append(self._mine(source))
            except Rejected as error:
                self._faults.append(str(error))
            progress(source.name, done, len(found) + len(logs))
        self._album.finish(progress)
        self._say_of_order()
        self._say_of_labels()
        summary = self._summary(mined)
        if not (self._series and self._album.traced):
            return summary
        path = self._target / PAGE
        write_page(path, self._given[0].name or str(self._given[0]), summary)
        return summary._replace(page=str(self._given[1] / PAGE))

    def _say_of_order(self) -> None:
        """Several series in one are scored without an error, and all wrong."""
        names = [each.name for each in self._series if each.backward]
        if names:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            self._notes.append(
                f"times repeat or run backward in {', '.join(names[:SHOWN])}{more}: each must be"
                " one series, oldest first (of several in a file, give each a column or a file)"
            )

    def _say_of_labels(self) -> None:
        if self._labels is None:
            return
        unmatched = self._labels.unmatched()
        if not unmatched:
            return
        if self._series and self._labels.useless:
            names = ", ".join(each.name for each in self._series[:3])
            raise Rejected(f"no label fits a series: labelled are {unmatched}; series are {names}")
        self._notes.append(f"labelled, but not in the history: {unmatched}")

    def _summary(self, mined: list[backtest_logs.MinedFile]) -> Summary:
        series = sorted(self._series, key=lambda each: each.name)
        series.sort(key=lambda each: each.interest, reverse=True)
        tallies = [each.tally for each in series if each.tally]
        samples = sum(each.samples for each in series)
        grouped = [each.accuracy for each in mined if each.accuracy]
        return Summary(
            series=len(series),
            samples=samples,
            alarms=sum(each.alarms for each in series),
            microseconds=self._seconds / max(samples, 1) * 1e6,
            logs=len(mined),
            lines=sum(each.lines for each in mined),
            templates=sum(each.templates for each in mined),
            grouping=(fmean(g[0] for g in grouped), fmean(g[1] for g in grouped))
            if grouped
            else None,
            detector=self._wish.detector.said,
            faults=tuple(self._faults),
            notes=tuple(self._notes),
            quality=quality(tallies) if tallies else None,
            numenta=numenta([each.judged for each in series if each.judged]),
            found=tuple(each.found() for each in series),
            page=None,
        )

    # ---- what there is

    def _files(self) -> tuple[list[_Source], list[_Source]]:
        """The files of series and of log lines; Rejected where there are none, or no room."""
        source, target, (input_dir, output_dir) = self._source, self._target, self._given
        if not source.is_dir():
            raise Rejected(f"{input_dir} is no folder: name the folder that holds the history")
        if target == source or source in target.parents:
            raise Rejected(f"{output_dir} lies in {input_dir}: choose an output folder outside")
        if target.exists() and not target.is_dir():
            raise Rejected(f"{output_dir} is a file: name a folder for the scores")
        labels = self._wish.labels.resolve() if self._wish.labels else None
        files = [path for path in sorted(source.rglob("*")) if path.is_file() and path != labels]
        sources: dict[str, list[tuple[Path, str]]] = {}
        for path in files:
            name = path.relative_to(source).as_posix()
            if name.endswith((*CSV, PARQUET)) or (name.endswith(JSON) and self._is_series(path)):
                called = whole_name(name) if name.endswith(JSON) else name
                sources.setdefault(called, []).append((path, name))
        found = [_Source(name, tuple(pieces)) for name, pieces in sources.items()]
        mined = [path for path in files if path.name.endswith(backtest_logs.SUFFIXES)]
        if not found and not mined:
            kinds = ", ".join((*CSV, PARQUET, "Prometheus .json"))
            raise Rejected(f"{input_dir} holds no series: no {kinds} or .jsonl below it")
        for path in mined:
            beside = source / backtest_logs.merged_name(path.relative_to(source))
            if beside in mined:
                raise Rejected(f"{beside.relative_to(source)} has the name of a result: rename it")
        names = [(path, path.relative_to(source).as_posix()) for path in mined]
        return found, [_Source(name, ((path, name),)) for path, name in names]

    def _is_series(self, path: Path) -> bool:
        """Whether a JSON file is to be read; labels that lie beside the history are not."""
        if is_answer(path):
            return True
        try:
            with text(path, "r") as file:
                windows = is_windows(msgspec.json.decode(file.read()))
        except (msgspec.DecodeError, RecursionError, *UNREADABLE):
            return True  # reading it as a series says what is wrong with it
        if windows:
            name = path.relative_to(self._source).as_posix()
            self._notes.append(f"{name} holds windows, no series: --labels measures with them")
        return not windows

    # ---- what is done with one

    def _tables(self, source: _Source) -> Iterator[Table]:
        path, name = source.pieces[0]
        if name.endswith(CSV):
            return read_csv(path, name, self._wish.zone)
        if name.endswith(PARQUET):
            return read_parquet(path, name, self._wish.zone)
        return read_prometheus(source.pieces)

    def _score(self, source: _Source) -> None:
        for table in self._tables(source):
            members = [self._member(source.name, name) for name in table.names or ("",)]
            metrics = [parsed(name)[0] for name in table.names or ("",)]
            detector = self._wish.detector.detector(metrics)
            with ExitStack() as stack:
                files = []
                for each in members:
                    unfinished = stack.enter_context(whole(self._target / each.output))
                    files.append(stack.enter_context(closing(scores(unfinished))))
                for chunk in table.chunks:
                    self._feed(detector, chunk, members, files)
            for number, each in enumerate(members):
                each.end(table.notes + detector.notes(number))
                self._outputs.add(each.output)
                self._series.append(each)
                self._album.take(each)

    def _member(self, file: str, name: str) -> Series:
        """A series of a file: `name` is its column or labels, "" if it is all of the file."""
        output, called = Path(file), file
        if name:
            ending = file.removeprefix(bare(file))
            kind = ending.replace(".json", ".csv")
            output, called = Path(bare(file)) / f"{safe_name(name)}{kind}", f"{file}: {name}"
        if output in self._outputs:
            raise Rejected(f"{called}: another series has its name already: rename one")
        names = (output.as_posix(), name) if name else (file,)
        spans = self._labels.of(names) if self._labels else None
        judged = self._labels is not None and self._labels.numenta
        return Series(called, output, spans, traced=self._album.traced, judged=judged)

    def _feed(
        self, detector: Detector, chunk: Chunk, members: list[Series], files: list[Scores]
    ) -> None:
        for number, (each, file) in enumerate(zip(members, files, strict=True)):
            begun = time.process_time()
            scored = detector.score(number, chunk.at, chunk.values[number])
            self._seconds += time.process_time() - begun
            file.write(chunk.written, scored.score, scored.alarm)
            each.add(chunk.at, scored, chunk.label)

    def _mine(self, source: _Source) -> backtest_logs.MinedFile:
        path, name = source.pieces[0]
        merged = self._target / backtest_logs.merged_name(Path(name))
        return backtest_logs.mine(path, name, self._target / name, merged)
