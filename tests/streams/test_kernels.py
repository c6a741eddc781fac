"""What `make setup` compiles, so that the first start does not."""

from pathlib import Path

from streams.kernels import warm_up


def test_setup_runs_every_kernel() -> None:
    """As it is run by `make setup`; anything else that it needs would show here."""
    warm_up()
    assert "-m streams.kernels" in (Path(__file__).parents[2] / "Makefile").read_text()
