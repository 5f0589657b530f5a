"""``demo``: a crowd logs in at a tenant in a second process, and the result is proven."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import attrs
import click

from passwordless_async.auth0.identity import Email
from passwordless_async.cli.demo import measure
from passwordless_async.cli.demo.checks import prove
from passwordless_async.cli.terminal import interrupt, show
from passwordless_async.cli.terminal.failure import one_line, sentence
from passwordless_async.client.client import PasswordlessClient
from passwordless_async.client.profile import INTERACTIVE
from passwordless_async.testing import TenantProcess, TenantSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from passwordless_async.cli.demo.checks import Check
    from passwordless_async.cli.demo.measure import Run

MAX_USERS = 100_000  # the tenant remembers the codes of as many
_CODE_LIFETIME = 3600.0  # seconds; the first code waits until the last is sent, and a slow machine is no failure
_TIMEOUT = 60.0  # seconds for one request, for the same reason
_OTHER_FILES = 64  # files that a process has open besides its sockets, generously
_GUESTS = 10  # users whom the checks add


@click.command()
@click.option("--users", type=click.IntRange(1, MAX_USERS), default=1000, show_default=True, help="How many log in.")
@click.option("--concurrency", type=click.IntRange(1), default=128, show_default=True, help="How many at once.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def demo(*, users: int, concurrency: int, as_json: bool) -> None:
    """Log a crowd in at a tenant on this machine, and prove the result.

    The tenant runs in a second process and verifies everything. Each user logs in over real sockets and gets tokens
    that are bound to a key of their own.

    A latency runs from the moment the client takes a login until its tokens are checked and handed over. With many
    logins at once most of it is waiting for a turn; --concurrency 1 shows a login on its own.
    """
    concurrency = min(concurrency, users)
    _allow_sockets(concurrency)
    with one_line(), show.Bar() as bar:
        run, findings = interrupt.run(_demonstrate(users, concurrency, bar))
    if as_json:
        checks = {check.name: finding is None for check, finding in findings.items()}
        click.echo(json.dumps({**run.figures(), "checks": checks}))
    else:
        _print(f"{users:,} users, {concurrency:,} at once", run, findings)
    _end(_misses(run, findings))


def _end(misses: Iterable[str]) -> None:
    said = False
    for miss in misses:
        click.echo(f"Error: {show.plain(sentence(miss))}", err=True)
        said = True
    if said:
        raise click.exceptions.Exit(1)


def _allow_sockets(number: int) -> None:
    """Let this process, and the tenant's after it, have so many sockets open; some systems begin with 256."""
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


async def _demonstrate(users: int, concurrency: int, bar: show.Bar) -> tuple[Run, Mapping[Check, str | None]]:
    people = [Email(f"user{number:06}@example.com") for number in range(users)]
    profile = attrs.evolve(INTERACTIVE, timeout=_TIMEOUT, max_in_flight=concurrency)
    settings = TenantSettings(code_lifetime=_CODE_LIFETIME, messages_kept=users + _GUESTS, requests_kept=1)
    async with (
        TenantProcess(settings) as tenant,
        PasswordlessClient(tenant.url, tenant.public_client_id, profile=profile) as client,
    ):
        tick = bar.phase("Sending codes", users, "codes")
        await measure.ask_for_codes(client, people, concurrency=concurrency, tick=tick)
        codes = await measure.codes_of(tenant, people)
        tick = bar.phase("Logging in", users, "logins")
        outcomes, latencies, seconds = await measure.log_in(client, people, codes, concurrency=concurrency, tick=tick)
        # Read before the checks: what they send is not the crowd's.
        run = measure.Run(people, outcomes, seconds, latencies, await tenant.stats())
        return run, await prove(run, tenant, client)


def _print(title: str, run: Run, findings: Mapping[Check, str | None]) -> None:
    figures = run.figures()
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
    show.table("Proof", ((check.claim, "yes" if finding is None else "NO") for check, finding in findings.items()))


def _misses(run: Run, findings: Mapping[Check, str | None]) -> Iterator[str]:
    failures = Counter(f"{error.code}: {error}" for outcome in run.outcomes if (error := outcome.error) is not None)
    for failure, times in failures.most_common():
        yield f"{times:,} {'login' if times == 1 else 'logins'} failed, {failure}"
    for check, finding in findings.items():
        if finding is not None:
            yield f"{check.name}: {finding}"
