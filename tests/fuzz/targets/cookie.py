"""Cookie fields of a browser: the login under way, whole or in parts, the session and the language."""

from __future__ import annotations

import attrs
from multidict import CIMultiDict, CIMultiDictProxy

from fuzz.engine import Target
from fuzz.mutator import Mutator
from fuzz.targets.session import edited
from passwordless_async import Email, InvalidSession, KeyRing
from passwordless_async._common import sealing
from passwordless_async._common.secret import Secret
from passwordless_async.client.sessions.records import place_of
from passwordless_async.gateway.cookies import Cookies
from passwordless_async.gateway.replies import Page, Reply
from passwordless_async.gateway.state import LoginState

RING = KeyRing(b"n" * 32, users=b"u" * 32)
DEPLOYMENT = "https://acme.example/ client https://app.example"
STATE = LoginState(
    id=Secret("id"), expires_at=1000, who=Email("ada@example.com"), mfa=Secret("m"), demands={"max_age": 1}
)
LONG = attrs.evolve(STATE, mfa=Secret("m" * 5000), enrolment=Secret("e" * 3000))
NEAR = [None, 1000, 399, "sms", ["email", "ada@example.com"], ["sms", "+4930901820"], DEPLOYMENT, ["x"], []]
IDENTIFIER = "A" * 43 + "abcdefgh"
NAMES = (
    "__Host-login",
    "__Host-login-2",
    "__Host-login-3",
    "__Host-login-4",
    "__Host-login-5",
    "login",
    "__Host-session",
)


@attrs.frozen
class Given:
    """Cookie fields, and whether a login's cookie in them was changed after it was sealed."""

    fields: list[str]
    changed: bool


class Cookie:
    """The cookies of one site; it remembers none that it has unsealed."""

    def __init__(self) -> None:
        self.pairs = [self._written(state) for state in (STATE, STATE, LONG)]

    def _written(self, state: LoginState) -> list[tuple[str, str]]:
        reply, headers = Reply(page=Page.CODE, login=state), CIMultiDictProxy(CIMultiDict[str]())
        fields = new().set_cookie_fields(reply, headers=headers, had_session=False, now=400.0)
        texts = [field.partition(";")[0].partition("=") for _, field in fields]
        return [(name, value) for name, _, value in texts]

    def draw(self, mutator: Mutator) -> Given:
        sealed = mutator.choice(self.pairs)
        if mutator.often(0.4):  # one of another version, sealed with the right key
            members = mutator.value(STATE.members(deployment=DEPLOYMENT), NEAR)
            sealed = [("__Host-login", sealing.seal_members(members, RING, "gateway-login+jwe"))]
        pairs = list(sealed)
        if mutator.often(0.3):
            at = mutator.random.randrange(len(pairs))
            edit = edited if len(pairs) == 1 else Mutator.text  # a part has no header of its own
            pairs[at] = pairs[at][0], edit(mutator, pairs[at][1])
        if mutator.often(0.2):
            pairs.append((mutator.choice(NAMES), mutator.choice((pairs[0][1], "", "2~", "9~x", "~", "4~" + "A" * 50))))
        mutator.random.shuffle(pairs)
        pairs.append(("__Host-session", mutator.text(IDENTIFIER) if mutator.often() else IDENTIFIER))
        pairs.append(("__Host-language", mutator.text("de")))
        fields = [f"{name}={value}" for name, value in pairs]
        if mutator.often(0.9):
            text = mutator.choice(("; ", ";", " ;")).join(fields)
            fields = [mutator.text(text) if mutator.often(0.1) else text]
        return Given(fields, changed=any(f"{name}={value}" not in "\n".join(fields) for name, value in sealed))

    def check(self, given: Given) -> str:
        cookies, headers = new(), CIMultiDictProxy(CIMultiDict([("Cookie", field) for field in given.fields]))
        login, session, language = (
            cookies.login_of(headers, 400.0),
            cookies.session_of(headers),
            cookies.language_of(headers),
        )
        assert "id" not in repr(session) or session is None
        if login is not None:
            assert not given.changed, "a login is opened whose cookie was changed"
            assert login.expires_at > 400
        if session is not None:
            try:
                place_of(session)
            except InvalidSession:
                session = None
        reply = Reply(page=Page.HOME, login=None, session=None)
        removed = list(cookies.set_cookie_fields(reply, headers=headers, had_session=True, now=400.0))
        assert all(value.isprintable() for _, value in removed)
        return f"{'login' if login else 'no login'}, {'session' if session else 'no session'}, {language is not None}"


def new() -> Cookies:
    """Return the site's cookies, which know none yet."""
    return Cookies(RING, DEPLOYMENT, secure=True)


def make() -> Target:
    """Return the target."""
    cookie = Cookie()
    return Target(cookie.draw, cookie.check)
