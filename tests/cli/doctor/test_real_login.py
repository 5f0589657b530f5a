"""A code that is sent and a login with it: what they show of the API's policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from helpers.findings import application, of, statuses
from passwordless_async import Email, Phone
from passwordless_async.auth0.identity import Login
from passwordless_async.cli.doctor.findings import Status
from passwordless_async.cli.doctor.real_login import log_in, login_not_tried, send_code
from passwordless_async.testing import BOUND_API, PLAIN_API, Fault

if TYPE_CHECKING:
    from passwordless_async.testing import LocalTenant

ADA = Email("ada@example.com")
GRACE = Phone("+4930901820")

OK = Status.OK.value
WARNING = Status.WARNING.value
FAILED = Status.FAILED.value
UNSEEN = Status.NOT_CHECKED.value


@pytest.mark.parametrize(
    ("audience", "policy"), [(None, Status.OK), (BOUND_API, Status.OK), (PLAIN_API, Status.FAILED)]
)
@pytest.mark.parametrize("who", [ADA, GRACE])
async def test_a_login(audience: str | None, policy: Status, who: Email | Phone, tenant: LocalTenant) -> None:
    """A real login shows an API whose policy is None, and says where to set it."""
    subject = application(tenant)
    assert (await send_code(subject, who)).status is Status.OK
    login = Login(who, tenant.outbox.code_for(who), scope="openid", audience=audience)
    found = await log_in(subject, login)
    assert {"login": OK, "API policy": policy.value} == statuses(found)
    assert ("Token Sender-Constraining" in of(found, "API policy").advice) == (policy is Status.FAILED)


@pytest.mark.parametrize(("fault", "status"), [(Fault.ACCESS_DENIED, FAILED), (Fault.MFA_REQUIRED, WARNING)])
async def test_a_login_that_is_refused(fault: Fault, status: str, tenant: LocalTenant) -> None:
    """A login that gives no tokens says nothing of the API; a second factor is no defect."""
    subject = application(tenant)
    await send_code(subject, ADA)
    tenant.faults.add(fault, path="/oauth/token")
    found = await log_in(subject, Login(ADA, tenant.outbox.code_for(ADA), scope="openid"))
    assert statuses(found) == {"login": status, "API policy": UNSEEN}


async def test_a_code_that_is_not_sent(tenant: LocalTenant) -> None:
    """A start that is refused says where the connection is set up."""
    tenant.faults.add(Fault.SERVICE_UNAVAILABLE, path="/passwordless/start")
    found = await send_code(application(tenant), ADA)
    assert found.status is Status.FAILED
    assert "Authentication > Passwordless" in found.advice


def test_a_login_that_is_not_tried() -> None:
    """A code that was sent and not typed is a failed login with the reason, and says nothing of the API."""
    found = login_not_tried("no code was given")
    assert statuses(found) == {"login": FAILED, "API policy": UNSEEN}
    assert of(found, "login").detail == "no code was given"
    assert of(found, "login").advice
