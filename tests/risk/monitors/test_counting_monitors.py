"""Monitors that count: equal breaks, just under does not, and what lies outside the window is not counted."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from risk.monitors import reject_storm, repeated_execution
from tests.risk.gate_inputs import NOW

D = Decimal


@pytest.mark.parametrize(
    ("entries", "limit", "broken"),
    [(49, "50", False), (50, "50", True), (51, "50", True), (0, "0", False), (1, "0", True), (50, "50.5", False)],
)
def test_repeated_execution_breaks_at_its_limit(entries: int, limit: str, broken: bool) -> None:
    assert repeated_execution.evaluate(entries, D(limit)) is broken


@pytest.mark.parametrize(
    ("ages", "limit", "count", "broken"),
    [
        ([0, 1, 2, 3], "5", 4, False),
        ([0, 1, 2, 3, 59.999], "5", 5, True),
        ([0, 1, 2, 3, 60], "5", 4, False),
        ([0, 1, 2, 3, -1], "5", 4, False),
        ([0, 1, 2, 3, 4, 5], "5", 6, True),
        ([], "0", 0, False),
        ([0], "0", 1, True),
    ],
)
def test_a_storm_is_counted_in_sixty_seconds(ages: list[float], limit: str, count: int, broken: bool) -> None:
    answered = [NOW - timedelta(seconds=age) for age in ages]
    assert reject_storm.evaluate(answered, NOW, D(limit)) == (count, broken)
