"""Proofs of possession (RFC 9449 §4): one new proof for every transmission.

A key's header never changes and the URL seldom does, so both are encoded once; ``jti``, ``iat``, ``nonce`` and the
signature are new in each proof. The tests compare the proofs with joserfc's.
"""

from __future__ import annotations

import hashlib
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from yarl import URL

from passwordless_async._common import clock as _clock
from passwordless_async._common.base64url import encode_text
from passwordless_async._common.secret import always_printable, conceal, hide, type_name
from passwordless_async.dpop.key import DPoPKey
from passwordless_async.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable


# By the package: a thread that imports a module of it alone deadlocks with one that imports the package.
_quoted = json.encoder.encode_basestring_ascii
# RFC 9110 §9.1: method = token, case-sensitive.
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}")


@always_printable
class ProofGenerator:
    """Makes the ``DPoP`` header fields of one key.

    Args:
        key: The key to prove possession of.
        clock: Returns ``iat``: seconds since the UNIX epoch.
        jti: Returns ``jti``: a text of at least 96 random bits, new at every call.
    """

    __slots__ = ("_ath", "_clock", "_jti", "key")

    def __init__(
        self, key: DPoPKey, *, clock: Callable[[], float] = _clock.now, jti: Callable[[], str] = _clock.unique_id
    ) -> None:
        key = hide(key)
        if not isinstance(key, DPoPKey):
            raise UsageError("key", f"must be a DPoPKey, not {type_name(key)}")
        self.key: DPoPKey = key
        self._clock = clock
        self._jti = jti
        self._ath: tuple[str | None, str] = (None, "")

    def proof(self, method: str, url: str | URL, *, nonce: str | None = None, access_token: str | None = None) -> str:
        """Make a proof for one transmission.

        Args:
            method: The method, in the case in which it is sent.
            url: The absolute URL of the request; its query and fragment are left out.
            nonce: The server's newest nonce for this origin (RFC 9449 §8).
            access_token: The access token of the request, for a resource request only (RFC 9449 §7).

        Returns:
            The compact JWT for the ``DPoP`` header field.

        Raises:
            UsageError: An argument has a wrong type or value.
        """
        if access_token is not None:
            access_token = conceal(access_token)
        if type(method) is not str:
            # A str enum equals and hashes like its text but prints differently.
            method = _exact(method)
        if nonce is not None and not isinstance(nonce, str):
            raise UsageError("nonce", f"must be a str, not {type(nonce).__name__}")
        if not isinstance(url, (str, URL)):
            raise UsageError("url", f"must be a str or a URL, not {type(url).__name__}")
        claims = f'{{{_of_request(method, url)},"jti":{_quoted(self._jti())},"iat":{int(self._clock())}'
        if access_token is not None:
            claims += f',"ath":"{self._hash(access_token)}"'
        if nonce is not None:
            claims += f',"nonce":{_quoted(nonce)}'
        return self.key.sign_jwt(f"{claims}}}".encode())

    def _hash(self, access_token: str) -> str:
        """Return ``ath``, cached for the last token: API calls send the same one many times."""
        ath = self._ath  # once: another thread may replace it
        if ath[0] != access_token:
            ath = self._ath = (access_token, token_hash(access_token))
        return ath[1]

    def __repr__(self) -> str:
        return f"<ProofGenerator {self.key.thumbprint}>"


def _exact(method: object) -> str:
    if not isinstance(method, str):
        raise UsageError("method", "must be an HTTP method")
    return str.__str__(method)


def token_hash(access_token: str) -> str:
    """Return ``ath``: base64url(SHA-256(ASCII(access token))) (RFC 9449 §4.2).

    Raises:
        UsageError: The token is empty or not ASCII.
    """
    access_token = conceal(access_token)
    if not isinstance(access_token, str) or not access_token or not access_token.isascii():
        raise UsageError("access_token", "must be a non-empty ASCII str")
    return encode_text(hashlib.sha256(access_token.encode()).digest())


def htu(url: str | URL) -> str:
    """Return the URL as it is sent, without query and fragment (RFC 9449 §4.2).

    Raises:
        UsageError: It is not an absolute http or https URL.
    """
    try:
        url = URL(url)
    except (ValueError, TypeError):
        url = URL()
    if url.scheme not in {"http", "https"} or not url.host_port_subcomponent:
        raise UsageError("url", "must be an absolute http or https URL")
    return f"{url.scheme}://{url.host_port_subcomponent}{url.raw_path}"


@lru_cache(maxsize=1024)
def _of_request(method: str, url: str | URL) -> str:
    """Return ``htm`` and ``htu`` as JSON text: the same for all proofs of an endpoint."""
    if not _METHOD.fullmatch(method):
        raise UsageError("method", "must be an HTTP method")
    return f'"htm":"{method}","htu":{_quoted(htu(url))}'
