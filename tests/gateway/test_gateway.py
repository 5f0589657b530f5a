"""The gateway: its arguments."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from helpers.sites import request
from passwordless_async import MemoryStore, PasswordlessClient, UsageError
from passwordless_async.gateway import Gateway

CLIENT = PasswordlessClient("acme.eu.auth0.com", "client", store=MemoryStore())


async def test_a_request_without_a_mount() -> None:
    """``handle`` is for other frameworks: values in, values out."""
    gateway = Gateway(CLIENT, base_url="https://app.example", brand="Acme & Sons")
    response = await gateway.handle(request())
    assert (response.status, b"Acme &amp; Sons" in response.body) == (200, True)
    assert repr(gateway) == "<Gateway for https://app.example>"


@pytest.mark.parametrize(
    "arguments", [{"client": None}, {"base_url": "http://app.example"}, {"scope": "email"}], ids=str
)
def test_what_is_refused(arguments: dict[str, Any]) -> None:
    """The error names the argument."""
    with pytest.raises(UsageError) as refused:
        Gateway(**{"client": CLIENT, "base_url": "https://app.example", **arguments})
    assert refused.value.argument == next(iter(arguments))


def test_without_the_extra() -> None:
    """The sentence has the command."""
    code = "import sys; sys.modules['jinja2'] = None; from passwordless_async.gateway import Gateway"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own code
    assert 'jinja2 is not installed: pip install "passwordless-async[gateway]"' in done.stderr
