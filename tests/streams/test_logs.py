"""One line a record."""

import logging
from collections.abc import Iterator

import pytest

from streams.logs import set_up


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Logging is the process's: put back what was there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level


def test_a_traceback_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    set_up()
    try:
        int("two\nlines")
    except ValueError:
        logging.getLogger("x").exception("it broke")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert " ERROR x: it broke | Traceback" in said
    assert said.endswith("invalid literal for int() with base 10: 'two\\nlines'\n")


@pytest.mark.parametrize(("verbose", "lines"), [(False, 1), (True, 2)])
def test_only_warnings_unless_asked(
    capsys: pytest.CaptureFixture[str],
    *,
    verbose: bool,
    lines: int,
) -> None:
    set_up(verbose=verbose)
    logging.getLogger("x").info("news")
    logging.getLogger("x").warning("trouble")
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_what_an_error_quotes_is_masked_but_for_addresses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_up()
    try:
        int("ann@example.com")
    except ValueError:
        logging.getLogger("x").exception("10.1.2.3:9092 said password=hunter")
    said = capsys.readouterr().err
    assert "ann@" not in said
    assert "hunter" not in said
    assert "10.1.2.3:9092 said password=<secret> | Traceback" in said
