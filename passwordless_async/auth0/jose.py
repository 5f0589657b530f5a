"""joserfc's names, imported when they are first used (PEP 562), or by :func:`load`.

Importing joserfc loads much of cryptography, which takes a quarter of the time of importing aiohttp. An application
that imports this library but makes no client, such as a command line or a migration, saves that time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from passwordless_async._common.lazy import lazy, module_of

if TYPE_CHECKING:
    # What type checkers see.
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, OctKey, RSAKey
    from joserfc.jws import JWSRegistry

__all__ = ["ECKey", "JWSRegistry", "JoseError", "OctKey", "RSAKey", "jwt", "load"]

_MODULE_OF = module_of("joserfc", {"errors": "JoseError", "jwk": "ECKey OctKey RSAKey", "jws": "JWSRegistry"})
_MODULE_OF["jwt"] = "joserfc"


def load(*names: str) -> None:
    """Import the modules of names now. Call it where keys are made ready, so that no login waits for an import."""
    for name in names:
        getattr(sys.modules[__name__], name)


# Hidden from type checkers: with __getattr__, they would accept any name.
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, _MODULE_OF)
