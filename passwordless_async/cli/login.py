"""``login``: logs one person in with a code, and shows the claims and the binding.

The code is typed visibly: it is spent a moment later, and a typing error that is not seen costs one of three attempts.
No secret is printed without ``--show-tokens``.
"""

from __future__ import annotations

import functools
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import Email, Login, Phone
from passwordless_async.cli.options import ClientAuthOptions, client_auth_options, dpop_option
from passwordless_async.cli.proof import read_key
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import one_line
from passwordless_async.cli.terminal.questions import ask
from passwordless_async.client.client import PasswordlessClient

if TYPE_CHECKING:
    from collections.abc import Callable

    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.dpop import DPoPKey

_FILE_NAME = "access-token"
_KEEP_KEY = "To use the tokens afterwards, log in with --key FILE; passwordless-async keygen --out FILE makes one."


@click.command()
@click.option("--domain", required=True, help="The tenant, such as acme.eu.auth0.com or http://127.0.0.1:8080.")
@click.option("--client-id", required=True, help="The application.")
@click.option("--email", help="The user's e-mail address.")
@click.option("--phone", help="The user's phone number, such as +4930901820.")
@click.option("--scope", default="openid profile email", show_default=True, help="The scopes to request.")
@click.option("--audience", help="The API that the access token is for.")
@dpop_option
@click.option(
    "--key", "key_file", metavar="FILE", help="The private key to bind the tokens to, PEM; a new one unless given."
)
@client_auth_options
@click.option("--show-tokens", is_flag=True, help="Print the tokens too; they are secrets.")
def login(  # noqa: PLR0913 - the options of the command
    *,
    domain: str,
    client_id: str,
    email: str | None,
    phone: str | None,
    scope: str,
    audience: str | None,
    dpop: DPoPMode,
    key_file: str | None,
    credentials: ClientAuthOptions,
    show_tokens: bool,
) -> None:
    """Log one person in, and show the claims, the binding, and how to call an API with the tokens."""
    with one_line():
        who = _who(email, phone)
        key = _key(key_file, dpop)
        # A login with a placeholder code: wrong options are refused before a code is sent.
        Login(who, "0", scope=scope, audience=audience)
        client_auth = credentials.read()
        client = functools.partial(PasswordlessClient, domain, client_id, client_auth=client_auth, dpop=dpop)
        # Two event loops with the prompt between them: inside one, Ctrl-C would wait until the code is typed.
        interrupt.run(_start(client, who))
        otp = ask(f"A code was sent to {show.plain(who.username)}. Code: ")
        tokens = interrupt.run(_exchange(client, Login(who, otp, scope=scope, audience=audience), key))
    _print(tokens)
    click.echo(_how_to_call(tokens, key_file))
    if show_tokens:
        _print_secrets(tokens)


def _who(email: str | None, phone: str | None) -> Email | Phone:
    if email is not None and phone is None:
        return Email(email)
    if phone is not None and email is None:
        return Phone(phone)
    raise click.UsageError("Give --email or --phone, one of them.", click.get_current_context())


def _key(key_file: str | None, dpop: DPoPMode) -> DPoPKey | None:
    if key_file is None:
        return None
    if dpop == "off":
        raise click.BadParameter("with --dpop off no key is used", click.get_current_context(), param_hint="--key")
    return read_key(key_file)


async def _start(client: Callable[[], PasswordlessClient], who: Email | Phone) -> None:
    async with client() as opened:
        await opened.start(who)


async def _exchange(client: Callable[[], PasswordlessClient], login: Login, key: DPoPKey | None) -> TokenSet:
    async with client() as opened:
        return await opened.exchange(login.who, login.otp, scope=login.scope, audience=login.audience, key=key)


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
        intro = f"The key of this login is gone with it. {_KEEP_KEY}\n{intro}"
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
    for name in ("access_token", "refresh_token", "id_token"):
        secret = getattr(tokens, name)
        if secret is not None:
            # On a line of its own, to be copied: a table would wrap it.
            click.echo(f"{name}: {secret}")
