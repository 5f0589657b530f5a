"""The exception that carries a failed check from the place that found it to the verifier."""

from __future__ import annotations


class FailedCheck(Exception):
    """A check of a proof failed. The verifier adds the status and raises an error of the public tree instead.

    Args:
        description: The reason, as it may stand in ``error_description`` (RFC 6750 §3): fixed text, never the client's.
        error: The error code (RFC 9449 §7.1, RFC 6750 §3.1).
    """

    def __init__(self, description: str, error: str = "invalid_dpop_proof") -> None:
        super().__init__(description)
        self.description = description
        self.error = error
