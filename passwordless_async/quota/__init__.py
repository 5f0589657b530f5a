"""Who may send when: turns, paces, circuits and what is done once for all who ask. Nothing here knows HTTP."""

from passwordless_async.quota.breaker import Breaker
from passwordless_async.quota.cold_start import ColdStart
from passwordless_async.quota.gate import Gate, Priority
from passwordless_async.quota.limit import AdaptiveLimit, FixedLimit
from passwordless_async.quota.places import Line
from passwordless_async.quota.single_flight import Flight, SingleFlight
from passwordless_async.quota.starts import StartRules

__all__ = [
    "AdaptiveLimit",
    "Breaker",
    "ColdStart",
    "FixedLimit",
    "Flight",
    "Gate",
    "Line",
    "Priority",
    "SingleFlight",
    "StartRules",
]
