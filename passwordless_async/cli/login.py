"""``login``: one person, one code, one look at what comes back.

The code is typed in the open: it is worth nothing a moment later, and a slip that is not seen costs one of three
attempts. It is not printed again, and neither is anything else that is secret, unless ``--show-tokens`` asks for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from passwordless_async._common import clock as _clock
from passwordless_async.auth0.identity import Email, Login, Phone
from passwordless_async.cli.options import Credentials, client_auth_options
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import one_line
from passwordless_async.cli.terminal.questions import ask
from passwordless_async.client.client import PasswordlessClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from passwordless_async._common.secret import Secret
    from passwordless_async.auth0.tokens import TokenSet


@click.command()
@click.option("--domain", required=True, help="The tenant, such as acme.eu.auth0.com or http://127.0.0.1:8080.")
@click.option("--client-id", required=True, help="The application.")
@click.option("--email", help="Who logs in: an e-mail address.")
@click.option("--phone", help="Who logs in: a phone number such as +4930901820.")
@click.option("--scope", default="openid profile email", show_default=True, help="What to ask for.")
@click.option("--audience", help="The API that the access token is for.")
@client_auth_options
@click.option("--show-tokens", is_flag=True, help="Print the tokens too. They are secrets.")
def login(
    *,
    domain: str,
    client_id: str,
    email: str | None,
    phone: str | None,
    scope: str,
    audience: str | None,
    credentials: Credentials,
    show_tokens: bool,
) -> None:
    """Log one person in, and show the claims and the binding."""
    with one_line():
        who = _who(email, phone)
        # Made once with a code that is none: what is wrong with the options shows before a code is sent.
        Login(who, "0", scope=scope, audience=audience)
        client_auth = credentials.read()

        def client() -> PasswordlessClient:
            return PasswordlessClient(domain, client_id, client_auth=client_auth)

        # Two event loops with the prompt between them: inside of one, Ctrl-C would have to wait for the code.
        interrupt.run(_start(client, who))
        otp = ask(f"A code was sent to {show.plain(who.username)}. Code: ")
        tokens = interrupt.run(_exchange(client, Login(who, otp, scope=scope, audience=audience)))
    _print(tokens)
    if show_tokens:
        _print_secrets(tokens)


def _who(email: str | None, phone: str | None) -> Email | Phone:
    if email is not None and phone is None:
        return Email(email)
    if phone is not None and email is None:
        return Phone(phone)
    raise click.UsageError("Say who logs in: --email or --phone, one of them.", click.get_current_context())


async def _start(client: Callable[[], PasswordlessClient], who: Email | Phone) -> None:
    async with client() as opened:
        await opened.start(who)


async def _exchange(client: Callable[[], PasswordlessClient], login: Login) -> TokenSet:
    async with client() as opened:
        return await opened.exchange(login.who, login.otp, scope=login.scope, audience=login.audience)


def _print(tokens: TokenSet) -> None:
    if tokens.claims is not None:
        show.table("Claims", tokens.claims.items())
    binding = {
        "token type": tokens.token_type,
        "bound to key": tokens.key.thumbprint,
        "expires in": _expiry(tokens.expires_at),
        "scope": tokens.scope,
        "refresh token": "no" if tokens.refresh_token is None else "yes",
    }
    show.table("Binding", binding.items())


def _expiry(expires_at: int | None) -> str:
    if expires_at is None:
        return "the tenant did not say"
    at = datetime.fromtimestamp(expires_at, UTC)
    return f"{expires_at - int(_clock.now()):,} seconds, at {at:%Y-%m-%d %H:%M:%S} UTC"


def _print_secrets(tokens: TokenSet) -> None:
    for name, value in _secrets(tokens):
        # In full and on a line of its own, where a table would break it: it is there to be copied.
        click.echo(f"{name}: {value}")


def _secrets(tokens: TokenSet) -> Iterator[tuple[str, Secret]]:
    yield "access_token", tokens.access_token
    if tokens.refresh_token is not None:
        yield "refresh_token", tokens.refresh_token
    if tokens.id_token is not None:
        yield "id_token", tokens.id_token
