"""``MfaRequired``: where it is imported from, its facts, and what copies and pickles keep."""

from __future__ import annotations

import copy
import pickle

import passwordless_async
from helpers import flows
from passwordless_async import MfaState, errors
from passwordless_async._common.secret import Secret
from passwordless_async.auth0.mfa.required import MfaRequired
from passwordless_async.auth0.mfa.values import MfaRequirements

STATE = MfaState(
    mfa_token=Secret("handle"),
    requirements=MfaRequirements(),
    key=flows.KEY,
    jkt=flows.KEY.thumbprint,
    issuer="https://tenant.example/",
    client_id="client",
    expires_at=1,
)


def required() -> MfaRequired:
    """Return an error with all its facts."""
    return MfaRequired(
        status=403, error="mfa_required", mfa_token="handle", mfa_requirements={"challenge": []}, state=STATE
    )


def test_it_is_one_class_wherever_it_is_imported_from() -> None:
    """The package and ``errors`` export the class of the leaf."""
    assert passwordless_async.MfaRequired is MfaRequired is errors.MfaRequired
    assert "MfaRequired" in dir(errors)


def test_its_facts_are_complete_when_it_is_made() -> None:
    """Token, requirements and state are arguments; requirements default to none."""
    error = required()
    assert (error.mfa_token, error.mfa_requirements, error.state) == ("handle", {"challenge": []}, STATE)
    assert MfaRequired(status=403, error="mfa_required").mfa_requirements == {}
    assert error.recovery_code is None


def test_other_facts_make_another_error() -> None:
    """The error itself is not changed."""
    error = required()
    changed = error.with_facts(recovery_code="NEW")
    assert (changed.recovery_code, changed.state, changed.args) == ("NEW", STATE, error.args)
    assert error.recovery_code is None


def test_a_copy_keeps_the_state() -> None:
    """A copy stays in this process, so it keeps the private key."""
    assert copy.copy(required()).state is STATE
    assert copy.deepcopy(required()).state is STATE


def test_a_pickle_leaves_the_state_out() -> None:
    """The state holds a private key, which a pickle must not spill; ``MfaState.seal`` is for that."""
    read = pickle.loads(pickle.dumps(required()))  # noqa: S301 - our own
    assert (type(read), read.state, read.mfa_token) == (MfaRequired, None, "handle")
