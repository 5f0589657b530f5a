"""Who may send when: turns, paces, circuits and what is done once for all who ask. Nothing here knows HTTP."""

from passwordless_async.client.start_rules import StartRules
from passwordless_async.client.traffic.circuit import Breaker
from passwordless_async.client.traffic.concurrency import AdaptiveLimit, FixedLimit
from passwordless_async.client.traffic.first_nonce import FirstNonce, PeerNonces
from passwordless_async.client.traffic.gate import Gate, Priority
from passwordless_async.client.traffic.shared_pace import Line
from passwordless_async.client.traffic.single_flight import Flight, SingleFlight

__all__ = [
    "AdaptiveLimit",
    "Breaker",
    "FirstNonce",
    "FixedLimit",
    "Flight",
    "Gate",
    "Line",
    "PeerNonces",
    "Priority",
    "SingleFlight",
    "StartRules",
]
