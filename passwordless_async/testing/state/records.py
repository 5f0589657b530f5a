"""The records of a tenant for its tests: counters, the messages that it "sent", and the requests that it read."""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import parse_qsl

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import always_printable, redacted
from passwordless_async.testing.state.users import HasUsername, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import CIMultiDictProxy

OTP_GRANT = "http://auth0.com/oauth/grant-type/passwordless/otp"
_SECRETS = ("otp", "code", "refresh_token", "recovery_code")  # what a grant spends
_USERS = ("username", "auth_session", "mfa_token")  # the user that it belongs to
_MAX_GRANTS = 200_000  # presented secrets; the least recent goes first


@attrs.define(kw_only=True)
class TenantStats:
    """Counters since the tenant started.

    Attributes:
        wire_requests: Requests of every kind, refused and dropped ones included.
        start_requests: Of these, to ``/passwordless/start``.
        token_requests: Of these, to ``/oauth/token``.
        userinfo_requests: Of these, to ``/userinfo``.
        revoke_requests: Of these, to ``/oauth/revoke``.
        codes_sent: Codes that went to the outbox.
        codes_presented: Codes that were checked: spent, or counted as an attempt.
        codes_refused: Of these, the wrong, expired and exhausted ones.
        presented_again: Codes and other secrets that a grant spends, presented again although they may be spent: the
            response before was lost, or was neither a 429 nor a refusal of the proof, the client, the form or a
            refresh. A second use of a refresh token that does not rotate counts as well. The last 200,000 are watched.
        nonce_challenges: Nonce challenges sent, those of faults included.
        proofs_accepted: Proofs that passed every check; each has another ``jti``.
        proofs_refused: Proofs that failed one, challenges not counted.
        replays_refused: Of these, the ones that were seen before.
        distinct_keys: Keys that signed an accepted proof. One that comes back after 200,000 others counts again.
        tokens_issued: Access tokens issued.
        tokens_bound: Of these, the ones bound to a key.
        refresh_rotations: Refresh tokens that were replaced.
        refresh_reuse_detected: Replaced refresh tokens that were used again outside the leeway.
        families_revoked: Families of refresh tokens that ended by reuse or by a revocation.
        mfa_required: Logins that were refused with ``mfa_required``.
        mfa_challenges: Factor challenges requested at ``/mfa/challenge``.
        mfa_polls: Token requests that polled for the user's approval.
        faults_played: How often a fault acted.
        assertions_accepted: Client assertions that passed every check; each has another ``jti``.
        assertions_replayed: Client assertions that were refused because their ``jti`` was used before.
    """

    wire_requests: int = 0
    start_requests: int = 0
    token_requests: int = 0
    userinfo_requests: int = 0
    revoke_requests: int = 0
    codes_sent: int = 0
    codes_presented: int = 0
    codes_refused: int = 0
    presented_again: int = 0
    nonce_challenges: int = 0
    proofs_accepted: int = 0
    proofs_refused: int = 0
    replays_refused: int = 0
    distinct_keys: int = 0
    tokens_issued: int = 0
    tokens_bound: int = 0
    refresh_rotations: int = 0
    refresh_reuse_detected: int = 0
    families_revoked: int = 0
    mfa_required: int = 0
    mfa_challenges: int = 0
    mfa_polls: int = 0
    faults_played: int = 0
    assertions_accepted: int = 0
    assertions_replayed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the counters as a JSON object."""
        return attrs.asdict(self)


@attrs.frozen
class Message:
    """One message.

    Attributes:
        realm: ``email`` or ``sms``.
        username: The recipient's address or number.
        code: The code; None in a message with a link.
        language: The request's ``x-request-language``, or None.
        ip: The address that the start was charged to: the peer's, or a trusted ``auth0-forwarded-for``.
        at: When it was sent, in seconds since the UNIX epoch by the tenant's clock.
        link: The link, of a push message the one that approves it; None in a message with a code.
        delivery: How a code reaches a phone: ``text`` or ``voice``.
        factor: The second factor that the code or link is for, such as ``sms``; None: it is the code to log in with.
    """

    realm: str
    username: str
    code: str | None = attrs.field(repr=redacted)
    language: str | None
    ip: str
    at: float
    link: str | None = attrs.field(default=None, repr=redacted)
    delivery: str = "text"
    factor: str | None = None


@attrs.define
class Outbox:
    """The messages, newest last; old ones are dropped.

    Attributes:
        on_send: Called with each message as it is sent; None: not called.
    """

    _max_messages: int
    on_send: Callable[[Message], None] | None = None
    _messages: deque[Message] = attrs.field(init=False, repr=False)
    _newest: Bounded[User, Message] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._messages = deque(maxlen=self._max_messages)
        self._newest = Bounded(self._max_messages)

    @property
    def messages(self) -> tuple[Message, ...]:
        """The newest messages, oldest first."""
        return tuple(self._messages)

    def code_for(self, who: HasUsername) -> str:
        """Return the newest code that was sent to a user.

        Raises:
            LookupError: No message was sent to them, or the newest one holds a link.
        """
        return self._newest_content(who, "code")

    def link_for(self, who: HasUsername) -> str:
        """Return the newest link that was sent to a user; following it redirects to the application.

        Raises:
            LookupError: No message was sent to them, or the newest one holds a code.
        """
        return self._newest_content(who, "link")

    def _newest_content(self, who: HasUsername, kind: Literal["code", "link"]) -> str:
        message = self._newest.get(User.of(who))
        if message is None:
            raise LookupError(f"no message was sent to {who!r}")
        content, other = (message.code, "link") if kind == "code" else (message.link, "code")
        if content is None:
            raise LookupError(f"the newest message to {who!r} holds a {other}, not a {kind}: start with send={kind}")
        return content

    def send(self, message: Message) -> None:
        """Store a message and call ``on_send``."""
        self._messages.append(message)
        self._newest[User(message.realm, message.username)] = message
        if self.on_send is not None:
            self.on_send(message)


@always_printable
@attrs.frozen(repr=False)
class RecordedRequest:
    """One request; its repr shows method, path and status only.

    Attributes:
        method: The method as sent.
        path: The path, percent-encoded as sent, without the query.
        headers: The headers; a name may occur more than once, in any case.
        body: The body; empty where a fault dropped the connection before it was read.
        at: When it arrived, in seconds since the UNIX epoch.
        status: The response's status; None while it is pending, and where the connection was dropped.
    """

    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    at: float
    status: int | None = None

    @property
    def form(self) -> dict[str, str]:
        """The body as a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def proof(self) -> str | None:
        """The DPoP proof, or None."""
        return self.headers.get("DPoP")

    def __repr__(self) -> str:
        return f"<RecordedRequest {self.method} {self.path} {self.status or 'unanswered'}>"


@always_printable
class RequestLog(Sequence[RecordedRequest]):
    """The newest requests in the order of their arrival."""

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self._added = 0
        self._requests: OrderedDict[int, RecordedRequest] = OrderedDict()

    def to(self, path: str) -> list[RecordedRequest]:
        """Return the requests to a path."""
        return [request for request in self._requests.values() if request.path == path]

    def clear(self) -> None:
        """Forget the requests so far."""
        self._requests.clear()

    def add(self, request: RecordedRequest) -> int:
        """Store a request and return its number for :meth:`note`."""
        self._added += 1
        self._requests[self._added] = request
        if len(self._requests) > self._max_requests:
            self._requests.popitem(last=False)
        return self._added

    def note(self, number: int, **changes: object) -> None:
        """Change attributes of a request, if it is still stored."""
        request = self._requests.get(number)
        if request is not None:
            self._requests[number] = attrs.evolve(request, **changes)  # type: ignore[arg-type] # attributes by name

    def __len__(self) -> int:
        return len(self._requests)

    @overload
    def __getitem__(self, index: int) -> RecordedRequest: ...
    @overload
    def __getitem__(self, index: slice) -> list[RecordedRequest]: ...
    def __getitem__(self, index: int | slice) -> RecordedRequest | list[RecordedRequest]:
        """Return a stored request by its index, or several."""
        return list(self._requests.values())[index]

    def __repr__(self) -> str:
        return f"<RequestLog of {len(self)}>"


@attrs.define
class Presentations:
    """Secrets that were presented at the token endpoint again without need, which a client must never do.

    A secret may be presented again after a response that is sent before the secret is checked, and a refresh token
    after every refusal. After any other response, and after a lost one, it may be spent.
    """

    _stats: TenantStats
    _may_be_spent: Bounded[tuple[str, ...], None] = attrs.field(
        factory=lambda: Bounded(_MAX_GRANTS), init=False, repr=False
    )

    def note_request(self, body: bytes) -> tuple[str, ...] | None:
        """Note a request and return what it presents; None: it presents no secret."""
        parameters = dict(parse_qsl(body.decode("ascii", "replace")))
        secret = next((parameters[name] for name in _SECRETS if name in parameters), None)
        if secret is None:
            return None
        user = next((parameters[name] for name in _USERS if parameters.get(name)), "").casefold()
        grant = (parameters.get("grant_type", ""), user, secret)
        if grant in self._may_be_spent:
            self._stats.presented_again += 1
        self._may_be_spent[grant] = None
        return grant

    def note_issued(self, user: User, code: str) -> None:
        """Note a code that goes to a user: a new one, even where chance gives it the digits of an earlier one."""
        self._may_be_spent.pop((OTP_GRANT, user.username.casefold(), code), None)

    def note_unspent(self, grant: tuple[str, ...]) -> None:
        """Note that the response to a request has spent no secret."""
        self._may_be_spent.pop(grant, None)
