"""Every error of the library, made without its arguments: for tests that go through the whole tree."""

from __future__ import annotations

from typing import TypeVar

from passwordless_async import errors
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.errors import PasswordlessError

E = TypeVar("E", bound=PasswordlessError)

_FACTS = {"status": 400, "error": "", "error_description": "", "retry_after": None}


def classes(root: type[PasswordlessError] = PasswordlessError) -> list[type[PasswordlessError]]:
    """Return the public classes of the tree below a root, the root included, sorted by name."""
    public = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, root)]
    return sorted({*public, MfaRequired} if issubclass(MfaRequired, root) else public, key=lambda kind: kind.__name__)


def made(kind: type[E], **facts: object) -> E:
    """Return an error with facts."""
    error = kind.__new__(kind)
    error.__dict__.update({**_FACTS, **facts})
    return error
