"""``doctor``: checks a tenant, and says what is wrong and where to change it.

Only a real login, with ``--send-to``, shows whether the API's access tokens are bound.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passwordless_async.auth0.application import Application
from passwordless_async.auth0.identity import Email, Login, Phone
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.cli.doctor.examination import examine, policy_name
from passwordless_async.cli.doctor.findings import Finding, Status, advice, failed
from passwordless_async.cli.options import ClientAuthOptions, client_auth_options, dpop_option
from passwordless_async.cli.terminal import interrupt
from passwordless_async.cli.terminal.failure import one_line, problem_of
from passwordless_async.cli.terminal.questions import ask
from passwordless_async.cli.terminal.show import plain
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.errors import NotSenderConstrained, PasswordlessError, SenderConstrained, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from passwordless_async.auth0.tenant import DPoPMode

_COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red", Status.NOT_CHECKED: "dim"}
CODE, LOGIN = "code", "login"
_CHECK_WIDTH = 30  # characters; the identifier of an API may be long

_WHERE_CONNECTION = (
    "Check Authentication > Passwordless: the connection has to be on, and enabled for the application in its"
    " Applications tab."
)
_WHERE_POLICY = (
    'Use dpop="preferred", or set the API\'s policy: Applications > APIs > (your API) > Settings > Token'
    " Sender-Constraining, method DPoP."
)
_WHERE_BOUND = 'Use dpop="preferred" or "required".'
_SCOPE = "openid"  # for an ID token, and for no refresh token that would live on


@click.command()
@click.option("--domain", required=True, help="The tenant, such as acme.eu.auth0.com or http://127.0.0.1:8080.")
@click.option("--client-id", required=True, help="The application.")
@client_auth_options
@click.option("--audience", multiple=True, help="An API that access tokens are for; may be given several times.")
@dpop_option
@click.option("--send-to", metavar="EMAIL|+PHONE", help="Send a code there, ask for it and log in once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def doctor(
    *,
    domain: str,
    client_id: str,
    credentials: ClientAuthOptions,
    audience: tuple[str, ...],
    dpop: DPoPMode,
    send_to: str | None,
    as_json: bool,
) -> None:
    """Check a tenant, and say what is wrong and where to change it.

    Nothing is changed, and no code is sent without --send-to. Logins that must fail show whether the application is
    accepted, and whether each API takes a login without DPoP: with a made-up code for doctor@example.invalid, an
    address that cannot exist. The tenant's logs show them as failed logins. With --send-to one login, for the first
    --audience, shows what only tokens show.

    The status is 1 if a check failed.
    """
    with one_line():
        who = _who(send_to)
        application = Application(domain, client_id, credentials.read())
        found = interrupt.run(examine(application, audiences=audience, dpop=dpop))
        found = _by_login(application, who, audience[0] if audience else None, dpop, found)
    _print(found, as_json=as_json)
    if failed(found):
        click.get_current_context().exit(1)


def _who(send_to: str | None) -> Email | Phone | None:
    if send_to is None:
        return None
    try:
        return Phone(send_to) if send_to.startswith("+") else Email(send_to)
    except UsageError as error:
        # By its option here; login has others for the same argument.
        raise UsageError("--send-to", problem_of(error)) from None


def _by_login(
    application: Application,
    who: Email | Phone | None,
    audience: str | None,
    dpop: DPoPMode,
    found: tuple[Finding, ...],
) -> tuple[Finding, ...]:
    """Return the findings, and those of a login; what it shows of an API's policy takes the place of the guess."""
    if who is None:
        return found
    if failed(found):
        where = "Correct what failed, then try again."
        return *found, Finding(CODE, Status.NOT_CHECKED, "no code is sent while a check fails", where)
    sent = interrupt.run(send_code(application, who))
    if failed((sent,)):
        return *found, sent
    try:
        login = Login(who, ask(f"A code was sent to {plain(who.username)}. Code: "), scope=_SCOPE, audience=audience)
    except click.ClickException as error:
        return *found, sent, login_not_tried(error.message[0].lower() + error.message[1:].removesuffix("."))
    except UsageError as error:
        return *found, sent, login_not_tried(f"not a code: {problem_of(error)}")
    shown = interrupt.run(log_in(application, login, dpop))
    names = {finding.name for finding in shown}
    return *(finding for finding in found if finding.name not in names), sent, *shown


async def send_code(application: Application, who: Email | Phone) -> Finding:
    """Send a user a code."""
    async with _client(application, "required") as client:
        try:
            await client.start(who)
        except PasswordlessError as error:
            return Finding(CODE, Status.FAILED, str(error), f"{advice(error)} {_WHERE_CONNECTION}")
    return Finding(CODE, Status.OK, "sent")


async def log_in(application: Application, login: Login, dpop: DPoPMode = "required") -> tuple[Finding, ...]:
    """Log a user in with a code, and discard the tokens."""
    policy = policy_name(login.audience)
    async with _client(application, dpop) as client:
        try:
            tokens = await client.exchange(login.who, login.otp, scope=login.scope, audience=login.audience)
        except PasswordlessError as error:
            return _judge_failure(error, policy)
    if tokens.bound:
        detail = (
            "the access token is bound to the key, so the policy is not none: the modes required and preferred work"
        )
    elif dpop == "preferred":
        detail = (
            "the access token is not bound, though a proof was sent, so the policy is none: the modes preferred and off"
            " work, required does not"
        )
    else:
        detail = "the access token is a Bearer token: the mode off works"
    return Finding(LOGIN, Status.OK, "tokens were given"), Finding(policy, Status.OK, detail)


def login_not_tried(reason: str) -> Finding:
    """Return the finding for a code that was sent and not typed."""
    where = "Run it again and type the code that was sent; a newer one replaces it."
    return Finding(LOGIN, Status.FAILED, reason, where)


def _judge_failure(error: PasswordlessError, policy: str) -> tuple[Finding, ...]:
    if isinstance(error, NotSenderConstrained | SenderConstrained):
        where = _WHERE_POLICY if isinstance(error, NotSenderConstrained) else _WHERE_BOUND
        return Finding(LOGIN, Status.OK, "tokens were given"), Finding(policy, Status.FAILED, str(error), where)
    # A second factor is no defect.
    status = Status.WARNING if isinstance(error, MfaRequired) else Status.FAILED
    return (Finding(LOGIN, status, str(error), advice(error)),)


def _client(application: Application, dpop: DPoPMode) -> PasswordlessClient:
    domain, client_auth = str(application.base), application.client_auth
    return PasswordlessClient(domain, application.client_id, client_auth=client_auth, dpop=dpop)


def _print(found: Iterable[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"checks": [finding.to_json() for finding in found]}))
        return
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column("Check", overflow="fold", max_width=_CHECK_WIDTH)
    grid.add_column("Result", no_wrap=True)
    grid.add_column("Evidence, and what to do", overflow="fold")
    for finding in found:
        text = Text(plain(finding.detail))
        if finding.advice:
            text.append(f"\n{plain(finding.advice)}", style="cyan")
        grid.add_row(Text(finding.name), Text(finding.status.value, style=_COLOURS[finding.status]), text)
    Console(highlight=False).print(grid)
