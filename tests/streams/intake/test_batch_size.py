"""How many records make a batch: many small ones, few large ones."""

import pytest

from streams.intake.intake import fitting
from streams.intake.settings import IntakeSettings


@pytest.mark.parametrize(
    ("record_bytes", "expected"),
    [(0.0, 20_000), (0.4, 20_000), (200.0, 20_000), (1024.0, 8192), (20_000.0, 419), (1e9, 1)],
    ids=["not known yet", "empty", "small", "a KiB", "a request", "more than a batch holds"],
)
def test_a_batch_is_bound_by_bytes_where_records_are_large(
    record_bytes: float, expected: int
) -> None:
    settings = IntakeSettings(batch_records=20_000, batch_kib=8192)
    assert fitting(settings, record_bytes) == expected
