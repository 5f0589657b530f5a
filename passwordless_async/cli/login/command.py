"""``login``: logs one person in with a code and, if the tenant asks for one, a second factor.

The code is typed visibly: it is spent a moment later, and a typing error that is not seen costs one of three attempts.
No token is printed without ``--show-tokens``.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

import click

from passwordless_async.auth0.application import Application
from passwordless_async.auth0.identity import Email, Login, Phone
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.cli.login.caller import Caller, until_right
from passwordless_async.cli.login.factors import second_factor
from passwordless_async.cli.login.showing import as_json, print_tables
from passwordless_async.cli.options import ClientAuthOptions, application_options, client_auth_options, dpop_option
from passwordless_async.cli.proof import read_key
from passwordless_async.cli.terminal import show
from passwordless_async.cli.terminal.failure import one_line
from passwordless_async.cli.terminal.questions import require_terminal
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.stores import MemoryStore

if TYPE_CHECKING:
    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.auth0.tokens import TokenSet
    from passwordless_async.dpop import DPoPKey

_EXAMPLES = """\
\b
Examples:
  passwordless-async login --domain acme.eu.auth0.com --client-id ID \\
    --email ada@example.com
  passwordless-async login --domain acme.eu.auth0.com --client-id ID \\
    --phone +4930901820 --client-secret-from file:/run/secrets/client \\
    --audience https://api.example --key key.pem
  passwordless-async login --domain acme.eu.auth0.com --client-id ID \\
    --email ada@example.com --json
"""


@click.command(epilog=_EXAMPLES, short_help="Log in one user, and show claims and binding.")
@application_options
@click.option("--email", help="The user's e-mail address.")
@click.option("--phone", help="The user's phone number, such as +4930901820.")
@click.option("--scope", default="openid profile email", show_default=True, help="The scopes to request.")
@click.option("--audience", help="The API that the access token is for.")
@dpop_option
@click.option(
    "--key",
    "key_file",
    type=click.Path(),
    metavar="FILE",
    help="The private key to bind the tokens to, PEM. Default: a new key.",
)
@client_auth_options
@click.option("--show-tokens", is_flag=True, help="Print the tokens too; they are secrets.")
@click.option("--json", "is_json", is_flag=True, help="Print one JSON object instead of tables.")
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
    is_json: bool,
) -> None:
    """Log in one user, and show the claims, the binding, and how to call an API with the tokens.

    The command sends a code and asks you for it. After a wrong code it asks again while attempts are left; an empty
    line gives up. If the tenant requires a second factor, you choose and answer it here, or enrol one.

    Questions go to standard error, the result to standard output. The status is 0 for a login, 1 for a failure, 2 for
    wrong usage, which includes a standard input that is no terminal, and 130 for Ctrl-C.
    """
    with one_line():
        who = _who(email, phone)
        key = _key(key_file, dpop)
        # Made to be checked, one with a placeholder code: wrong options are refused before a code is sent.
        wanted = Login(who, "0", scope=scope, audience=audience)
        client_auth, store = credentials.read(), MemoryStore()
        Application(domain, client_id, client_auth)
        require_terminal("to type the code on")
        caller = Caller(
            functools.partial(PasswordlessClient, domain, client_id, client_auth=client_auth, dpop=dpop, store=store)
        )
        tokens = _log_in(caller, who, wanted, key)
    if is_json:
        click.echo(json.dumps(as_json(tokens, with_tokens=show_tokens)))
    else:
        print_tables(tokens, key_file=key_file, with_tokens=show_tokens)


def _log_in(caller: Caller, who: Email | Phone, wanted: Login, key: DPoPKey | None) -> TokenSet:
    """Send a code, and ask for it until it is right."""
    caller.run(lambda client: client.start(who))

    def attempt(otp: str) -> TokenSet:
        return caller.run(
            lambda client: client.exchange(who, otp, scope=wanted.scope, audience=wanted.audience, key=key)
        )

    try:
        return until_right(f"A code was sent to {show.plain(who.username)}. Code: ", attempt)
    except MfaRequired as error:
        required = error
    return second_factor(caller, required)


def _who(email: str | None, phone: str | None) -> Email | Phone:
    if email is not None and phone is None:
        return Email(email)
    if phone is not None and email is None:
        return Phone(phone)
    raise click.UsageError("Give either --email or --phone.", click.get_current_context())


def _key(key_file: str | None, dpop: DPoPMode) -> DPoPKey | None:
    if key_file is None:
        return None
    if dpop == "off":
        raise click.BadParameter("with --dpop off no key is used", click.get_current_context(), param_hint="--key")
    return read_key(key_file)
