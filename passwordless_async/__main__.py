"""``python -m passwordless_async`` is the same as ``passwordless-async``."""

import sys

from passwordless_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
