"""The command line. Its libraries are an extra; without them it prints a hint instead of a traceback."""

from __future__ import annotations

import sys

from passwordless_async.cli.terminal import interrupt

_EXTRA = frozenset(("click", "rich"))
_HINT = "passwordless-async: the command line needs its libraries: pip install 'passwordless-async[cli]'\n"


def main() -> int:
    """Run the command line and return the exit status."""
    try:
        # Not at the top: the libraries may be absent, and importing them takes long enough for a Ctrl-C.
        from passwordless_async.cli.app import run  # noqa: PLC0415 - see above

        return run()
    except KeyboardInterrupt:
        return interrupt.EXIT_STATUS
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(_HINT)
        return 1
    finally:
        interrupt.ignore()  # Python prints a traceback if it is interrupted while it exits
