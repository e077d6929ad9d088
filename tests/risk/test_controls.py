"""Every control at its exact boundary, with missing and with stale inputs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from execution_project.common.actors import Actor
from risk.controls import CONTROLS, funds, health, max_order_notional, reduce_only, trading_state, venue_filters
from risk.controls.catalogue import AT_THE_GATE
from risk.controls.result import ControlResult
from risk.gate import decide
from risk.inputs import GateInputs, StateOfScope
from tests.factories import FILTERS
from tests.risk.gate_inputs import NOW, inputs, intent, limit, market, price, sale

D = Decimal
TINY = D("0.000000000000000001")
Control = Callable[[GateInputs], ControlResult]


def says(control: Control, code: str, given: GateInputs) -> ControlResult:
    """Assert the control's code; empty when it lets the order on."""
    result = control(given)
    assert result.code == code, result
    assert (result.outcome == "breach") == bool(code)
    assert bool(result.detail) or not code
    return result


# ------------------------------------------------------------------------------------------------------ trading state


@pytest.mark.parametrize(
    ("states", "buying", "reducing"),
    [
        ([], "", ""),
        (["ACTIVE", "ACTIVE"], "", ""),
        (["ACTIVE", "HALTED"], "TRADING_HALTED", "TRADING_HALTED"),
        (["REDUCE_ONLY", "HALTED"], "TRADING_HALTED", "TRADING_HALTED"),
        (["ACTIVE", "REDUCE_ONLY"], "TRADING_REDUCE_ONLY", ""),
        (["ACTIVE", "SOMETHING_NEW"], "TRADING_HALTED", "TRADING_HALTED"),
        ([""], "TRADING_HALTED", "TRADING_HALTED"),
    ],
)
def test_the_strictest_state_of_all_scopes_counts(states: list[str], buying: str, reducing: str) -> None:
    given = tuple(StateOfScope(f"scope:{n}", state, 0) for n, state in enumerate(states))
    says(trading_state.evaluate, buying, inputs(states=given))
    says(trading_state.evaluate, reducing, inputs(order=sale(), states=given))


def test_a_halt_names_the_scopes_that_are_halted() -> None:
    states = (StateOfScope("global", "ACTIVE", 0), StateOfScope("account:main", "HALTED", 0))
    result = says(trading_state.evaluate, "TRADING_HALTED", inputs(states=states))
    assert "account:main" in result.detail
    assert "global" not in result.detail


# ------------------------------------------------------------------------------------------------------------- health


def test_closed_books_deny_everything() -> None:
    says(health.evaluate, "", inputs())
    says(health.evaluate, "BOOKS_NOT_OPEN", inputs(order=intent(books_open=False)))
    says(health.evaluate, "BOOKS_NOT_OPEN", inputs(order=sale(books_open=False)))


# ------------------------------------------------------------------------------------------------------ venue filters


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"is_trading": False}, "INSTRUMENT_NOT_TRADING"),
        ({"quantity": D("0.000011")}, "FILTER_LOT_SIZE"),
        ({"price": D("60000.001")}, "FILTER_PRICE_FILTER"),
        ({"quantity": D("0.00001")}, "FILTER_NOTIONAL"),
        ({"quantity": D("0.123456789")}, "FILTER_PRECISION"),
    ],
)
def test_filters_apply_to_every_order_reducing_or_not(changes: dict[str, Any], code: str) -> None:
    for side in ("BUY", "SELL"):
        says(venue_filters.evaluate, code, inputs(order=intent(side=side, filters=FILTERS, **changes)))


def test_a_market_order_is_valued_at_a_fresh_mid_or_left_to_the_exchange() -> None:
    small = market(filters=FILTERS, quantity=D("0.00005"))
    says(venue_filters.evaluate, "FILTER_NOTIONAL", inputs(order=small))
    says(venue_filters.evaluate, "", inputs(order=small, price=price(age=6)))
    says(venue_filters.evaluate, "", inputs(order=small, price=price("199990", "200010")))


# -------------------------------------------------------------------------------------------------------- reduce only


@pytest.mark.parametrize(
    ("order", "changes", "code"),
    [
        (intent(), {}, ""),
        (intent(reduce_only=True), {}, "REDUCE_ONLY_WOULD_INCREASE"),
        (sale(reduce_only=True), {}, ""),
        (sale(reduce_only=True, quote_asset="BTC", base_asset="ETH"), {}, "REDUCE_ONLY_WOULD_INCREASE"),
        (sale(reduce_only=True, quote_asset="TRY"), {}, ""),
        (sale(reduce_only=True), {"ledger_balance": D(1)}, ""),
        (sale(reduce_only=True), {"ledger_balance": 1 - TINY}, "REDUCE_ONLY_WOULD_INCREASE"),
        (sale(reduce_only=True), {"exchange_balance": 1 - TINY}, "REDUCE_ONLY_WOULD_INCREASE"),
        (sale(reduce_only=True), {"ledger_balance": D(2), "reserved": D(1)}, ""),
        (sale(reduce_only=True), {"ledger_balance": D(2), "reserved": 1 + TINY}, "REDUCE_ONLY_WOULD_INCREASE"),
        (sale(reduce_only=True), {"ledger_balance": None}, "REDUCE_ONLY_WOULD_INCREASE"),
        (sale(reduce_only=True), {"exchange_balance": None}, "REDUCE_ONLY_WOULD_INCREASE"),
    ],
)
def test_only_a_sale_for_cash_of_what_is_available_reduces(order: Any, changes: dict[str, Any], code: str) -> None:
    says(reduce_only.evaluate, code, inputs(order=order, **changes))


# ----------------------------------------------------------------------------------------------- maximum order notional


@pytest.mark.parametrize(
    ("order", "value"),
    [
        (intent(), "60000"),  # the limit is at the mid
        (intent(price=D("59000")), "60000"),  # a passive buy is valued at the mid
        (intent(price=D("61000")), "61000"),
        (intent(quantity=D("0.5")), "30000"),
        (market(), "60310.05"),  # ask 60 010 and 0.5 %
        (market(quantity=None, quote_quantity=D("123.45")), "123.45"),
        (sale(quote_asset="BUSD"), "60000"),  # above the bid
        (sale(quote_asset="BUSD", price=D("59000")), "59990"),  # below it: the bid
    ],
)
def test_the_worst_value_is_capped_inclusively(order: Any, value: str) -> None:
    given = {"order": order, "reporting_currency": order.quote_asset}
    result = says(max_order_notional.evaluate, "", inputs(limits=(limit(value),), **given))
    assert (result.observed, result.headroom) == (D(value), 0)
    says(max_order_notional.evaluate, "", inputs(limits=(limit(str(D(value) + TINY)),), **given))
    result = says(
        max_order_notional.evaluate, "MAX_ORDER_NOTIONAL", inputs(limits=(limit(str(D(value) - TINY)),), **given)
    )
    assert result.headroom == -TINY


@pytest.mark.parametrize("tight", ["global", "exchange:binance", "account:main", "symbol:BTCUSDT", "strategy:alpha"])
def test_the_tightest_of_all_scopes_counts(tight: str) -> None:
    wide = [limit("60001", scope) for scope in ("global", "exchange:binance", "account:main") if scope != tight]
    says(max_order_notional.evaluate, "", inputs(limits=(limit("60000", tight), limit("60000"), *wide)))
    result = says(
        max_order_notional.evaluate, "MAX_ORDER_NOTIONAL", inputs(limits=(limit("59999", tight), limit("60000"), *wide))
    )
    assert result.limit == 59999
    assert result.inputs["limit_scope"] == tight
    assert result.inputs["limit_version"] == 3


@pytest.mark.parametrize(
    "limits",
    [
        (),
        (limit(None),),
        (limit("1000000", "global"),),
        (limit("1000000", "account:main", "another_control"),),
        (limit("1000000", "symbol:BTCUSDT"), limit(None)),
    ],
)
def test_without_a_limit_for_the_account_nothing_that_increases_passes(limits: Any) -> None:
    says(max_order_notional.evaluate, "LIMIT_NOT_SET", inputs(limits=limits))
    result = max_order_notional.evaluate(inputs(order=sale(), limits=limits))
    assert result.outcome == "not_applicable", "a reducing order keeps a way out"


def test_a_limit_of_zero_lets_nothing_increase() -> None:
    says(max_order_notional.evaluate, "MAX_ORDER_NOTIONAL", inputs(limits=(limit("0"),)))


@pytest.mark.parametrize(
    "bad",
    [
        price(None, "60010"),
        price("59990", None),
        price(age=5.000001),
        price("60010", "60010"),
        price("60020", "60010"),
        price("0", "60010"),
        price("-1", "60010"),
    ],
)
def test_a_price_that_cannot_be_used_denies_what_it_would_value(bad: Any) -> None:
    says(max_order_notional.evaluate, "PRICE_UNAVAILABLE", inputs(price=bad))
    says(max_order_notional.evaluate, "PRICE_UNAVAILABLE", inputs(order=market(), price=bad))
    says(funds.evaluate, "PRICE_UNAVAILABLE", inputs(order=market(), price=bad))
    says(
        funds.evaluate,
        "PRICE_UNAVAILABLE",
        inputs(order=sale(quantity=None, quote_quantity=D(100), price=None), price=bad),
    )


def test_a_quote_of_exactly_five_seconds_is_fresh() -> None:
    says(max_order_notional.evaluate, "", inputs(price=price(age=5)))


def test_a_foreign_quote_asset_is_valued_at_the_adverse_side_of_a_fresh_rate() -> None:
    order = intent(quote_asset="TRY", symbol="BTCTRY")
    rate = price("0.0299", "0.03", symbol="TRYUSDT")
    given = {"order": order, "reporting_price": rate}
    says(max_order_notional.evaluate, "", inputs(limits=(limit("1800"),), **given))
    says(max_order_notional.evaluate, "MAX_ORDER_NOTIONAL", inputs(limits=(limit("1799.99"),), **given))
    for bad in (None, price("0.0299", "0.03", age=5.1), price("0.03", "0.03"), price(None, None)):
        says(max_order_notional.evaluate, "PRICE_UNAVAILABLE", inputs(order=order, reporting_price=bad))


# -------------------------------------------------------------------------------------------------------------- funds


@pytest.mark.parametrize(
    ("order", "needed"),
    [
        (intent(), "60000"),
        (intent(fee_in_quote_rate=D("0.001")), "60060"),
        (market(), "60310.05"),
        (market(fee_in_quote_rate=D("0.002")), "60430.6701"),
        (market(quantity=None, quote_quantity=D("500")), "500"),
        (market(quantity=None, quote_quantity=D("500"), fee_in_quote_rate=D("0.001")), "500.5"),
        (sale(), "1"),
        (sale(type="MARKET", price=None), "1"),
        (sale(fee_in_quote_rate=D("0.001")), "1"),
    ],
)
def test_what_is_needed_may_be_all_that_is_available(order: Any, needed: str) -> None:
    for name in ("ledger_balance", "exchange_balance"):
        for reserved in (D(0), D("7.5")):
            enough = D(needed) + reserved
            result = says(funds.evaluate, "", inputs(order=order, reserved=reserved, **{name: enough}))
            assert (result.observed, result.limit) == (D(needed), D(needed))
            result = says(
                funds.evaluate, "INSUFFICIENT_FUNDS", inputs(order=order, reserved=reserved, **{name: enough - TINY})
            )
            assert result.headroom == -TINY


def test_a_quote_sized_sale_needs_more_base_than_the_bid_alone_says() -> None:
    order = sale(type="MARKET", price=None, quantity=None, quote_quantity=D("59990"))
    given = inputs(order=order)
    assert given.funds_needed is not None
    assert D("1.005") < given.funds_needed < D("1.0051")
    says(funds.evaluate, "INSUFFICIENT_FUNDS", inputs(order=order, ledger_balance=D("1.005")))


@pytest.mark.parametrize("missing", ["ledger_balance", "exchange_balance", "balance_as_of"])
def test_an_unknown_balance_denies(missing: str) -> None:
    says(funds.evaluate, "BALANCE_UNKNOWN", inputs(**{missing: None}))
    says(funds.evaluate, "BALANCE_UNKNOWN", inputs(order=sale(), **{missing: None}))


def test_a_buy_needs_a_balance_of_at_most_a_minute_and_a_sale_does_not() -> None:
    edge = NOW - timedelta(seconds=60)
    says(funds.evaluate, "", inputs(balance_as_of=edge))
    late = edge - timedelta(microseconds=1)
    says(funds.evaluate, "BALANCE_STALE", inputs(balance_as_of=late))
    says(funds.evaluate, "", inputs(order=sale(), balance_as_of=late))


def test_a_reducing_order_is_not_exempt_from_funds() -> None:
    says(funds.evaluate, "INSUFFICIENT_FUNDS", inputs(order=sale(), ledger_balance=D("0.5")))


def test_amounts_of_38_digits_are_compared_exactly() -> None:
    big = D("99999999999999999999.999999999999999998")
    order = market(quantity=None, quote_quantity=big)
    says(funds.evaluate, "", inputs(order=order, ledger_balance=big, exchange_balance=big + TINY))
    says(funds.evaluate, "INSUFFICIENT_FUNDS", inputs(order=order, ledger_balance=big, exchange_balance=big - TINY))
    says(
        funds.evaluate,
        "INSUFFICIENT_FUNDS",
        inputs(order=order, ledger_balance=big, exchange_balance=big, reserved=TINY),
    )


# ------------------------------------------------------------------------------------------------------------ decision


def test_every_breach_is_reported_and_every_control_leaves_its_result() -> None:
    given = inputs(
        order=intent(is_trading=False, books_open=False, reduce_only=True),
        states=(StateOfScope("global", "HALTED", 1),),
        limits=(limit("1"),),
        ledger_balance=D(1),
    )
    verdict = decide(given, 7, by=Actor("key:desk", "test"))
    assert not verdict.accepted
    assert [breach["code"] for breach in verdict.breaches] == [
        "TRADING_HALTED",
        "BOOKS_NOT_OPEN",
        "INSTRUMENT_NOT_TRADING",
        "REDUCE_ONLY_WOULD_INCREASE",
        "MAX_ORDER_NOTIONAL",
        "INSUFFICIENT_FUNDS",
    ]
    decision = verdict.decision
    assert (decision.accepted, decision.gate_seq) == (False, 7)
    told = [result["control"] for result in decision.results] + decision.inputs["not_set"]
    assert len(told) == len(set(told)) > len(CONTROLS)
    assert set(AT_THE_GATE) <= set(told)
    assert (decision.actor, decision.decided_at, decision.order_id) == ("key:desk", NOW, given.intent.order_id)


def test_a_decision_keeps_what_it_saw_as_plain_text() -> None:
    verdict = decide(inputs(reserved=D("1E+3")), 1, by=Actor("key:desk", "test"))
    assert verdict.accepted
    assert verdict.breaches == []
    seen = verdict.decision.inputs
    assert seen["price"] == {
        "symbol": "BTCUSDT",
        "bid": "59990",
        "ask": "60010",
        "age_ms": 0,
        "source": "quote:binance",
    }
    assert (seen["notional"], seen["available"], seen["reserved"]) == ("60000", "999000", "1000")
    by_control = {result["control"]: result for result in verdict.decision.results}
    assert by_control["funds"]["headroom"] == "939000"
    assert by_control["max_order_notional"]["limit"] == "1000000"
    assert [result["control"] for result in verdict.decision.results] == [
        *("trading_state", "paused", "health", "venue_filters", "reduce_only", "max_order_notional", "funds")
    ]
    assert sorted(seen["not_set"]) == sorted(set(AT_THE_GATE) - {"max_order_notional"})
