"""Compile the kernels before they are needed: `python -m streams.kernels`, by `make setup`.

Machine code is kept on disk, so this is paid once; the first start would wait for it otherwise.
Each is compiled by the way in which it is used, so that its types are those of the real calls.
On its own this module compiles the parts beside each other: one compiler uses one processor.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from agents.detect import Detect
from agents.detect_settings import DetectSettings
from agents.logs import miner
from agents.scorer import scorer
from schemas.frames import Samples, canonical, read_samples, write_samples
from streams.formats import FORMATS
from streams.formats.columns import Batch, Reading
from streams.formats.limits import Limits
from streams.formats.series import SeriesIndex
from streams.intake import intake

AT = np.array([1_767_225_600_000], np.int64)


def warm_up() -> None:
    """Run every kernel once: a minute or more the first time, a second or two later."""
    for part in PARTS:
        part()


def compile_all() -> None:
    """`warm_up` by as many processes as there are processors.

    What two of them have compiled at once, one may keep only; that is why it runs again here.
    """
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for compiled in [pool.submit(part) for part in PARTS]:
            compiled.result()
    warm_up()


def _otlp() -> None:
    """The protobuf of OTLP alone: as much as half of all."""
    FORMATS["otlp-proto"](Batch([b""], AT, AT), _reading())


def _intake() -> None:
    """Read a series' samples when it is new, and again when it is known, which is compiled."""
    reading = _reading()
    intake.warm_up(reading, ("remote-write", "text"))
    for second in range(3):
        stamp = f"2026-01-01T00:00:0{second}Z"
        event = f'{{"service":"-","metric":"-","at":"{stamp}","value":{second}.5}}'
        FORMATS["json"](Batch([event.encode()], AT, AT), reading)
    reading.series.totals.grown(np.zeros(1, np.int64), np.ones(1))


def _reading() -> Reading:
    limits = Limits()
    return Reading(limits, SeriesIndex(limits))


def _detect() -> None:
    scorer.warm_up()
    detect = Detect(DetectSettings(), {})
    names = [canonical(metric, {"service": "warm-up"}) for metric in ("depth", "done_total")]
    for offset in range(2):
        at = np.arange(4, dtype=np.int64) // 2 * 1000 + 2000 * offset
        code = np.array([0, 1, 0, 1], np.int32)
        frame = write_samples(Samples(names, code, at, np.arange(4.0)))
        detect.feed(read_samples(frame), 0, offset)
    for block in detect.blocks(0):
        block.dump()


PARTS: tuple[Callable[[], None], ...] = (_otlp, _intake, miner.warm_up, _detect)  # longest first


if __name__ == "__main__":
    compile_all()
