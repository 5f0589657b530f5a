"""What an application calls: the client, and what its calls are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy

if TYPE_CHECKING:
    from passwordless_async.client.client import PasswordlessClient

__all__ = ["PasswordlessClient"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, {"PasswordlessClient": "passwordless_async.client.client"})
