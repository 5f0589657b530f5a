"""What no step foresees."""

from __future__ import annotations

import pytest

from passwordless_async.gateway.defects import Defects


def test_an_exception_ends_with_its_place_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """And without its message, which may quote what was typed."""
    with Defects("GET /code"):
        raise ValueError("123456")
    assert "GET /code failed: ValueError in test_an_exception_ends_with_its_place_in_the_log, line" in caplog.text
    assert "123456" not in caplog.text


def test_what_is_no_exception_goes_on() -> None:
    """A cancellation, or the end of the process."""
    with pytest.raises(KeyboardInterrupt), Defects("GET /code"):
        raise KeyboardInterrupt


def test_nothing_is_logged_if_nothing_failed(caplog: pytest.LogCaptureFixture) -> None:
    """As usual."""
    with Defects("GET /code"):
        pass
    assert caplog.text == ""
