"""How long a call may take, from what is promised: the one place of these numbers.

They follow from the profile of the simulations (:data:`INTERACTIVE <passwordless_async.INTERACTIVE>`):

- One request waits ``patience`` seconds in total: for the gate, its pace, a pause, and its next tries. Each of its
  ``tries`` may be on the wire for ``timeout`` seconds.
- Calls of one user go one after the other, or share one flight: each waits for those before it.
- A process that was frozen goes on afterwards, with what is left of its times.

What one user's requests meet costs another user at most :data:`BY_ANOTHER`. Pauses that the service asks everybody for
are not among them, nor is a full gate: one user has a few requests in flight, not all. Nor is the circuit of starts:
one user alone opens it only if the cool-down was set to 0, by five starts without an answer within ten seconds.
"""

from __future__ import annotations

from passwordless_async import INTERACTIVE

_POLICY = INTERACTIVE.single
STORE = 4.0  # seconds for what a call asks the store: some questions, each with a time-out of one second
TYPING = 2.0  # seconds that a person takes for a code, at most
FROZEN = 10.0  # seconds for which a machine does nothing, at most, each time

_REQUEST = _POLICY.patience + _POLICY.tries * INTERACTIVE.timeout
_START = STORE + _REQUEST
_EXCHANGE = STORE + _REQUEST
# Of a stored session: another process may refresh it first, and its result is kept for 20 seconds while the store is
# away.
_RENEWAL = 2 * (STORE + _REQUEST + 20.0)
_API = 10.0  # seconds that the simulations give one

LONGEST = {
    "start": _START,
    "exchange": _EXCHANGE,
    "again": _EXCHANGE,
    "wrong_code": _EXCHANGE,
    "login": _START + TYPING + _EXCHANGE + _REQUEST,  # with a second factor
    "many": 4 * _EXCHANGE,  # of four users, two at a time, and of a consumer that leaves
    "refresh": _EXCHANGE,
    "revoke": _REQUEST,
    "twin": _RENEWAL,
    "get": STORE,
    "list_sessions": 2 * STORE,
    "update": 2 * STORE,
    "close_session": 2 * STORE + _REQUEST,
    "renew": _RENEWAL,
    "api": STORE + _RENEWAL + _API,
    "browse": _START + TYPING + _EXCHANGE + _REQUEST + 4 * STORE,
    "look": 2 * STORE + _RENEWAL,
    "log_out": 2 * STORE + _REQUEST,
    "aclose": INTERACTIVE.grace + 5.0,  # and a moment each for hand-overs, reports, sessions and connections
}
"""Seconds for each verb, of a call alone."""

BY_ANOTHER = 3.0 + 1.25
"""Seconds that one user's requests delay another's: a first request that fetches the nonce (3), and the pause of all
when limits of users were met in a row (1, and a quarter of it by chance)."""

UNDISTURBED = 0.5
"""Seconds for what a user's own call takes on a calm network with 10 ms a packet, without the typing."""
