"""The second factor of a login: choosing one, answering it, and enrolling one if the user has none.

Setup keys and recovery codes are shown on standard error, like questions: standard output is for results. Recovery
codes are shown after their factor is confirmed.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from passwordless_async.auth0.identity import Email, Phone
from passwordless_async.auth0.mfa.state import MfaRequired
from passwordless_async.cli.login.caller import until_right
from passwordless_async.cli.terminal.failure import problem_of, sentence
from passwordless_async.cli.terminal.questions import ask, choose
from passwordless_async.cli.terminal.show import plain
from passwordless_async.errors import InvalidInput, PasswordlessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from passwordless_async.auth0.mfa.state import MfaState, MfaTokenSet
    from passwordless_async.auth0.mfa.values import Association, Authenticator, MfaChallenge
    from passwordless_async.cli.login.caller import Caller

_WORDS = {
    "otp": "authenticator app",
    "push": "push message",
    "email": "code by e-mail",
    "sms": "code by SMS",
    "voice": "code by a phone call",
    "recovery-code": "recovery code",
}
# The service's names for kinds that have another name here.
_CHANNELS = {"auth0": "push"}
_ENROLLED_AS = {"push-notification": "push", "phone": "sms"}
_CODE = "Code: "
_GROUP = 4  # characters of a setup key, as people type it


def second_factor(caller: Caller, required: MfaRequired) -> MfaTokenSet:
    """Finish a login that needs a second factor, or several in a row.

    Raises:
        MfaRequired: The service returned no usable ``mfa_token``.
    """
    while required.state is not None:
        try:
            tokens = _answered(caller, required.state)
        except MfaRequired as another:
            _show_codes([another.recovery_code])
            required = another
        except PasswordlessError as error:
            _show_codes([getattr(error, "recovery_code", None)])
            raise
        else:
            _show_codes([tokens.recovery_code])
            return tokens
    raise required


def _answered(caller: Caller, state: MfaState) -> MfaTokenSet:
    listed = caller.run(lambda client: client.mfa.authenticators(state))
    factors = [factor for factor in listed if factor.active and _kind(factor) in _WORDS]
    if not factors:
        return _enrolled(caller, state)
    factor = factors[choose("A second factor is needed", [_described(factor) for factor in factors])]
    kind = _kind(factor)
    if kind == "otp":
        return _by_app(caller, state)
    if kind == "recovery-code":
        return until_right("Recovery code: ", lambda code: _recovered(caller, state, code))
    challenge = caller.run(lambda client: client.mfa.challenge(state, authenticator=factor))
    return _out_of_band(caller, state, challenge)


def _kind(factor: Authenticator) -> str:
    channel = factor.oob_channel or ""
    return _CHANNELS.get(channel, channel) if factor.authenticator_type == "oob" else factor.authenticator_type


def _described(factor: Authenticator) -> str:
    words = _WORDS[_kind(factor)]
    return words if factor.name is None else f"{words}, {factor.name}"


def _by_app(caller: Caller, state: MfaState) -> MfaTokenSet:
    return until_right(
        "Code of the authenticator app: ",
        lambda code: caller.run(lambda client: client.mfa.verify_otp(state, code)),
    )


def _recovered(caller: Caller, state: MfaState, code: str) -> MfaTokenSet:
    tokens, _ = caller.run(lambda client: client.mfa.verify_recovery_code(state, code))
    return tokens


def _out_of_band(caller: Caller, state: MfaState, challenge: MfaChallenge) -> MfaTokenSet:
    if challenge.prompts:
        return until_right(
            f"A code was sent to you. {_CODE}",
            lambda code: caller.run(lambda client: client.mfa.verify_oob(state, challenge, binding_code=code)),
        )
    click.echo("Approve the login on your other device; Ctrl-C ends it.", err=True)
    return caller.run(lambda client: client.mfa.poll_oob(state, challenge))


def _enrolled(caller: Caller, state: MfaState) -> MfaTokenSet:
    """Enrol a factor of the user's choice, and finish the login with it."""
    offered = {_ENROLLED_AS.get(kind, kind) for kind in state.requirements.enroll}
    kinds = [kind for kind in _WORDS if kind != "recovery-code" and (kind in offered or not offered)]
    kind = kinds[choose("A second factor is needed, and you have none: enrol one", [_WORDS[kind] for kind in kinds])]
    where = _where(kind, state)
    association = caller.run(lambda client: client.mfa.associate(state, **where))
    _show_setup(association)
    try:
        if association.challenge.challenge_type == "otp":
            tokens = _by_app(caller, state)
        else:
            tokens = _out_of_band(caller, state, association.challenge)
    except MfaRequired:
        _show_codes(association.recovery_codes)
        raise
    _show_codes(association.recovery_codes)
    return tokens


def _where(kind: str, state: MfaState) -> dict[str, Any]:
    """Return the arguments that say where the messages of a new factor go."""
    if kind == "otp":
        return {"types": ["otp"]}
    if kind == "push":
        return {"types": ["oob"], "channels": ["auth0"]}
    if kind == "email":
        return {"email": state.who if isinstance(state.who, Email) else _asked("E-mail address: ", Email)}
    return {"channels": [kind], "phone": _asked("Phone number, such as +4930901820: ", Phone)}


def _asked(question: str, made: Callable[[str], Any]) -> object:
    """Ask for an address or a number until it is of its form."""
    text = question
    while True:
        try:
            return made(ask(text, what="answer"))
        except InvalidInput as error:
            text = f"{sentence(f'It {problem_of(error)}')} {question}"


def _show_setup(association: Association) -> None:
    """Show what an application takes a new factor by: a key to type, and a code to scan if that can be drawn."""
    if association.barcode_uri is not None:
        _draw(association.barcode_uri)
        click.echo(f"For the application: {plain(association.barcode_uri)}", err=True)
    key = association.secret
    if key is not None:
        groups = " ".join(key[at : at + _GROUP] for at in range(0, len(key), _GROUP))
        click.echo(f"Its key, to type: {plain(groups)}", err=True)


def _draw(uri: str) -> None:
    if find_spec("segno") is None:  # an extra
        click.echo('For a QR code: pip install "passwordless-async[gateway]"', err=True)
        return
    import_module("segno").make(uri, micro=False).terminal(out=sys.stderr, compact=True)


def _show_codes(codes: Iterable[str | None]) -> None:
    shown = [plain(code) for code in codes if code is not None]
    if shown:
        click.echo("Keep your recovery code; it is shown once:", err=True)
        for code in shown:
            click.echo(f"  {code}", err=True)
