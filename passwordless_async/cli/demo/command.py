"""``demo``: logs in many users at a tenant in a second process, and verifies the result."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import attrs
import click

from passwordless_async.auth0.identity import Email
from passwordless_async.cli.demo import measure
from passwordless_async.cli.demo.checks import prove
from passwordless_async.cli.options import dpop_option
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import one_line, sentence
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.client.profile import INTERACTIVE
from passwordless_async.testing import TenantProcess, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from passwordless_async.auth0.tenant import DPoPMode
    from passwordless_async.cli.demo.checks import Check
    from passwordless_async.cli.demo.measure import CrowdLogins

MAX_USERS = 100_000  # as many codes as the tenant remembers
_CODE_LIFETIME = 3600.0  # seconds; the first code waits until the last is sent, also on a slow machine
_TIMEOUT = 60.0  # seconds for one request, also on a slow machine
_OTHER_FILES = 64  # more than a process has open besides its sockets
_GUESTS = 10  # users that the checks add


_EXAMPLES = """\
\b
Examples:
  passwordless-async demo
  passwordless-async demo --users 10000 --concurrency 256
  passwordless-async demo --users 1 --concurrency 1 --json
"""


@click.command(epilog=_EXAMPLES, short_help="Log in many users on this machine, and verify the result.")
@click.option(
    "--users", type=click.IntRange(1, MAX_USERS), default=1000, show_default=True, help="The number of users."
)
@click.option(
    "--concurrency", type=click.IntRange(1), default=128, show_default=True, help="The number of logins in flight."
)
@dpop_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def demo(*, users: int, concurrency: int, dpop: DPoPMode, as_json: bool) -> None:
    """Log in many users at a tenant on this machine, and verify the result.

    The tenant runs in a second process and verifies everything. Each user logs in over real sockets and gets tokens
    bound to their own key, or Bearer tokens with --dpop off.

    Latency is the time from the call to the verified tokens. With many logins in flight, most of it is waiting for the
    event loop; use --concurrency 1 to measure single logins.
    """
    concurrency = min(concurrency, users)
    _allow_sockets(concurrency)
    with one_line(), show.Bar() as bar:
        logins, defects = interrupt.run(_demonstrate(users, concurrency, dpop, bar))
    if as_json:
        checks = {check.name: defect is None for check, defect in defects.items()}
        click.echo(json.dumps({**logins.figures(), "checks": checks}))
    else:
        _print(f"{users:,} users, {concurrency:,} at once", logins, defects)
    errors = list(_errors(logins, defects))
    for error in errors:
        click.echo(f"Error: {show.plain(sentence(error))}", err=True)
    if errors:
        raise click.exceptions.Exit(1)


def _allow_sockets(number: int) -> None:
    """Raise the limit of open files of this process and its children; some systems begin with 256."""
    try:
        import resource  # noqa: PLC0415 - POSIX alone has it
    except ModuleNotFoundError:
        return
    needed = number + _OTHER_FILES
    allowed, at_most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, at_most))
    except (ValueError, OSError):
        problem = f"{number:,} sockets are more than this machine allows"
        raise click.BadParameter(problem, click.get_current_context(), param_hint="--concurrency") from None


async def _demonstrate(
    users: int, concurrency: int, dpop: DPoPMode, bar: show.Bar
) -> tuple[CrowdLogins, Mapping[Check, str | None]]:
    people = [Email(f"user{number:06}@example.com") for number in range(users)]
    profile = attrs.evolve(INTERACTIVE, timeout=_TIMEOUT, max_in_flight=concurrency)
    settings = TenantSettings(code_lifetime=_CODE_LIFETIME, messages_kept=users + _GUESTS, requests_kept=1)
    async with (
        TenantProcess(settings) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile, dpop=dpop) as client,
    ):
        tick = bar.phase("Sending codes", users, "codes")
        await measure.send_codes(client, people, concurrency=concurrency, tick=tick)
        codes = await measure.codes_of(tenant, people)
        tick = bar.phase("Logging in", users, "logins")
        outcomes, latencies, seconds = await measure.log_in(
            client, people, codes, concurrency=concurrency, tick=tick, audience=measure.audience_of(dpop)
        )
        # Read before the checks: their requests are not the crowd's.
        logins = measure.CrowdLogins(people, outcomes, seconds, latencies, await tenant.stats())
        return logins, await prove(logins, tenant, client, dpop)


def _print(title: str, logins: CrowdLogins, defects: Mapping[Check, str | None]) -> None:
    figures = logins.figures()
    latency = (
        (f"latency {name}", "-" if ms is None else f"{ms:,.1f} ms") for name, ms in figures["latency_ms"].items()
    )
    rows = (
        ("logins", f"{figures['logins']:,}"),
        ("failures", f"{figures['failures']:,}"),
        ("seconds", f"{figures['seconds']:,.2f}"),
        ("logins/s", f"{figures['logins_per_second']:,.0f}"),
        *latency,
        ("wire requests", f"{figures['wire_requests']:,}"),
        ("token requests", f"{figures['token_requests']:,}"),
        ("nonce challenges answered", f"{figures['nonce_challenges']:,}"),
        ("distinct keys", f"{figures['distinct_keys']:,}"),
    )
    show.table(title, rows, numbers=True)
    show.table("Proof", ((check.claim, "yes" if defect is None else "NO") for check, defect in defects.items()))


def _errors(logins: CrowdLogins, defects: Mapping[Check, str | None]) -> Iterator[str]:
    failures = Counter(f"{error.code}: {error}" for outcome in logins.outcomes if (error := outcome.error) is not None)
    for failure, times in failures.most_common():
        yield f"{times:,} {'login' if times == 1 else 'logins'} failed, {failure}"
    for check, defect in defects.items():
        if defect is not None:
            yield f"{check.name}: {defect}"
