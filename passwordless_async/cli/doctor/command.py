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
from passwordless_async.cli.doctor.examination import examine
from passwordless_async.cli.doctor.findings import Finding, Status, advice, failed, not_checked, shortened
from passwordless_async.cli.options import ClientAuthOptions, client_auth_options
from passwordless_async.cli.terminal import interrupt
from passwordless_async.cli.terminal.failure import one_line, problem_of
from passwordless_async.cli.terminal.questions import ask
from passwordless_async.cli.terminal.show import plain
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.errors import NotSenderConstrained, PasswordlessError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_COLOURS = {Status.OK: "green", Status.WARNING: "yellow", Status.FAILED: "bold red", Status.NOT_CHECKED: "dim"}
CODE, LOGIN, POLICY = "code", "login", "API policy"

_WHERE_CONNECTION = (
    "Check Authentication > Passwordless: the connection has to be on, and enabled for the application in its"
    " Applications tab."
)
_WHERE_POLICY = (
    "Set the API's policy: Applications > APIs > (your API) > Settings > Token Sender-Constraining, method DPoP."
)
_SCOPE = "openid"  # for an ID token, and for no refresh token that would live on


@click.command()
@click.option("--domain", required=True, help="The tenant, such as acme.eu.auth0.com or http://127.0.0.1:8080.")
@click.option("--client-id", required=True, help="The application.")
@client_auth_options
@click.option("--audience", help="The API that access tokens are for.")
@click.option("--send-to", metavar="EMAIL|+PHONE", help="Send a code there, ask for it and log in once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def doctor(
    *,
    domain: str,
    client_id: str,
    credentials: ClientAuthOptions,
    audience: str | None,
    send_to: str | None,
    as_json: bool,
) -> None:
    """Check a tenant, and say what is wrong and where to change it.

    Nothing is changed, and no code is sent without --send-to. One login that must fail shows whether the application
    is accepted: with a made-up code for doctor@example.invalid, an address that cannot exist. The tenant's logs show
    it as a failed login.

    The status is 1 if a check failed.
    """
    with one_line():
        who = _who(send_to)
        application = Application(domain, client_id, credentials.read())
        found = interrupt.run(examine(application, audience=audience))
        found += _by_login(application, who, audience, found)
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
    application: Application, who: Email | Phone | None, audience: str | None, found: tuple[Finding, ...]
) -> tuple[Finding, ...]:
    if who is None:
        return (_policy_not_checked("only a login shows it", "Give --send-to, and --audience for your API."),)
    if failed(found):
        return (_policy_not_checked("no code is sent while a check fails", "Correct what failed, then try again."),)
    sent = interrupt.run(send_code(application, who))
    if failed((sent,)):
        return sent, _policy_not_checked("no code was sent", "")
    try:
        login = Login(who, ask(f"A code was sent to {plain(who.username)}. Code: "), scope=_SCOPE, audience=audience)
    except click.ClickException as error:
        return sent, *login_not_tried(error.message[0].lower() + error.message[1:].removesuffix("."))
    except UsageError as error:
        return sent, *login_not_tried(f"not a code: {problem_of(error)}")
    return sent, *interrupt.run(log_in(application, login))


async def send_code(application: Application, who: Email | Phone) -> Finding:
    """Send a user a code."""
    async with _client(application) as client:
        try:
            await client.start(who)
        except PasswordlessError as error:
            return Finding(CODE, Status.FAILED, str(error), f"{advice(error)} {_WHERE_CONNECTION}")
    return Finding(CODE, Status.OK, "sent")


async def log_in(application: Application, login: Login) -> tuple[Finding, ...]:
    """Log a user in with a code, and discard the tokens."""
    async with _client(application) as client:
        try:
            await client.exchange(login.who, login.otp, scope=login.scope, audience=login.audience)
        except PasswordlessError as error:
            return _judge_failure(error, _api(login))
    bound = f"the access token of {_api(login)} is bound to the key"
    return Finding(LOGIN, Status.OK, "tokens were given"), Finding(POLICY, Status.OK, bound)


def login_not_tried(reason: str) -> tuple[Finding, ...]:
    """Return the findings for a code that was sent and not typed."""
    where = "Run it again and type the code that was sent; a newer one replaces it."
    return Finding(LOGIN, Status.FAILED, reason, where), *not_checked(POLICY)


def _policy_not_checked(reason: str, advice: str) -> Finding:
    return Finding(POLICY, Status.NOT_CHECKED, reason, advice)


def _judge_failure(error: PasswordlessError, api: str) -> tuple[Finding, ...]:
    if isinstance(error, NotSenderConstrained):
        detail = f"the access token of {api} is not bound: {error}"
        return Finding(LOGIN, Status.OK, "tokens were given"), Finding(POLICY, Status.FAILED, detail, _WHERE_POLICY)
    # A second factor is no defect.
    status = Status.WARNING if isinstance(error, MfaRequired) else Status.FAILED
    return Finding(LOGIN, status, str(error), advice(error)), *not_checked(POLICY)


def _api(login: Login) -> str:
    return "the default API" if login.audience is None else shortened(login.audience)


def _client(application: Application) -> PasswordlessClient:
    return PasswordlessClient(str(application.base), application.client_id, client_auth=application.client_auth)


def _print(found: Iterable[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"checks": [finding.to_json() for finding in found]}))
        return
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column("Check", no_wrap=True)
    grid.add_column("Result", no_wrap=True)
    grid.add_column("Evidence, and what to do", overflow="fold")
    for finding in found:
        text = Text(plain(finding.detail))
        if finding.advice:
            text.append(f"\n{plain(finding.advice)}", style="cyan")
        grid.add_row(Text(finding.name), Text(finding.status.value, style=_COLOURS[finding.status]), text)
    Console(highlight=False).print(grid)
