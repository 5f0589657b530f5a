"""Budgets as values."""

from __future__ import annotations

from typing import Any

import pytest

from passwordless_async import UsageError
from passwordless_async.gateway import Budgets, Sms


@pytest.mark.parametrize("codes", ["049", ("x",), ("",), ("12345678",), ("٤٩",)])
def test_calling_codes_are_checked(codes: Any) -> None:
    """Digits, and no zero in front."""
    with pytest.raises(UsageError, match="calling_codes"):
        Sms(calling_codes=codes)


@pytest.mark.parametrize("number", [0, -1, True, 1.5])
def test_limits_are_checked(number: Any) -> None:
    """Whole numbers, or None."""
    with pytest.raises(UsageError, match="starts_per_user"):
        Budgets(starts_per_user=number)
    with pytest.raises(UsageError, match="per_day"):
        Sms(per_day=number)
