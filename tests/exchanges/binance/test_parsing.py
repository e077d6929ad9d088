"""Answers of the exchange as reports: exact numbers, unknown things kept apart, everything malformed refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.binance import parsing
from exchanges.http.decoding import Unparsable
from exchanges.reports import Fee, ReportedStatus
from tests.exchanges.binance import samples


def test_placement_becomes_an_order_and_its_trades() -> None:
    order, trades = parsing.placed(samples.placed(newField={"a": 1}))
    at = datetime(2025, 7, 20, 8, 26, 40, 138_000, tzinfo=UTC)
    assert order.client_order_id == samples.CLIENT_ID
    assert order.exchange_order_id == "28"
    assert order.status is ReportedStatus.PARTIALLY_FILLED
    assert (order.price, order.quantity) == (Decimal("60000.1"), Decimal("0.5"))
    assert (order.cumulative_quantity, order.cumulative_quote) == (Decimal("0.3"), Decimal("18000.02"))
    assert order.as_of == at
    assert [trade.trade_id for trade in trades] == ["56", "57"]
    assert [trade.quote_quantity for trade in trades] == [Decimal(6000), Decimal("12000.02")]
    assert trades[0].fees == (Fee("BTC", Decimal("0.0001")),)
    assert trades[1].fees == ()  # a fee of zero is none
    assert {(trade.side, trade.is_maker, trade.traded_at) for trade in trades} == {("BUY", False, at)}


def test_expired_placement_is_no_fill() -> None:
    order, trades = parsing.placed(
        samples.placed(
            status="EXPIRED",
            type="MARKET",
            price="0.00000000",
            executedQty="0",
            cummulativeQuoteQty="0",
            expiryReason="INSUFFICIENT_LIQUIDITY",
            fills=[],
        )
    )
    assert order.status is ReportedStatus.EXPIRED
    assert order.reason == "INSUFFICIENT_LIQUIDITY"
    assert order.price is None
    assert order.cumulative_quantity == 0
    assert trades == ()


def test_smart_routing_allocation_is_no_trade() -> None:
    fills = samples.placed()["fills"]
    fills[0]["tradeId"] = -1
    _, trades = parsing.placed(samples.placed(fills=fills))
    assert [trade.trade_id for trade in trades] == ["57"]


def test_quote_of_a_fill_is_exact_beyond_the_default_precision() -> None:
    fill = {**samples.placed()["fills"][0], "price": "12345678901234567890.12345678", "qty": "98765432109876.12345678"}
    _, trades = parsing.placed(samples.placed(fills=[fill]))
    assert int(trades[0].quote_quantity.scaleb(16, Context(prec=80))) == (
        1234567890123456789012345678 * 9876543210987612345678
    )


def test_cancel_reports_the_order_under_its_own_id() -> None:
    order = parsing.canceled(samples.canceled())
    assert order.client_order_id == samples.CLIENT_ID
    assert order.status is ReportedStatus.CANCELED
    assert order.cumulative_quantity == Decimal("0.1")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("NEW", ReportedStatus.OPEN),
        ("PENDING_NEW", ReportedStatus.OPEN),
        ("PENDING_CANCEL", ReportedStatus.OPEN),
        ("PARTIALLY_FILLED", ReportedStatus.PARTIALLY_FILLED),
        ("FILLED", ReportedStatus.FILLED),
        ("CANCELED", ReportedStatus.CANCELED),
        ("REJECTED", ReportedStatus.REJECTED),
        ("EXPIRED", ReportedStatus.EXPIRED),
        ("EXPIRED_IN_MATCH", ReportedStatus.EXPIRED),
        ("SOMETHING_NEW", ReportedStatus.UNRECOGNISED),
    ],
)
def test_statuses(raw: str, status: ReportedStatus) -> None:
    report = parsing.queried(samples.order(status=raw))
    assert report.status is status
    assert report.reason == (raw if raw in {"SOMETHING_NEW", "EXPIRED_IN_MATCH"} else "")


def test_pending_cancel_with_a_fill_is_partially_filled() -> None:
    report = parsing.queried(samples.order(status="PENDING_CANCEL", executedQty="0.1"))
    assert report.status is ReportedStatus.PARTIALLY_FILLED


def test_negative_cumulative_quote_is_not_known() -> None:
    assert parsing.queried(samples.order(cummulativeQuoteQty="-1.00000000")).cumulative_quote is None


def test_query_is_as_of_the_last_update() -> None:
    report = parsing.queried(samples.order())
    assert report.as_of == datetime(2025, 7, 20, 8, 26, 40, 143_000, tzinfo=UTC)


def test_trades() -> None:
    first, second = parsing.trades(
        [samples.trade(5, isBuyer=False, isMaker=True, commission="0.0"), samples.trade(6, quoteQty="0.00000000")]
    )
    assert (first.side, first.is_maker, first.fees) == ("SELL", True, ())
    assert (second.side, second.is_maker, second.quote_quantity) == ("BUY", False, 0)


def test_balances_drop_zeros() -> None:
    at = datetime(2025, 7, 20, tzinfo=UTC)
    body = {
        "balances": [
            {"asset": "BTC", "free": "1.5", "locked": "0.0"},
            {"asset": "ETH", "free": "0.00", "locked": "0.00"},
            {"asset": "币安", "free": "0", "locked": "2"},
        ]
    }
    found = parsing.balances(body, at)
    assert [(each.asset, each.free, each.locked) for each in found] == [
        ("BTC", Decimal("1.5"), Decimal(0)),
        ("币安", Decimal(0), Decimal(2)),
    ]


def symbol(**changes: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "baseAssetPrecision": 8,
        "quoteAsset": "USDT",
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "0", "tickSize": "0.01"},
            {"filterType": "NOTIONAL", "minNotional": "5", "applyMinToMarket": True, "avgPriceMins": 5},
            {"filterType": "NEVER_SEEN", "bound": 7},
        ],
        **changes,
    }


def test_instrument() -> None:
    (instrument,) = parsing.instruments({"symbols": [symbol()]})
    assert instrument.is_trading
    assert instrument.quote_quantity_allowed
    assert instrument.filters["PRICE_FILTER"] == {"minPrice": "0.01", "maxPrice": "0", "tickSize": "0.01"}
    assert instrument.filters["NOTIONAL"]["applyMinToMarket"] is True
    assert "NEVER_SEEN" in instrument.filters


@pytest.mark.parametrize(
    "changes", [{"status": "HALT"}, {"status": "CANCEL_ONLY"}, {"status": "NEW_KIND"}, {"isSpotTradingAllowed": False}]
)
def test_anything_but_trading_is_not_trading(changes: dict[str, Any]) -> None:
    (instrument,) = parsing.instruments({"symbols": [symbol(**changes)]})
    assert not instrument.is_trading


def test_quotes_have_no_price_for_an_empty_side() -> None:
    (quote,) = parsing.quotes([{"symbol": "BTCUSDT", "bidPrice": "59999.9", "askPrice": "0.00000000"}])
    assert (quote.bid, quote.ask) == (Decimal("59999.9"), None)


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", b"{", b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1,"a":2}', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_not_json_is_refused(content: bytes) -> None:
    with pytest.raises(Unparsable) as caught:
        parsing.decode(content)
    assert caught.value.__context__ is None  # the decoder's error would carry the body along


def test_no_float_comes_out_of_json() -> None:
    assert parsing.decode(b'{"a":0.1,"b":1e-5}') == {"a": Decimal("0.1"), "b": Decimal("0.00001")}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"code":-2010,"msg":"no"}', (-2010, "no")),
        (b'{"code":-2010}', (-2010, "")),
        (b'{"code":-2010,"msg":7}', (-2010, "")),
        (b'{"code":"-2010","msg":"no"}', (None, '{"code":"-2010","msg":"no"}')),
        (b'{"code":true}', (None, '{"code":true}')),
        (b"[]", (None, "[]")),
        (b"null", (None, "null")),
        (b'"text"', (None, '"text"')),
        (b"", (None, "")),
        (b"<html>", (None, "<html>")),
        (b'{"code":-1013,"code":-2010}', (None, '{"code":-1013,"code":-2010}')),
    ],
)
def test_error_body(content: bytes, expected: tuple[int | None, str]) -> None:
    assert parsing.error_of(content) == expected


@pytest.mark.parametrize("body", [None, [], "text", 7, {}])
def test_malformed_placement_is_refused(body: Any) -> None:
    with pytest.raises(Unparsable):
        parsing.placed(body)


NEEDED = (
    "symbol orderId clientOrderId price origQty executedQty cummulativeQuoteQty status type side transactTime fills"
)


@pytest.mark.parametrize("name", NEEDED.split())
@pytest.mark.parametrize("value", [None, True, 1.5, {}])
def test_a_field_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Unparsable):
        parsing.placed(samples.placed(**{name: value}))


@pytest.mark.parametrize("value", ["", "1e5", "NaN", "Infinity", "1_000", "-1", "+1", " 1", "1.", "१", "0x1"])
def test_an_odd_amount_is_refused(value: str) -> None:
    with pytest.raises(Unparsable):
        parsing.queried(samples.order(executedQty=value))


@pytest.mark.parametrize("value", [10**30, -(10**30), True, "1", 1.0])
def test_an_impossible_time_is_refused(value: Any) -> None:
    with pytest.raises(Unparsable):
        parsing.queried(samples.order(updateTime=value))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(samples.order())), json_values)
def test_nothing_but_unparsable_is_raised(name: str, value: Any) -> None:
    body = parsing.decode(json.dumps(samples.order(**{name: value})).encode())
    try:
        parsing.queried(body)
    except Unparsable:
        pass
