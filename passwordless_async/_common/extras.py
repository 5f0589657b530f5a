"""Optional libraries (extras): the error if one is not installed."""

from __future__ import annotations


def missing_extra(extra: str, missing: ModuleNotFoundError, *, library: str) -> ModuleNotFoundError:
    """Return the error to raise for an import that failed: a sentence with the command, if the library is absent.

    Args:
        extra: The name of the extra.
        missing: The error of the import; returned as it is if another module is absent.
        library: The name of the library's package.
    """
    if (missing.name or "").partition(".")[0] != library:
        return missing
    return ModuleNotFoundError(
        f'{library} is not installed: pip install "passwordless-async[{extra}]"', name=missing.name
    )
