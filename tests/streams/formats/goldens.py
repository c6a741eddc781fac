"""Records as their producers write them, and what must come of each."""

import cramjam

from streams.formats.proto import remote_write_v2_pb2 as v2
from tests.streams.formats.contract import NEST, Golden, absurd
from tests.streams.formats.goldens_logs import LOGS
from tests.streams.formats.goldens_metrics import METRICS
from tests.streams.formats.goldens_otlp import OTLP
from tests.streams.formats.goldens_wrapped import WRAPPED
from tests.streams.formats.test_remote_write import AT as WRITTEN_AT
from tests.streams.formats.test_remote_write import UP, VERSION_1, VERSION_2, packed, request

OWN = (
    b'{"service":"checkout","metric":"latency_p95_ms","at":"2026-01-02T03:04:05.678Z","value":212.4,'
    b'"labels":{"region":"eu"}}'
)
OWN_LINE = b'{"service":"checkout","at":1767323045678,"severity":"error","message":"no money"}'
NEVER = (-1, 0, 2**62, -(2**63), -(2**63) + 2**60)  # ms


def _timed(at: int) -> bytes:
    """The golden request of version 2 with another time."""
    given = v2.Request.FromString(bytes(cramjam.snappy.decompress_raw(VERSION_2)))
    given.timeseries[0].samples[0].timestamp = at
    return packed(given)


GOLDENS = [
    Golden(
        "json",
        OWN,
        samples=(('latency_p95_ms{region="eu",service="checkout"}', 1_767_323_045_678, 212.4),),
        absurd=absurd(OWN, b'"2026-01-02T03:04:05.678Z"'),
        deep=OWN.replace(b'{"region":"eu"}', NEST),
    ),
    Golden(
        "json",
        OWN_LINE,
        lines=(("checkout", 1_767_323_045_678, "error", "no money", "{}"),),
        absurd=absurd(OWN_LINE, b"1767323045678"),
    ),
    Golden(
        "remote-write",
        VERSION_1,
        samples=((UP, WRITTEN_AT, 1.0),),
        absurd=tuple(request(1.0, at=at) for at in NEVER),
    ),
    Golden(
        "remote-write-2",
        VERSION_2,
        samples=((UP, WRITTEN_AT, 1.0),),
        absurd=tuple(_timed(at) for at in NEVER),
    ),
    Golden(
        "text",
        b"2026-01-02T03:04:05.678Z ERROR payment refused",
        lines=(
            (
                "shop",
                1_767_323_045_678,
                "error",
                "2026-01-02T03:04:05.678Z ERROR payment refused",
                "{}",
            ),
        ),
        service="shop",
        cuts=1,
    ),
    *OTLP,
    *METRICS,
    *LOGS,
    *WRAPPED,
]
