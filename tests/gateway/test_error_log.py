"""What no step foresees."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING

import pytest

from passwordless_async import AccessDenied, Email, NotSenderConstrained, OAuthError, UnauthorizedClient, UsageError
from passwordless_async.gateway.error_log import LogAndSuppress, Refusals, is_name, report
from passwordless_async.gateway.problems import OF_SETTINGS, Refused

if TYPE_CHECKING:
    from conftest import Clock

HERE = re.escape(__name__)


def line_of(caplog: pytest.LogCaptureFixture) -> str:
    """Return the one line of the log."""
    (record,) = caplog.records
    assert (record.name, record.levelno, record.exc_info) == ("passwordless_async", logging.ERROR, None)
    return record.getMessage()


def without_advice(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the log."""
    return [re.sub(r"\. [A-Z].*\.", "", message) for message in caplog.messages]


def test_an_exception_ends_with_its_place_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The module, the function and the line, without its message, which may quote what was typed."""
    with LogAndSuppress("GET /code"):
        raise ValueError("123456")
    place = rf"{HERE}\.test_an_exception_ends_with_its_place_in_the_log, line \d+"
    expected = rf"GET /code failed: ValueError\. Raised in {place}\."
    assert re.fullmatch(expected, line_of(caplog))


def test_an_error_of_the_librarys_own_has_its_message(caplog: pytest.LogCaptureFixture) -> None:
    """It names the argument, shows no secret, and says where in the library it was raised."""
    with LogAndSuppress("GET /code"):
        Email("")
    line = line_of(caplog)
    assert line.startswith("GET /code failed: InvalidInput: address: must not be empty. Raised in passwordless_async.")


def test_what_the_applications_function_called(caplog: pytest.LogCaptureFixture) -> None:
    """The line has both places: where it was raised, and the function that the application can look at."""

    def hook() -> None:
        json.loads("{")

    with LogAndSuppress("POST /code"):
        _called_by_the_library(hook)
    expected = (
        r"POST /code failed: JSONDecodeError\. Raised in json\.decoder\.JSONDecoder\.\w+, line \d+, called by "
        rf"{HERE}\.test_what_the_applications_function_called\.<locals>\.hook, line \d+\."
    )
    assert re.fullmatch(expected, line_of(caplog))


def _called_by_the_library(hook: object) -> None:
    """Call a function from a frame that is the library's."""
    exec("hook()", {"__name__": "passwordless_async.gateway.steps", "hook": hook})  # noqa: S102 - a frame's name


def test_refusals_of_one_kind_have_a_line_a_minute(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """With how many more there were; other routes and other types have lines of their own."""
    refusals, began = Refusals(), clock.time
    for seconds, name, error in (
        *((at, "GET /link", OAuthError(status=302, error=f"code{at}")) for at in range(60)),
        (59, "GET /link", UnauthorizedClient(status=403, error="unauthorized_client")),
        (59, "POST /login", OAuthError(status=403, error="other")),
        (60, "GET /link", OAuthError(status=302, error="later")),
        (120, "GET /link", OAuthError(status=302, error="last")),
    ):
        clock.time = began + seconds
        refusals.report(name, error)
    assert without_advice(caplog) == [
        "GET /link failed: OAuthError: code0 (302)",
        "GET /link failed: UnauthorizedClient: unauthorized_client (403)",
        "POST /login failed: OAuthError: other (403)",
        "GET /link failed: OAuthError: later (302) (59 more like it were not logged)",
        "GET /link failed: OAuthError: last (302)",
    ]


def test_a_wrong_setting_has_a_line_of_its_own(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal that a visitor can cause does not hide it, and what they write is in no kind."""
    refusals = Refusals()
    codes = ("bad.email", "bad.connection", "invalid_scope", "bad.phone", "bad.connection")
    for error in codes:
        refusals.report("POST /login", OAuthError(status=400, error=error))
    clock.time += 60
    refusals.report("POST /login", OAuthError(status=400, error="bad.connection"))
    refusals.report("POST /login", OAuthError(status=400, error="bad.email"))
    assert without_advice(caplog) == [
        "POST /login failed: OAuthError: bad.email (400)",
        "POST /login failed: OAuthError: bad.connection (400)",
        "POST /login failed: OAuthError: invalid_scope (400)",
        "POST /login failed: OAuthError: bad.connection (400) (1 more like it were not logged)",
        "POST /login failed: OAuthError: bad.email (400) (1 more like it were not logged)",
    ]


@pytest.mark.parametrize("code", OF_SETTINGS)
def test_the_line_of_a_wrong_setting_says_what_to_check(caplog: pytest.LogCaptureFixture, code: str) -> None:
    """Whatever the service says."""
    report("POST /login", OAuthError(status=400, error=code, error_description="no"))
    assert line_of(caplog) == f"POST /login failed: OAuthError: {code} (400). {OF_SETTINGS[code]}"
    assert OF_SETTINGS[code].startswith("Check ")


def test_an_error_that_was_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    """It has no place."""
    report("POST /login", UsageError("client", "is not open"))
    assert line_of(caplog) == "POST /login failed: UsageError: client: is not open."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            UnauthorizedClient(status=403, error="unauthorized_client", error_description="not for ada@example.com"),
            f"UnauthorizedClient: unauthorized_client (403). {UnauthorizedClient.advice}",
        ),
        (
            OAuthError(status=400, error="bad.email", error_description="+49 30 901820 is no user"),
            "OAuthError: bad.email (400). See the tenant's logs: the service's message may have user data.",
        ),
        (
            OAuthError(status=400, error="bad.connection", error_description="not for ada@example.com"),
            f"OAuthError: bad.connection (400). {OF_SETTINGS['bad.connection']}",
        ),
    ],
    ids=["known", "unforeseen", "setting"],
)
def test_of_a_refusal_the_services_words_are_left_out(
    caplog: pytest.LogCaptureFixture, error: OAuthError, expected: str
) -> None:
    """They may quote the user's address; the tenant's own logs have them."""
    report("POST /login", error)
    assert line_of(caplog) == f"POST /login failed: {expected}"


def test_a_refusal_that_may_be_the_users_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The tenant's logs have the reason."""
    report("POST /code", AccessDenied(status=403, error="access_denied", error_description="no entry for +4930901820"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"POST /code failed: AccessDenied: access_denied (403). {AccessDenied.advice}"


def test_a_response_that_is_not_trusted_has_its_advice(caplog: pytest.LogCaptureFixture) -> None:
    """As a refusal has."""
    report("POST /code", NotSenderConstrained("the token is not bound"))
    said = "NotSenderConstrained: the token is not bound"
    assert line_of(caplog) == f"POST /code failed: {said}. {NotSenderConstrained.advice}"


@pytest.mark.parametrize(
    "code",
    [
        "ada@example.com",
        "+4930901820",
        "4930901820",
        "/2007",
        "2007/",
        "/20071/",
        "/4930/",
        "GET / failed",
        "x" * 65,
        "",
    ],
)
def test_an_error_code_that_is_none_is_left_out(caplog: pytest.LogCaptureFixture, code: str) -> None:
    """That of a link's callback is in its URL, which a user can write."""
    report("GET /link", OAuthError(status=302, error=code))
    assert line_of(caplog).startswith("GET /link failed: OAuthError: an unknown error (302). ")


@pytest.mark.parametrize(
    "text",
    ["bad.email", "urn:strong", "http://schemas.openid.net/pape/policies/2007/06/multi-factor", "x" * 64, "a123"],
)
def test_a_name_is_shown(text: str) -> None:
    """An error code, or a class of logins, which may be a URL with a year."""
    assert is_name(text)


def test_an_error_of_the_applications_own_below_the_librarys(caplog: pytest.LogCaptureFixture) -> None:
    """Its message is as any other's: it may quote what was typed."""

    class Unwanted(UsageError):
        pass

    report("POST /login", Unwanted("address", "ada@example.com is unwanted"))
    assert line_of(caplog) == "POST /login failed: Unwanted."


def test_the_refusal_of_a_hook_has_no_message(caplog: pytest.LogCaptureFixture) -> None:
    """Its text is the application's, though its class is the library's."""
    report("POST /login", Refused("ada@example.com is unwanted"))
    assert line_of(caplog) == "POST /login failed: Refused."


def test_what_is_no_exception_goes_on() -> None:
    """A cancellation, or the end of the process."""
    with pytest.raises(KeyboardInterrupt), LogAndSuppress("GET /code"):
        raise KeyboardInterrupt


def test_nothing_is_logged_if_nothing_failed(caplog: pytest.LogCaptureFixture) -> None:
    """As usual."""
    with LogAndSuppress("GET /code"):
        pass
    assert caplog.text == ""
