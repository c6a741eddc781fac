"""Fixtures of the backtest's tests: a folder of history to fill, and where its scores go."""

from pathlib import Path

import pytest


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "history"
    folder.mkdir()
    return folder


@pytest.fixture
def scored(tmp_path: Path) -> Path:
    """A folder that is not there yet."""
    return tmp_path / "scored"
