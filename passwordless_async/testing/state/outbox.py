"""The messages that the tenant "sent": codes and links that a user would find in the mail or on the phone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from passwordless_async._common.bounded import Bounded
from passwordless_async._common.secret import redacted
from passwordless_async.testing.state.users import HasUsername, User

if TYPE_CHECKING:
    from collections.abc import Callable


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
        link: The link; None in a message with a code.
        delivery: How a code reaches a phone: ``text`` or ``voice``.
    """

    realm: str
    username: str
    code: str | None = attrs.field(repr=redacted)
    language: str | None
    ip: str
    at: float
    link: str | None = attrs.field(default=None, repr=redacted)
    delivery: str = "text"


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
        message = self._newest_to(who)
        if message.code is None:
            raise LookupError(f"the newest message to {who!r} holds a link, not a code: start with send=code")
        return message.code

    def link_for(self, who: HasUsername) -> str:
        """Return the newest link that was sent to a user; following it redirects to the application.

        Raises:
            LookupError: No message was sent to them, or the newest one holds a code.
        """
        message = self._newest_to(who)
        if message.link is None:
            raise LookupError(f"the newest message to {who!r} holds a code, not a link: start with send=link")
        return message.link

    def _newest_to(self, who: HasUsername) -> Message:
        message = self._newest.get(User.of(who))
        if message is None:
            raise LookupError(f"no message was sent to {who!r}")
        return message

    def send(self, message: Message) -> None:
        """Store a message and call ``on_send``."""
        self._messages.append(message)
        self._newest[User(message.realm, message.username)] = message
        if self.on_send is not None:
            self.on_send(message)
