"""Sessions that outlive a process: opened on one machine, read and refreshed on any, closed everywhere.

The promises: the identifier alone opens a session, and the store holds nothing that does; a session is refreshed by one
process at a time, and a refresh token whose fate nobody knows is not sent again; what was acknowledged is in the store.
"""

from passwordless_async.client.sessions.sessions import Sessions
from passwordless_async.client.sessions.values import Lifetimes, SessionInfo, StoredSession

__all__ = ["Lifetimes", "SessionInfo", "Sessions", "StoredSession"]
