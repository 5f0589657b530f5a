"""Sessions that outlive a process: opened on one machine, read and refreshed on any, closed everywhere.

Invariants:

- Only the identifier opens a session, and the store does not have it.
- One process at a time refreshes a session. A refresh token with an unknown outcome is not sent again.
- An acknowledged write is in the store.
"""
