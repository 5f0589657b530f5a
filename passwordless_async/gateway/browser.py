"""Security headers of pages, and the CSRF check of requests.

Invariants:

- A GET changes nothing, except the callback of a link, which has its own rule: only this browser has its ``state``. A
  POST is accepted only from a page of this site.
- The browser names the site, by ``Sec-Fetch-Site`` or else ``Origin``, which no page can set. The form's token decides
  only if it sends neither.
- Requests for JSON need ``X-CSRF``: a page of another site cannot add it without a preflight, which is not answered.
- No page runs inline code, can be framed, is stored, or sends its URL to another site. Code of another site runs on one
  page only: the one with the captcha of the provider that the application configured.
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
_HSTS = "max-age=63072000"  # two years (RFC 6797). No includeSubDomains: the gateway must not decide for other hosts.
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
    """Return the header fields of the gateway's own responses.

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

    It does not reveal the secret, and differs for each login and session.
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
        secrets: The secrets that tokens were made from: of the browser's login and of its session, by its cookies.
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
