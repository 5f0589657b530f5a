"""How a request gets on the wire: turns, pace, tries, circuit, and the HTTP client under them."""

from passwordless_async.client.traffic.circuit import Breaker
from passwordless_async.client.traffic.concurrency import AdaptiveLimit, FixedLimit
from passwordless_async.client.traffic.first_nonce import FirstNonce, PeerNonces
from passwordless_async.client.traffic.gate import Gate, Priority
from passwordless_async.client.traffic.shared_pace import PeerQuota
from passwordless_async.client.traffic.single_flight import Departure, SingleFlight

__all__ = [
    "AdaptiveLimit",
    "Breaker",
    "Departure",
    "FirstNonce",
    "FixedLimit",
    "Gate",
    "PeerNonces",
    "PeerQuota",
    "Priority",
    "SingleFlight",
]
