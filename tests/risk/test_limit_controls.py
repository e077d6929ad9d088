"""Every control with a limit at its exact boundary: equal passes, just over does not; with missing and stale inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from risk.controls import (
    CONTROLS,
    asset_exposure,
    book_exposure,
    concentration,
    counterparty,
    duplicates,
    market_data,
    market_depth,
    max_order_quantity,
    order_rate,
    permission,
    price_collar,
    self_match,
    turnover,
    working_orders,
)
from risk.controls.catalogue import AT_THE_GATE, CATALOGUE
from risk.controls.result import ControlResult
from risk.facts import Counted, Depth, Held, Live, Mark, Prior, Resting
from risk.inputs import GateInputs, LimitVersion
from tests.risk.gate_inputs import NOW, inputs, intent, market, price, sale

D = Decimal
TINY = D("0.000000000000000001")
Control = Callable[[GateInputs], ControlResult | tuple[ControlResult, ...]]


def row(control: str, value: str | Decimal, scope: str = "global", enforcement: str = "BLOCK") -> LimitVersion:
    return LimitVersion(control, scope, 2, D(value), enforcement)


def said(control: Control, name: str, given: GateInputs) -> ControlResult:
    """What a control says about one limit."""
    found = control(given)
    results = (found,) if isinstance(found, ControlResult) else found
    return next(result for result in results if result.control == name)


def at_the_boundary(control: Control, name: str, observed: str, code: str, given: GateInputs, scope: str) -> None:
    """Equal and just under the limit pass, just over is a breach with this code; unset is not looked at."""
    value = D(observed)
    for limit, outcome in ((value, "pass"), (value + TINY, "pass"), (value - TINY, "breach")):
        result = said(control, name, replace(given, limits=(row(name, limit, scope),)))
        assert (result.outcome, result.observed, result.limit) == (outcome, value, limit), result
        assert result.code == (code if outcome == "breach" else "")
        assert result.headroom == limit - value
        assert result.inputs["limit_scope"] == scope
    assert said(control, name, replace(given, limits=())).outcome in {"not_set", "not_applicable"}


def held(
    quantity: str, asset: str = "BTC", account: str = "main", exchange: str = "binance", strategy: str = ""
) -> Held:
    return Held(exchange, account, strategy, asset, D(quantity))


def live(exposure: str, gained: str = "BTC", *, side: str = "BUY", count: int = 1, **where: str) -> Live:
    place = {"exchange": "binance", "account": "main", "strategy": "", "symbol": "BTCUSDT", **where}
    return Live(**place, side=side, gained_asset=gained, exposure=D(exposure), count=count)


def mark(value: str, asset: str = "BTC", *, age: float = 0, exchange: str = "binance", direct: bool = True) -> Mark:
    return Mark(asset, exchange, f"{asset}USDT", D(value), NOW - timedelta(seconds=age), direct)


BOOK = {
    "held": (held("0.5"), held("0.5", exchange="btcturk", account="other"), held("2", "ETH"), held("1000", "USDT")),
    "live": (live("5000"), live("700", "ETH", symbol="ETHUSDT"), live("9000", "USDT", side="SELL")),
    "marks": (mark("50000"), mark("2000", "ETH")),
}
"""1 BTC at 50 000 and 5 000 of live buys, 2 ETH at 2 000 and 700; the order of the tests adds 60 000."""


# --------------------------------------------------------------------------------------------------------- permission


@pytest.mark.parametrize("scope", ["global", "account:main", "symbol:BTCUSDT", "asset:BTC"])
def test_a_closed_scope_takes_nothing_that_increases_exposure(scope: str) -> None:
    given = inputs(limits=(row("permission", "0", scope),))
    assert said(permission.evaluate, "permission", given).code == "NOT_PERMITTED"
    assert said(permission.evaluate, "permission", replace(given, intent=sale())).outcome == "not_applicable"
    opened = replace(given, limits=(row("permission", "1", scope),))
    assert said(permission.evaluate, "permission", opened).outcome == "pass"


def test_an_asset_that_is_spent_may_be_closed() -> None:
    given = inputs(limits=(row("permission", "0", "asset:USDT"),))
    assert said(permission.evaluate, "permission", given).outcome == "not_set"


def test_market_orders_may_be_closed_alone() -> None:
    limits = (row("market_orders", "0"),)
    assert (
        said(permission.evaluate, "market_orders", inputs(order=market(), limits=limits)).code == "MARKET_NOT_PERMITTED"
    )
    assert said(permission.evaluate, "market_orders", inputs(limits=limits)).outcome == "not_applicable"
    exit_ = market(side="SELL")
    assert said(permission.evaluate, "market_orders", inputs(order=exit_, limits=limits)).outcome == "not_applicable"


# ------------------------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("scope", ["symbol:BTCUSDT", "asset:BTC"])
def test_quantity_is_capped_without_any_price(scope: str) -> None:
    given = inputs(price=price(None, None))
    at_the_boundary(max_order_quantity.evaluate, "max_order_quantity", "1", "MAX_ORDER_QUANTITY", given, scope)


@pytest.mark.parametrize(
    ("own", "times"), [([1] * 9 + [4], "1"), ([2] * 5 + [3] * 5, "0.4"), ([1] * 24 + [4] * 26, "0.25")]
)
def test_a_quantity_is_held_against_the_median_of_its_like(own: list[int], times: str) -> None:
    given = inputs(own_quantities=tuple(D(n) for n in own))
    at_the_boundary(max_order_quantity.evaluate, "max_quantity_multiple", times, "UNUSUAL_QUANTITY", given, "global")


def test_fewer_than_ten_own_orders_are_no_measure() -> None:
    limits = (row("max_quantity_multiple", "0"),)
    result = said(
        max_order_quantity.evaluate, "max_quantity_multiple", inputs(own_quantities=(D(1),) * 9, limits=limits)
    )
    assert (result.outcome, result.detail) == (
        "not_applicable",
        "Not judged: 9 earlier orders are its like, 10 are needed.",
    )
    unpriced = inputs(
        order=market(quantity=None, quote_quantity=D(5)),
        price=price(None, None),
        own_quantities=(D(1),) * 10,
        limits=limits,
    )
    assert said(max_order_quantity.evaluate, "max_quantity_multiple", unpriced).code == "PRICE_UNAVAILABLE"
    assert CATALOGUE["max_quantity_multiple"].enforcement == "WARN"


def test_a_buy_sized_in_quote_is_taken_at_the_bid() -> None:
    given = inputs(order=market(quantity=None, quote_quantity=D("59990")))
    at_the_boundary(max_order_quantity.evaluate, "max_order_quantity", "1", "MAX_ORDER_QUANTITY", given, "asset:BTC")
    stale = replace(given, price=price(age=6), limits=(row("max_order_quantity", "9", "asset:BTC"),))
    assert said(max_order_quantity.evaluate, "max_order_quantity", stale).code == "PRICE_UNAVAILABLE"


# ------------------------------------------------------------------------------------------------------------- collar


@pytest.mark.parametrize(
    ("side", "own", "ahead"),
    [("BUY", "61200", "0.02"), ("SELL", "58800", "0.02"), ("BUY", "60000", "0"), ("SELL", "60000", "0")],
)
def test_the_collar_holds_the_aggressive_side_of_the_mid(side: str, own: str, ahead: str) -> None:
    for available in ("0", "100"):  # for orders that reduce as for others
        given = inputs(order=intent(side=side, price=D(own)), ledger_balance=D(available))
        if ahead != "0":
            at_the_boundary(price_collar.evaluate, "price_collar", ahead, "PRICE_COLLAR", given, "symbol:BTCUSDT")
        else:
            result = said(price_collar.evaluate, "price_collar", replace(given, limits=(row("price_collar", "0"),)))
            assert (result.outcome, result.observed) == ("pass", 0)


def test_a_passive_price_has_a_collar_of_its_own() -> None:
    given = inputs(order=intent(price=D("57000")))
    at_the_boundary(price_collar.evaluate, "passive_collar", "0.05", "PASSIVE_COLLAR", given, "global")
    aggressive = replace(given, limits=(row("price_collar", "0"),))
    assert said(price_collar.evaluate, "price_collar", aggressive).outcome == "pass"


@pytest.mark.parametrize(
    ("age", "buy", "exit_"),
    [(5, "", ""), (5.1, "PRICE_UNAVAILABLE", ""), (600, "PRICE_UNAVAILABLE", ""), (601, *["PRICE_UNAVAILABLE"] * 2)],
)
def test_an_exit_is_judged_by_the_last_good_price_of_ten_minutes(age: float, buy: str, exit_: str) -> None:
    given = inputs(price=price(age=age), limits=(row("price_collar", "0.02"),))
    assert said(price_collar.evaluate, "price_collar", given).code == buy
    assert said(price_collar.evaluate, "price_collar", replace(given, intent=sale())).code == exit_


# -------------------------------------------------------------------------------------------------------------- depth


def book(age: float = 0) -> Depth:
    asks = ((D("60000"), D("0.4")), (D("60300"), D("0.4")), (D("60600"), D("1")))
    bids = ((D("59000"), D("0.4")), (D("58410"), D("9")))
    return Depth(bids, asks, NOW - timedelta(seconds=age))


@pytest.mark.parametrize(
    ("order", "name", "reach"),
    [
        (market(quantity=D("0.4")), "market_slippage", "0"),
        (market(quantity=D("0.8")), "market_slippage", "0.005"),
        (market(), "market_slippage", "0.01"),
        (market(quantity=None, quote_quantity=D("48120")), "market_slippage", "0.005"),
        (market(side="SELL"), "market_slippage_exit", "0.01"),
    ],
)
def test_a_market_order_reaches_no_deeper_than_the_limit(order: Any, name: str, reach: str) -> None:
    given = inputs(order=order, depth=book())
    if reach == "0":
        assert said(market_depth.evaluate, name, replace(given, limits=(row(name, "0"),))).outcome == "pass"
    else:
        at_the_boundary(market_depth.evaluate, name, reach, "DEPTH_INSUFFICIENT", given, "global")


def test_what_the_book_does_not_cover_or_shows_too_late_is_denied() -> None:
    limits = (row("market_slippage", "1"), row("market_slippage_exit", "1"))
    given = inputs(order=market(quantity=D("1.8")), depth=book(2), limits=limits)
    assert said(market_depth.evaluate, "market_slippage", given).outcome == "pass"
    for changes, code in (
        ({"intent": market(quantity=D("1.80001"))}, "DEPTH_INSUFFICIENT"),
        ({"depth": book(2.001)}, "DEPTH_UNAVAILABLE"),
        ({"depth": None}, "DEPTH_UNAVAILABLE"),
        ({"depth": Depth((), (), NOW)}, "DEPTH_UNAVAILABLE"),
    ):
        assert said(market_depth.evaluate, "market_slippage", replace(given, **changes)).code == code
    assert said(market_depth.evaluate, "market_slippage", inputs(limits=limits)).outcome == "not_applicable"


def test_the_expected_average_is_told() -> None:
    given = inputs(order=market(quantity=D("0.8")), depth=book(), limits=(row("market_slippage", "1"),))
    assert said(market_depth.evaluate, "market_slippage", given).inputs["expected_average"] == "60150"


# ----------------------------------------------------------------------------------------------------------- exposure


@pytest.mark.parametrize(
    ("control", "name", "observed", "code", "scope"),
    [
        (asset_exposure.evaluate, "max_asset_exposure", "115000", "MAX_ASSET_EXPOSURE", "global"),
        (asset_exposure.evaluate, "max_asset_exposure", "115000", "MAX_ASSET_EXPOSURE", "asset:BTC"),
        (asset_exposure.evaluate, "max_asset_exposure", "90000", "MAX_ASSET_EXPOSURE", "account:main"),
        (asset_exposure.evaluate, "max_asset_exposure", "90000", "MAX_ASSET_EXPOSURE", "exchange:binance"),
        (book_exposure.evaluate, "max_gross_exposure", "119700", "MAX_GROSS_EXPOSURE", "global"),
        (book_exposure.evaluate, "max_gross_exposure", "94700", "MAX_GROSS_EXPOSURE", "account:main"),
        (book_exposure.evaluate, "max_net_exposure", "114000", "MAX_NET_EXPOSURE", "global"),
        (concentration.evaluate, "max_concentration", "0.23", "MAX_CONCENTRATION", "global"),
        (counterparty.evaluate, "max_exchange_exposure", "95700", "MAX_EXCHANGE_EXPOSURE", "exchange:binance"),
        (counterparty.evaluate, "max_exchange_share", "0.1914", "MAX_EXCHANGE_SHARE", "exchange:binance"),
    ],
)
def test_exposures_count_holdings_live_orders_and_this_one(
    control: Control, name: str, observed: str, code: str, scope: str
) -> None:
    given = inputs(**BOOK, equity=D("500000"))
    at_the_boundary(control, name, observed, code, given, scope)
    limits = (row(name, "0", scope),)
    assert said(control, name, replace(given, limits=limits, intent=sale())).outcome == "not_applicable"
    unpriced = replace(given, limits=(row(name, "9999999", scope),), price=price(age=6))
    assert said(control, name, unpriced).code == "PRICE_UNAVAILABLE"


@pytest.mark.parametrize("age", [60, 60.001])
def test_what_is_held_is_valued_by_a_price_of_at_most_a_minute(age: float) -> None:
    given = inputs(**{**BOOK, "marks": (mark("50000", age=age), mark("2000", "ETH"))}, equity=D("500000"))
    missing = age > 60
    for control, name, scope in (
        (asset_exposure.evaluate, "max_asset_exposure", "global"),
        (book_exposure.evaluate, "max_gross_exposure", "global"),
        (book_exposure.evaluate, "max_net_exposure", "global"),
        (concentration.evaluate, "max_concentration", "global"),
        (counterparty.evaluate, "max_exchange_exposure", "exchange:binance"),
    ):
        result = said(control, name, replace(given, limits=(row(name, "999999", scope),)))
        assert result.code == ("MARK_UNAVAILABLE" if missing else "")


def test_an_unpriced_asset_stops_the_whole_book_but_not_another_asset() -> None:
    given = inputs(**{**BOOK, "marks": (mark("50000"),)})
    limits = (row("max_asset_exposure", "999999"), row("max_gross_exposure", "999999"))
    assert said(asset_exposure.evaluate, "max_asset_exposure", replace(given, limits=limits)).outcome == "pass"
    assert said(book_exposure.evaluate, "max_gross_exposure", replace(given, limits=limits)).code == "MARK_UNAVAILABLE"


def test_sells_offset_nothing_and_a_short_strategy_is_no_credit() -> None:
    given = inputs(
        order=intent(strategy="demo"),
        held=(held("-3", strategy="demo"), held("5", strategy="other")),
        live=(live("0", "USDT", side="SELL", strategy="demo"),),
        marks=(mark("50000"),),
    )
    result = said(
        asset_exposure.evaluate,
        "max_asset_exposure",
        replace(given, limits=(row("max_asset_exposure", "60000", "strategy:demo"),)),
    )
    assert (result.outcome, result.observed) == ("pass", 60000)


def test_a_sale_for_another_coin_adds_that_coin() -> None:
    order = sale(symbol="ETHBTC", base_asset="ETH", quote_asset="BTC", quantity=D(10), price=D("0.05"))
    given = inputs(
        order=order,
        price=price("0.0499", "0.0501", symbol="ETHBTC"),
        reporting_price=price("59990", "60000"),
        marks=(mark("60000"),),
        held=(held("1"),),
        limits=(row("max_asset_exposure", "90000"),),
    )
    result = said(asset_exposure.evaluate, "max_asset_exposure", given)
    assert (result.outcome, result.observed, result.inputs["asset"]) == ("pass", 90000, "BTC")


def test_a_replace_counts_the_greater_of_old_and_new() -> None:
    limits = (row("max_asset_exposure", "70000"),)
    given = inputs(limits=limits, replaces=True, own_exposure=D("70000"))
    assert said(asset_exposure.evaluate, "max_asset_exposure", given).observed == 70000
    smaller = replace(given, own_exposure=D("1"))
    assert said(asset_exposure.evaluate, "max_asset_exposure", smaller).observed == 60000


@pytest.mark.parametrize("equity", [None, "0", "-1"])
def test_a_share_of_no_equity_is_denied(equity: str | None) -> None:
    given = inputs(equity=None if equity is None else D(equity), **BOOK)
    for control, name, scope in (
        (concentration.evaluate, "max_concentration", "global"),
        (counterparty.evaluate, "max_exchange_share", "exchange:binance"),
    ):
        result = said(control, name, replace(given, limits=(row(name, "1", scope),)))
        assert (result.outcome, result.code) == ("breach", "EQUITY_UNKNOWN")


def test_only_what_turns_cash_into_another_cash_asset_meets_the_currency_cap() -> None:
    order = sale(symbol="USDTTRY", base_asset="USDT", quote_asset="TRY", quantity=D(100), price=D("40"))
    given = inputs(
        order=order,
        price=price("39.99", "40.01", symbol="USDTTRY"),
        reporting_price=price("0.0249", "0.025"),
        held=(held("8000", "TRY", exchange="btcturk"),),
        marks=(mark("0.02", "TRY"),),
    )
    at_the_boundary(counterparty.evaluate, "max_currency_exposure", "260", "MAX_CURRENCY_EXPOSURE", given, "asset:TRY")
    exit_ = replace(
        given, intent=sale(symbol="BTCTRY", quote_asset="TRY"), limits=(row("max_currency_exposure", "0", "asset:TRY"),)
    )
    assert said(counterparty.evaluate, "max_currency_exposure", exit_).outcome == "not_applicable"


# -------------------------------------------------------------------------------------------------- counts and windows


@pytest.mark.parametrize(
    ("scope", "observed"),
    [
        ("global", "8"),
        ("account:main", "6"),
        ("symbol:BTCUSDT", "4"),
        ("strategy:demo", "3"),
        ("exchange:btcturk", "3"),
    ],
)
def test_live_orders_are_counted_in_their_scope(scope: str, observed: str) -> None:
    given = inputs(
        live=(
            live("0", count=1),
            live("0", count=2, strategy="demo"),
            live("0", count=2, symbol="ETHUSDT"),
            live("0", count=2, exchange="btcturk", account="other", symbol="ETHUSDT"),
        )
    )
    at_the_boundary(working_orders.evaluate, "max_working_orders", observed, "MAX_WORKING_ORDERS", given, scope)


@pytest.mark.parametrize("name", ["max_order_rate_1s", "max_order_rate_60s"])
def test_asking_is_counted_and_exits_have_a_budget_of_their_own(name: str) -> None:
    counted = (Counted(name, "account:main", D(4), D(1)),)
    at_the_boundary(order_rate.evaluate, name, "5", "ORDER_RATE", inputs(counted=counted), "account:main")
    exit_ = inputs(order=sale(), counted=counted)
    at_the_boundary(order_rate.evaluate, name, "2", "ORDER_RATE", exit_, "account:main")
    lost = inputs(limits=(row(name, "99"),), counted=counted)
    assert said(order_rate.evaluate, name, lost).code == "RATE_UNKNOWN"


@pytest.mark.parametrize("name", ["max_turnover_1m", "max_turnover_1h", "max_turnover_1d"])
def test_turnover_adds_this_order(name: str) -> None:
    counted = (Counted(name, "global", D("1000")),)
    at_the_boundary(turnover.evaluate, name, "61000", "MAX_TURNOVER", inputs(counted=counted), "global")
    limits = (row(name, "999999"),)
    assert said(turnover.evaluate, name, inputs(limits=limits)).code == "TURNOVER_UNKNOWN"
    unpriced = inputs(limits=limits, counted=counted, price=price(age=6))
    assert said(turnover.evaluate, name, unpriced).code == "PRICE_UNAVAILABLE"
    assert said(turnover.evaluate, name, inputs(order=sale(), limits=limits)).outcome == "not_applicable"
    replaced = inputs(limits=limits, counted=counted, replaces=True, own_exposure=D("59000"))
    assert said(turnover.evaluate, name, replaced).observed == 2000


def prior(age: str, *, is_live: bool = False, filled: bool = False) -> Prior:
    return Prior(UUID(int=9), D(age), is_live, filled)


@pytest.mark.parametrize(
    ("priors", "denied"),
    [
        ((), False),
        ((prior("5", is_live=True),), True),
        ((prior("5.000001", is_live=True),), False),
        ((prior("1"),), False),  # it ended without a fill
        ((prior("1", filled=True),), False),
        ((prior("1", filled=True), prior("5", filled=True)), True),
        ((prior("1", filled=True), prior("5.1", filled=True)), False),
    ],
)
def test_the_same_order_again_within_the_window_is_a_duplicate(priors: tuple[Prior, ...], denied: bool) -> None:
    for order in (intent(), sale()):
        given = inputs(order=order, priors=priors, limits=(row("duplicate_window", "5"),))
        assert (said(duplicates.evaluate, "duplicate_window", given).code == "DUPLICATE_ORDER") is denied
    assert said(duplicates.evaluate, "duplicate_window", replace(given, replaces=True)).outcome == "not_applicable"
    assert said(duplicates.evaluate, "duplicate_window", replace(given, limits=())).outcome == "not_set"


def test_the_longest_window_of_all_scopes_counts() -> None:
    limits = (row("duplicate_window", "1"), row("duplicate_window", "10", "account:main"))
    given = inputs(priors=(prior("7", is_live=True),), limits=limits)
    result = said(duplicates.evaluate, "duplicate_window", given)
    assert (result.code, result.inputs["limit_scope"]) == ("DUPLICATE_ORDER", "account:main")


def test_orders_that_look_alike_have_one_fingerprint() -> None:
    same = intent(order_id=UUID(int=7), quantity=D("1.000"))
    assert same.fingerprint == intent().fingerprint
    changes: list[dict[str, Any]] = [{"quantity": D(2)}, {"price": D(1)}, {"side": "SELL"}, {"account": "b"}]
    assert len({intent(**change).fingerprint for change in changes} | {intent().fingerprint}) == 5


# ---------------------------------------------------------------------------------------------------------- self-match


def resting(own: str | None, stop: str | None = None) -> Resting:
    return Resting(UUID(int=3), "other", "", None if own is None else D(own), None if stop is None else D(stop))


@pytest.mark.parametrize(
    ("order", "opposite", "met"),
    [
        (intent(price=D("60000")), resting("60000"), True),
        (intent(price=D("60000")), resting("60000.01"), False),
        (sale(price=D("60000")), resting("60000"), True),
        (sale(price=D("60000")), resting("59999.99"), False),
        (market(), resting("99999"), True),
        (intent(), resting(None), True),
        (market(side="SELL"), resting("1"), True),
        # A stop of ours to sell below the market stands in no book yet; one that the market has reached does.
        (intent(price=D("60000")), resting("58000", "58500"), False),
        (intent(price=D("60000")), resting("58000", "59990"), True),
        (sale(price=D("60000")), resting("62000", "61000"), False),
        (sale(price=D("60000")), resting("62000", "60010"), True),
        (sale(type="STOP_LOSS_LIMIT", stop_price=D("60000")), resting("60000"), False),
    ],
)
def test_an_order_never_meets_one_of_our_own(order: Any, opposite: Resting, met: bool) -> None:
    given = inputs(order=order, opposite=(opposite,), limits=(row("self_match", "0"),))
    assert (said(self_match.evaluate, "self_match", given).code == "SELF_MATCH") is met


def test_a_stop_counts_while_no_price_tells_whether_it_was_reached() -> None:
    given = inputs(opposite=(resting("58000", "58500"),), price=price(age=6), limits=(row("self_match", "0"),))
    assert said(self_match.evaluate, "self_match", given).code == "SELF_MATCH"


# --------------------------------------------------------------------------------------------------------- market data


def test_market_data_is_judged_by_age_spread_and_the_other_exchange() -> None:
    given = inputs(price=price("59400", "60600", age=3), marks=(mark("50000", exchange="btcturk"),))
    at_the_boundary(market_data.evaluate, "max_quote_age", "3", "QUOTE_TOO_OLD", given, "global")
    at_the_boundary(market_data.evaluate, "max_spread", "0.02", "SPREAD_TOO_WIDE", given, "symbol:BTCUSDT")
    at_the_boundary(market_data.evaluate, "max_divergence", "0.2", "PRICES_DIVERGE", given, "exchange:binance")


@pytest.mark.parametrize(
    "shown", [price(None, None), price("60010", "60010"), price("60020", "60010"), price("0", "1")]
)
def test_a_crossed_or_missing_price_is_no_market(shown: Any) -> None:
    given = inputs(price=shown, marks=(mark("50000", exchange="btcturk"),))
    for name in ("max_quote_age", "max_spread", "max_divergence"):
        limited = replace(given, limits=(row(name, "999999"),))
        assert said(market_data.evaluate, name, limited).code == "MARKET_DATA_UNUSABLE"
        exit_ = replace(limited, intent=sale())
        assert said(market_data.evaluate, name, exit_).outcome == "not_applicable"
        assert (
            said(market_data.evaluate, name, replace(limited, intent=market(side="SELL"))).code
            == "MARKET_DATA_UNUSABLE"
        )


def test_a_mid_that_jumped_is_no_market() -> None:
    moved = replace(price("61799", "61801"), before_mid=D("60000"))
    for apart, jump in ((0.2, "0.03"), (1, "0.03"), (2, "0.015"), (60, "0.0005")):
        given = inputs(price=replace(moved, before_at=NOW - timedelta(seconds=apart)))
        at_the_boundary(market_data.evaluate, "max_mid_jump", jump, "PRICE_JUMPED", given, "global")
    fallen = replace(price("58199", "58201"), before_mid=D("60000"), before_at=NOW - timedelta(seconds=1))
    at_the_boundary(market_data.evaluate, "max_mid_jump", "0.03", "PRICE_JUMPED", inputs(price=fallen), "account:main")
    limits = (row("max_mid_jump", "0"),)
    exit_ = inputs(order=sale(), price=fallen, limits=limits)
    assert said(market_data.evaluate, "max_mid_jump", exit_).outcome == "not_applicable"
    by_market = replace(exit_, intent=market(side="SELL"))
    assert said(market_data.evaluate, "max_mid_jump", by_market).code == "PRICE_JUMPED"
    crossed = replace(fallen, bid=D("58202"))
    assert (
        said(market_data.evaluate, "max_mid_jump", inputs(price=crossed, limits=limits)).code == "MARKET_DATA_UNUSABLE"
    )
    assert said(market_data.evaluate, "max_mid_jump", inputs(limits=limits)).outcome == "not_applicable"


def test_without_another_exchange_there_is_nothing_to_diverge_from() -> None:
    limits = (row("max_divergence", "0"),)
    for marks in ((), (mark("1"),), (mark("1", exchange="btcturk", age=5.1),), (mark("1", "ETH", exchange="btcturk"),)):
        given = inputs(limits=limits, marks=marks)
        assert said(market_data.evaluate, "max_divergence", given).outcome == "not_applicable"


# ------------------------------------------------------------------------------------------------- scopes, modes, table


@pytest.mark.parametrize("tightest", ["global", "account:main", "symbol:BTCUSDT"])
def test_all_scopes_are_checked_and_a_narrower_one_never_loosens(tightest: str) -> None:
    scopes = ("global", "account:main", "symbol:BTCUSDT")
    limits = tuple(row("max_working_orders", "0" if scope == tightest else "9", scope) for scope in scopes)
    result = said(working_orders.evaluate, "max_working_orders", inputs(limits=limits))
    assert (result.code, result.inputs["limit_scope"]) == ("MAX_WORKING_ORDERS", tightest)
    assert set(result.inputs["limits"]) == set(scopes)


@pytest.mark.parametrize(
    ("modes", "outcome"),
    [
        (("BLOCK", "WARN"), "breach"),
        (("WARN", "SHADOW"), "warned"),
        (("SHADOW", "SHADOW"), "shadowed"),
    ],
)
def test_what_blocks_outranks_what_warns_and_that_what_only_looks(modes: tuple[str, str], outcome: str) -> None:
    limits = (
        row("max_working_orders", "0", "global", modes[0]),
        row("max_working_orders", "0", "account:main", modes[1]),
    )
    result = said(working_orders.evaluate, "max_working_orders", inputs(limits=limits))
    assert (result.outcome, result.code) == (outcome, "MAX_WORKING_ORDERS")


def test_a_limit_that_only_warns_does_not_hide_one_that_blocks_elsewhere() -> None:
    limits = (row("max_working_orders", "0", "global", "WARN"), row("max_working_orders", "5", "account:main"))
    assert said(working_orders.evaluate, "max_working_orders", inputs(limits=limits)).outcome == "warned"


def test_every_limit_of_the_table_is_looked_at_by_exactly_one_control() -> None:
    names: list[str] = []
    for control in CONTROLS:
        found = control(inputs(limits=()))
        names += [result.control for result in ((found,) if isinstance(found, ControlResult) else found)]
    assert len(names) == len(set(names))
    assert set(AT_THE_GATE) <= set(names)
    assert not {name for name, spec in CATALOGUE.items() if spec.monitor} & set(names)


def test_only_mandatory_limits_deny_when_they_are_not_set() -> None:
    denying = [
        result.control
        for control in CONTROLS
        for found in [control(inputs(limits=()))]
        for result in ((found,) if isinstance(found, ControlResult) else found)
        if result.outcome == "breach"
    ]
    assert denying == [name for name, spec in CATALOGUE.items() if spec.mandatory]


@pytest.mark.parametrize("name", [n for n, s in CATALOGUE.items() if s.number in {3, 4, 8, 9, 10, 12, 14}])
def test_caps_never_hold_up_an_exit(name: str) -> None:
    given = inputs(order=sale(), limits=tuple(row(name, "0", scope) for scope in ("global", "account:main")))
    for control in CONTROLS:
        found = control(given)
        for result in (found,) if isinstance(found, ControlResult) else found:
            if result.control == name:
                assert result.outcome == "not_applicable"
