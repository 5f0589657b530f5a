"""Every error of the library, made without its arguments: for tests that go through the whole tree."""

from __future__ import annotations

from typing import TypeVar

from passwordless_async.auth0.mfa.required import MfaRequired
from passwordless_async.errors import PasswordlessError

E = TypeVar("E", bound=PasswordlessError)

_FACTS = {"status": 400, "error": "", "error_description": "", "retry_after": None}


def classes(root: type[PasswordlessError] = PasswordlessError) -> list[type[PasswordlessError]]:
    """Return the classes of the tree that the library defines, the root included, sorted by name."""
    assert issubclass(MfaRequired, PasswordlessError)  # defined elsewhere: it must be imported to be in the tree
    found, left = {root}, [root]
    while left:
        children = {kind for kind in left.pop().__subclasses__() if kind.__module__.startswith("passwordless_async.")}
        left += children - found
        found |= children
    return sorted(found, key=lambda kind: kind.__name__)


def made(kind: type[E], **facts: object) -> E:
    """Return an error with facts."""
    error = kind.__new__(kind)
    error.__dict__.update({**_FACTS, **facts})
    return error
