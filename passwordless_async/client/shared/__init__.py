"""What the machines of an application share beside sessions: codes, quota and nonces, as far as the store is there."""

from passwordless_async.client.shared.codes import SharedChallenges
from passwordless_async.client.shared.nonces import SharedNonces
from passwordless_async.client.shared.quota import SharedQuota
from passwordless_async.client.shared.shared import Shared

__all__ = ["Shared", "SharedChallenges", "SharedNonces", "SharedQuota"]
