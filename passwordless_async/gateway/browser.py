"""What a browser is told about a page, and which of its requests count: security headers and the rule against CSRF.

Invariants:

- A GET changes nothing, but for the callback of a link, which has a rule of its own: its ``state`` is this browser's
  alone. A POST counts only if it comes from a page of this site.
- The browser says so, by ``Sec-Fetch-Site`` or else ``Origin``, which no page can set. Only if it sends neither, the
  form's token decides.
- JSON comes with ``X-CSRF``: a page of another site cannot add that without a preflight, which is not answered.
- No page runs inline code, is framed, is stored, or sends its URL elsewhere. Another site's code runs on one page
  alone: the one with a captcha, of a provider that the application names.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING

from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import Secret

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

CSRF_HEADER = "X-CSRF"
_HSTS = "max-age=63072000"  # two years (RFC 6797). Not includeSubDomains: other hosts are not the gateway's to bind.
_POLICY = (
    "default-src 'none'; style-src 'self'{origins}; script-src 'self'{origins}; connect-src 'self'{origins}; "
    "img-src 'self' data:{origins}; {frames}form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = (
    ("Cache-Control", "no-store"),
    # No path and no query, which may be the code of a link. Not no-referrer: with that, browsers send "Origin: null"
    # with a form, and the rule below would refuse it.
    ("Referrer-Policy", "strict-origin"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)


@lru_cache(maxsize=4)  # of a site with a captcha there are two, and each response has one of them
def page_headers(*, secure: bool, origins: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
    """Return the header fields of each response of the gateway's own.

    Args:
        secure: Whether the site is https.
        origins: Other sites that this page may use: those of a captcha's widget.
    """
    named = "".join(f" {origin}" for origin in origins)
    policy = _POLICY.format(origins=named, frames=f"frame-src{named}; " if origins else "")
    headers = (("Content-Security-Policy", policy), *_PAGE_HEADERS)
    return (*headers, ("Strict-Transport-Security", _HSTS)) if secure else headers


def csrf_token(secret: Secret) -> Secret:
    """Return the token for the forms of a login or a session, by its secret: the login's id, the session's identifier.

    It reveals nothing of the secret, and other logins and sessions have others.
    """
    digest = hmac.digest(secret.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256)
    return Secret(encode_text(digest))


def is_from_this_site(
    headers: CIMultiDictProxy[str], *, origin: str, token: str | None, secrets: tuple[Secret | None, ...]
) -> bool:
    """Return whether a request that changes something comes from a page of this site.

    Args:
        headers: Its header fields.
        origin: The site's origin.
        token: The token of its form; None if it has none.
        secrets: What tokens were made from: those of the browser's login and its session, by its cookies.
    """
    site = headers.getall("Sec-Fetch-Site", [])
    if site:
        return site == ["same-origin"]
    origins = headers.getall("Origin", [])
    if origins:
        return origins == [origin]
    if token is None or not token.isascii():
        return False
    return any(hmac.compare_digest(token, csrf_token(secret)) for secret in secrets if secret is not None)


def has_csrf_header(headers: CIMultiDictProxy[str]) -> bool:
    """Return whether a request carries the header field that only this site's own scripts can set."""
    return headers.getall(CSRF_HEADER, []) == ["1"]
