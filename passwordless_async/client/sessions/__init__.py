"""Sessions that outlive a process: opened on one machine, read and refreshed on any, closed everywhere.

Invariants:

- The identifier alone opens a session, and the store holds nothing that does.
- A session is refreshed by one process at a time. A refresh token with an unknown outcome is not sent again.
- What was acknowledged is in the store.
"""
