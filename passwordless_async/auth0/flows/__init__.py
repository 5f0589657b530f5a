"""The protocol, as generators that yield requests and are sent responses. They do no I/O: a shell drives them.

The promises kept here: a new proof for every transmission; a nonce challenge answered once; a code sent again only in
answer to a challenge, which a server makes before it looks at the code; tokens returned only when they are bound to
the key that was proven and the ID token is valid.
"""

from passwordless_async.auth0.flows import mfa
from passwordless_async.auth0.flows.life_cycle import own_key, refresh, revoke, userinfo
from passwordless_async.auth0.flows.link import exchange_link, start_link
from passwordless_async.auth0.flows.login import exchange, start, start_database
from passwordless_async.auth0.flows.tenant import Flow, Tenant

__all__ = [
    "Flow",
    "Tenant",
    "exchange",
    "exchange_link",
    "mfa",
    "own_key",
    "refresh",
    "revoke",
    "start",
    "start_database",
    "start_link",
    "userinfo",
]
