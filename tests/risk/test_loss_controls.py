"""Controls 19 and 20 at their exact boundary: a loss that equals its limit breaks it; missing and stale equity."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from risk.controls import daily_loss, drawdown
from risk.controls.result import ControlResult
from risk.facts import Losses
from risk.inputs import GateInputs, LimitVersion
from risk.monitors.losses import evaluate
from tests.risk.gate_inputs import NOW, inputs, intent, sale

D = Decimal
TINY = D("0.000000000000000001")
# Equity fell from 1000 at its highest and 950 as the day began to 900.
LOST: dict[str, str] = {
    "max_drawdown": "0.1",
    "max_drawdown_amount": "100",
    "max_daily_loss": "50",
    "max_daily_loss_fraction": "0.052631578947368422",  # 50 / 950, rounded up
}
SCOPES = ("global", "account:main", "strategy:demo")


def lost(scope: str = "account:main", *, age: float = 0, **changes: Any) -> Losses:
    return replace(
        Losses(
            scope,
            NOW - timedelta(seconds=age),
            True,
            equity=D(900),
            drawdown=D("0.1"),
            drawdown_amount=D(100),
            daily_loss=D(50),
            opening=D(950),
        ),
        **changes,
    )


def said(name: str, given: GateInputs) -> ControlResult:
    found = (*drawdown.evaluate(given), *daily_loss.evaluate(given))
    return next(result for result in found if result.control == name)


def limits(name: str, value: str | Decimal, scope: str = "account:main", mode: str = "BLOCK") -> dict[str, Any]:
    return {"limits": (LimitVersion(name, scope, 2, D(value), mode),)}


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", LOST)
def test_equal_and_just_over_are_breaches_just_under_passes(name: str, scope: str) -> None:
    given = inputs(order=intent(strategy="demo"), losses=(lost(scope), lost("account:other", equity=D(0))))
    value = D(LOST[name])
    for limit, outcome in ((value, "breach"), (value - TINY, "breach"), (value + TINY, "pass")):
        result = said(name, replace(given, **limits(name, limit, scope)))
        assert (result.outcome, result.observed, result.limit) == (outcome, value, limit)
        assert result.code == ({19: "MAX_DAILY_LOSS", 20: "MAX_DRAWDOWN"}[result.number] if outcome == "breach" else "")
        judged = evaluate(
            [("sandbox", replace(given, **limits(name, limit, scope)).limits[0])],
            {("sandbox", scope): lost(scope)},
            NOW,
        )
        assert judged[0].breaches is (outcome == "breach"), "the monitor judges as the gate does"
    assert said(name, replace(given, limits=())).outcome == "not_set"


@pytest.mark.parametrize("name", LOST)
def test_a_gain_is_no_loss_and_zero_allows_nothing(name: str) -> None:
    gained = lost(drawdown=D(0), drawdown_amount=D(0), daily_loss=D(-7))
    assert said(name, inputs(losses=(gained,), **limits(name, TINY))).observed == 0
    assert said(name, inputs(losses=(gained,), **limits(name, TINY))).outcome == "pass"
    assert said(name, inputs(losses=(gained,), **limits(name, "0"))).outcome == "breach"


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize(
    ("seen", "unknown"),
    [
        (lost(age=60), False),
        (lost(age=60.000001), True),
        (lost(age=-5), False),
        (lost(age=-5.000001), True),
        (lost(known_at=None), True),
        (lost("global"), True),  # of another scope: there is none of this one
    ],
)
def test_equity_counts_for_exactly_a_minute(name: str, seen: Losses, unknown: bool) -> None:
    result = said(name, inputs(losses=(seen,), **limits(name, "1000000")))
    assert (result.outcome, result.code) == (("breach", "EQUITY_UNKNOWN") if unknown else ("pass", ""))


@pytest.mark.parametrize("name", LOST)
def test_a_reference_that_is_not_positive_makes_a_loss_unknown(name: str) -> None:
    nothing = lost(drawdown=None, drawdown_amount=None, daily_loss=None, opening=D(0))
    assert said(name, inputs(losses=(nothing,), **limits(name, "1000000"))).code == "EQUITY_UNKNOWN"


def test_a_day_that_began_with_nothing_has_no_fraction() -> None:
    given = inputs(losses=(lost(opening=D(0)),), **limits("max_daily_loss_fraction", "1000000"))
    assert said("max_daily_loss_fraction", given).code == "EQUITY_UNKNOWN"


@pytest.mark.parametrize("name", LOST)
def test_what_never_began_has_lost_nothing(name: str) -> None:
    fresh = lost(begun=False, drawdown=None, drawdown_amount=None, daily_loss=None, opening=None)
    assert said(name, inputs(losses=(fresh,), **limits(name, TINY))).outcome == "pass"
    assert said(name, inputs(losses=(replace(fresh, equity=D(-1)),), **limits(name, TINY))).code == "EQUITY_UNKNOWN"
    of_strategy = limits(name, TINY, "strategy:demo")
    assert said(name, inputs(losses=(), **of_strategy)).outcome == "pass", "nothing of it is in the books"


@pytest.mark.parametrize("name", LOST)
@pytest.mark.parametrize(("mode", "outcome"), [("BLOCK", "breach"), ("WARN", "warned"), ("SHADOW", "shadowed")])
def test_modes_and_orders_that_reduce(name: str, mode: str, outcome: str) -> None:
    for seen in ((lost(),), ()):
        given = limits(name, "0", mode=mode)
        assert said(name, inputs(losses=seen, **given)).outcome == outcome
        assert said(name, inputs(order=sale(), losses=seen, **given)).outcome == "not_applicable"
