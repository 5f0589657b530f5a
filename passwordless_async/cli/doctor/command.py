"""``doctor``: checks a tenant, and says what is wrong and where to change it.

Only a real login, with ``--send-to``, shows whether the API's access tokens are bound.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import click
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passwordless_async.auth0.application import Application
from passwordless_async.auth0.identity import Email, Login, Phone
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.cli.doctor.examination import examine
from passwordless_async.cli.doctor.findings import Finding, Status, Verdict, advice, failed, not_checked
from passwordless_async.cli.doctor.probe import policy
from passwordless_async.cli.options import ClientAuthOptions, application_options, client_auth_options, dpop_option
from passwordless_async.cli.terminal import interrupt
from passwordless_async.cli.terminal.failure import one_line, problem_of
from passwordless_async.cli.terminal.questions import ask, require_input
from passwordless_async.cli.terminal.show import plain
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.errors import NotSenderConstrained, PasswordlessError, SenderConstrained, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

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
_GIVEN = Finding(LOGIN, Status.OK, "the tenant issued tokens")
_FAILING = {False: {Verdict.FAILED}, True: {Verdict.FAILED, Verdict.WARNINGS}}
_SCOPE = "openid"  # for an ID token; no refresh token, which would stay valid


_EXAMPLES = """\
\b
Examples:
  passwordless-async doctor --domain acme.eu.auth0.com --client-id ID
  passwordless-async doctor --domain acme.eu.auth0.com --client-id ID \\
    --client-secret-from env:CLIENT_SECRET --audience https://api.example \\
    --send-to ada@example.com
  passwordless-async doctor --domain acme.eu.auth0.com --client-id ID \\
    --strict --json
"""


@click.command(epilog=_EXAMPLES)
@application_options
@client_auth_options
@click.option("--audience", multiple=True, help="An API that access tokens are for; may be given several times.")
@dpop_option
@click.option(
    "--send-to", metavar="EMAIL|+PHONE", help="Send a code to this address, ask for it, and log in; once for each API."
)
@click.option("--strict", is_flag=True, help="Exit with status 1 also for warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def doctor(
    *,
    domain: str,
    client_id: str,
    credentials: ClientAuthOptions,
    audience: tuple[str, ...],
    dpop: DPoPMode,
    send_to: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Check a tenant, and say what is wrong and where to change it.

    The command changes nothing, and sends no code without --send-to. It tries to log in with a made-up code for
    doctor@example.invalid, an address that cannot exist: the error shows whether the tenant accepts the application,
    and whether each API allows a login without DPoP. The tenant's logs show these as failed logins. With --send-to, it
    also makes a real login for each --audience, each with its own code, and checks the tokens. Type the codes, or pipe
    them, one a line.

    The status is 0 if no check failed, 1 if one did, 2 for wrong usage.
    """
    with one_line():
        who = _who(send_to)
        application = Application(domain, client_id, credentials.read())
        audiences = tuple(dict.fromkeys(audience))
        if who is not None:
            require_input("to type the code on")
        found = interrupt.run(examine(application, audiences=audiences, dpop=dpop))
        found = _by_logins(application, who, audiences, dpop, found)
    _print(found, as_json=as_json)
    if Verdict.of(found) in _FAILING[strict]:
        click.get_current_context().exit(1)


def _who(send_to: str | None) -> Email | Phone | None:
    if send_to is None:
        return None
    try:
        return Phone(send_to) if send_to.startswith("+") else Email(send_to)
    except UsageError as error:
        # By its option here; login has others for the same argument.
        raise UsageError("--send-to", problem_of(error)) from None


def _by_logins(
    application: Application,
    who: Email | Phone | None,
    audiences: tuple[str, ...],
    dpop: DPoPMode,
    found: tuple[Finding, ...],
) -> tuple[Finding, ...]:
    """Return the findings, and those of a login for each API; what it shows of a policy replaces the guess."""
    if who is None:
        return found
    if failed(found):
        where = "Correct what failed, then try again."
        return *found, Finding(CODE, Status.NOT_CHECKED, "no code is sent while a check fails", where)
    is_on = True
    for audience in audiences or (None,):
        api = audience if len(audiences) > 1 else None  # named where there are several
        shown = not_checked(CODE, LOGIN, audience=api)
        if is_on:
            is_on, shown = _by_login(application, who, audience, dpop, api)
        found = _with(found, shown)
    return found


def _with(found: tuple[Finding, ...], newer: tuple[Finding, ...]) -> tuple[Finding, ...]:
    titles = {finding.title for finding in newer}
    return *(finding for finding in found if finding.title not in titles), *newer


def _by_login(
    application: Application, who: Email | Phone, audience: str | None, dpop: DPoPMode, api: str | None
) -> tuple[bool, tuple[Finding, ...]]:
    """Return whether another code may be sent, and the findings of this one and of the login with it."""
    sent = attrs.evolve(interrupt.run(send_code(application, who)), audience=api)
    if failed((sent,)):
        return False, (sent, *not_checked(LOGIN, audience=api))
    try:
        otp = ask(f"A code was sent to {plain(who.username)}{f' for {plain(api)}' if api else ''}. Code: ")
        login = Login(who, otp, scope=_SCOPE, audience=audience)
    except click.ClickException as error:
        reason = error.message[0].lower() + error.message[1:].removesuffix(".")
        return False, (sent, attrs.evolve(login_not_tried(reason), audience=api))
    except UsageError as error:
        return True, (sent, attrs.evolve(login_not_tried(f"not a code: {problem_of(error)}"), audience=api))
    first, *policy = interrupt.run(log_in(application, login, dpop))
    return True, (sent, attrs.evolve(first, audience=api), *policy)


async def send_code(application: Application, who: Email | Phone) -> Finding:
    """Send a user a code."""
    async with _client(application, "required") as client:
        try:
            await client.start(who)
        except PasswordlessError as error:
            where = f"{advice(error)} {_WHERE_CONNECTION}"
            return Finding(CODE, Status.FAILED, str(error), where)
    return Finding(CODE, Status.OK, "sent")


async def log_in(application: Application, login: Login, dpop: DPoPMode = "required") -> tuple[Finding, ...]:
    """Log a user in with a code, and discard the tokens."""
    audience = login.audience
    async with _client(application, dpop) as client:
        try:
            tokens = await client.exchange(login.who, login.otp, scope=login.scope, audience=audience)
        except PasswordlessError as error:
            return _judge_failure(error, audience)
    if tokens.bound:
        detail = "the access token is bound to the key, so the method is DPoP: the modes required and preferred work"
    elif dpop == "preferred":
        detail = (
            "the access token is not bound, though a proof was sent, so the method is None: the modes preferred and off"
            " work, required does not"
        )
    else:
        detail = "the access token is a Bearer token: the mode off works"
    return _GIVEN, policy(audience, Status.OK, detail)


def login_not_tried(reason: str) -> Finding:
    """Return the finding for a code that was sent and not typed."""
    where = "Run it again and type the code that was sent; a newer one replaces it."
    return Finding(LOGIN, Status.FAILED, reason, where)


def _judge_failure(error: PasswordlessError, audience: str | None) -> tuple[Finding, ...]:
    if isinstance(error, NotSenderConstrained | SenderConstrained):
        where = _WHERE_POLICY if isinstance(error, NotSenderConstrained) else _WHERE_BOUND
        return _GIVEN, policy(audience, Status.FAILED, str(error), where)
    # A second factor is no defect.
    status = Status.WARNING if isinstance(error, MfaRequired) else Status.FAILED
    return (Finding(LOGIN, status, str(error), advice(error)),)


def _client(application: Application, dpop: DPoPMode) -> PasswordlessClient:
    domain, client_auth = str(application.base), application.client_auth
    return PasswordlessClient(domain, application.client_id, client_auth=client_auth, dpop=dpop)


def _print(found: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"verdict": Verdict.of(found), "checks": [finding.to_json() for finding in found]}))
        return
    grid = Table(box=box.SIMPLE_HEAD)
    grid.add_column("Check", overflow="fold", max_width=_CHECK_WIDTH)
    grid.add_column("Result", no_wrap=True)
    grid.add_column("Evidence, and what to do", overflow="fold")
    for finding in found:
        text = Text(plain(finding.detail))
        if finding.advice:
            text.append(f"\n{plain(finding.advice)}", style="cyan")
        grid.add_row(Text(finding.title), Text(finding.status.value, style=_COLOURS[finding.status]), text)
    Console(highlight=False).print(grid)
