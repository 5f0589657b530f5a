"""The output of ``login``: tables for people, or one JSON object. Neither has a token without ``--show-tokens``."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from passwordless_async._common import clock as _clock
from passwordless_async.cli.terminal import show

if TYPE_CHECKING:
    from passwordless_async.auth0.tokens import TokenSet

_FILE_NAME = "access-token"
_KEEP_KEY = "To use the tokens afterwards, log in with --key FILE; passwordless-async keygen --out FILE makes one."
_TOKENS = ("access_token", "refresh_token", "id_token")


def print_tables(tokens: TokenSet, *, key_file: str | None, with_tokens: bool) -> None:
    """Print the claims, the binding, how to call an API and, if asked for, the tokens."""
    _print(tokens)
    click.echo(_how_to_call(tokens, key_file))
    if with_tokens:
        _print_secrets(tokens)


def as_json(tokens: TokenSet, *, with_tokens: bool) -> dict[str, Any]:
    """Return the login as a JSON object; its members are documented, and stay."""
    shown = {
        "issuer": tokens.issuer,
        "token_type": tokens.token_type,
        "jkt": tokens.jkt if tokens.bound else None,
        "expires_at": tokens.expires_at,
        "scope": tokens.scope,
        "audience": tokens.audience,
        "has_refresh_token": tokens.refresh_token is not None,
        "claims": None if tokens.claims is None else dict(tokens.claims),
    }
    return {**shown, "tokens": {name: getattr(tokens, name) for name in _TOKENS}} if with_tokens else shown


def _print(tokens: TokenSet) -> None:
    if tokens.claims is not None:
        show.table("Claims", tokens.claims.items())
    binding = {
        "token type": tokens.token_type,
        "bound to key": tokens.jkt if tokens.bound else "no: a thief could use the access token",
        "expires in": _expiry(tokens.expires_at),
        "scope": tokens.scope,
        "refresh token": "no" if tokens.refresh_token is None else "yes",
    }
    show.table("Binding", binding.items())


def _how_to_call(tokens: TokenSet, key_file: str | None) -> str:
    """Return an example of an API call: bound tokens need a proof by their key, others are Bearer tokens."""
    audience = tokens.audience or ""
    url = shlex.quote(audience if audience.startswith(("https://", "http://")) else f"{tokens.issuer}userinfo")
    intro = f"To call an API, write the access token to the file {_FILE_NAME} (--show-tokens prints it):"
    if not tokens.bound:
        return f'{intro}\n\n  curl {url} -H "Authorization: Bearer $(cat {_FILE_NAME})"\n'
    key = "key.pem" if key_file is None else shlex.quote(key_file)
    if key_file is None:
        intro = f"The key of this login was not saved. {_KEEP_KEY}\n{intro}"
    return (
        f'{intro}\n\n  curl {url} -H "Authorization: DPoP $(cat {_FILE_NAME})" \\\n'
        f'    -H "DPoP: $(passwordless-async proof --key {key} --method GET --url {url} \\\n'
        f'    --access-token-file {_FILE_NAME})"\n'
    )


def _expiry(expires_at: int | None) -> str:
    if expires_at is None:
        return "not stated by the tenant"
    at = datetime.fromtimestamp(expires_at, UTC)
    return f"{expires_at - int(_clock.now()):,} seconds, at {at:%Y-%m-%d %H:%M:%S} UTC"


def _print_secrets(tokens: TokenSet) -> None:
    for name in _TOKENS:
        secret = getattr(tokens, name)
        if secret is not None:
            # On a line of its own, to be copied: a table would wrap it.
            click.echo(f"{name}: {secret}")
