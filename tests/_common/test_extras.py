"""What is said if a library is not installed that an extra brings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from passwordless_async._common.extras import missing_extra


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("passwordless_async.adapters.fastapi", "fastapi", "fastapi"),
        ("passwordless_async.adapters.starlette", "starlette", "starlette"),
        ("passwordless_async.adapters.httpx2", "httpx2", "httpx2"),
        ("passwordless_async.adapters.opentelemetry", "opentelemetry", "otel"),
        ("passwordless_async.stores.redis", "redis", "redis"),
        ("passwordless_async.gateway.pages.renderer", "jinja2", "gateway"),
        ("passwordless_async.gateway.pages.renderer", "segno", "gateway"),
        ("passwordless_async.gateway.pages.renderer", "markupsafe", "gateway"),
    ],
)
def test_absent_library_is_named_with_its_command(module: str, library: str, extra: str) -> None:
    """The last line of the traceback is a sentence with the command that helps."""
    code = f"import sys; sys.modules[{library!r}] = None; import {module}"
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    expected = f'ModuleNotFoundError: {library} is not installed: pip install "passwordless-async[{extra}]"'
    assert done.stderr.splitlines()[-1] == expected


def test_another_absent_module_is_not_blamed_on_the_extra() -> None:
    """A library that is installed but broken keeps its own error."""
    missing = ModuleNotFoundError("No module named 'httpcore2'", name="httpcore2")
    assert missing_extra("httpx2", missing, library="httpx2") is missing
