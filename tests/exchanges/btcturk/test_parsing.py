"""Answers of the exchange as reports: exact numbers, unknown things kept apart, everything malformed refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.btcturk import parsing
from exchanges.filters import check_order
from exchanges.http.decoding import Unparsable, decode
from exchanges.reports import BalanceReport, Fee, InstrumentReport, ReportedStatus
from tests.exchanges.btcturk import samples
from tests.exchanges.btcturk.samples import CLIENT_ID, ORDER_ID, STAMP, envelope

AT = datetime(2026, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)


def wire(data: Any, **changes: Any) -> Any:
    """What the parser gets after the bytes went through the decoder."""
    return decode(json.dumps(envelope(data, **changes)).encode())


# Orders


def test_a_placement_is_open_and_says_nothing_about_fills() -> None:
    report = parsing.placed(wire(samples.placed(), httpStatusCode=200))
    assert (report.exchange_order_id, report.client_order_id) == (str(ORDER_ID), CLIENT_ID)
    assert (report.symbol, report.side, report.type) == ("BTCTRY", "BUY", "LIMIT")
    assert (report.price, report.quantity) == (Decimal(3037000), Decimal("0.0005"))
    assert (report.status, report.cumulative_quantity, report.cumulative_quote) == (ReportedStatus.OPEN, 0, None)
    assert report.as_of == AT.replace(microsecond=133_000)


@pytest.mark.parametrize("price", ["0", None])
def test_a_market_placement_has_no_price_and_no_base_quantity(price: str | None) -> None:
    report = parsing.placed(wire(samples.placed(method="market", price=price, quantity="1000")))
    assert (report.type, report.price, report.quantity) == ("MARKET", None, None)


@pytest.mark.parametrize(
    ("raw", "status", "left", "executed"),
    [
        ("Untouched", ReportedStatus.OPEN, "0.0005", "0"),
        ("Untouched", ReportedStatus.PARTIALLY_FILLED, "0.0004", "0.0001"),
        ("Partial", ReportedStatus.PARTIALLY_FILLED, "0.0002", "0.0003"),
        ("Closed", ReportedStatus.FILLED, "0", "0.0005"),
        ("Canceled", ReportedStatus.CANCELED, "0.0005", "0"),
        ("CANCELED", ReportedStatus.CANCELED, "0.0003", "0.0002"),
        ("Expired", ReportedStatus.UNRECOGNISED, "0", "0.0005"),
    ],
)
def test_statuses_and_what_was_executed(raw: str, status: ReportedStatus, left: str, executed: str) -> None:
    report = parsing.order(wire(samples.order(status=raw, leftAmount=left))).report
    assert (report.status, report.cumulative_quantity) == (status, Decimal(executed))
    assert report.reason == ("Expired" if status is ReportedStatus.UNRECOGNISED else "")


def test_older_casing_is_understood() -> None:
    old = {name.lower(): value for name, value in samples.order(type="Buy", method="Limit").items()}
    assert parsing.order(wire(old)) == parsing.order(wire(samples.order()))


def test_a_turkish_capital_is_not_a_latin_one() -> None:
    with pytest.raises(Unparsable):
        parsing.order(wire(samples.order(type="SEL\u0130")))
    assert parsing.order(wire(samples.order(method="L\u0130M\u0130T"))).report.type not in {"LIMIT", "MARKET"}


def test_a_closed_market_order_keeps_its_residue_out() -> None:
    report = parsing.order(
        wire(
            samples.order(
                method="market",
                status="Closed",
                price="3037000",
                quantity="0.0000000000000001",
                amount="0.0003291",
                leftAmount="0.0000000000000001",
            )
        )
    ).report
    assert (report.price, report.quantity) == (None, None)
    assert abs(report.cumulative_quantity - Decimal("0.0003291")) < Decimal("1e-8")


def test_more_left_than_there_was_is_nothing_executed_for_market_orders_only() -> None:
    changes = {"amount": "1", "leftAmount": "2"}
    assert parsing.order(wire(samples.order(method="market", **changes))).report.cumulative_quantity == 0
    with pytest.raises(Unparsable, match="leftAmount"):
        parsing.order(wire(samples.order(**changes)))


@pytest.mark.parametrize(
    ("method", "kind", "price"), [("stoplimit", "STOP_LOSS_LIMIT", 3037000), ("stopmarket", "STOP_LOSS", None)]
)
def test_foreign_stops_are_understood(method: str, kind: str, price: int | None) -> None:
    waiting = parsing.order(wire(samples.order(method=method, stopPrice="3100000"))).report
    assert (waiting.type, waiting.status, waiting.price) == (kind, ReportedStatus.OPEN, price)
    ended = parsing.order(wire(samples.order(method=method, status="Canceled"))).report
    assert (ended.status, ended.reason) == (ReportedStatus.CANCELED, parsing.MAY_HAVE_TRIGGERED)


def test_open_orders_have_both_sides_and_their_last_update() -> None:
    sell = samples.order(id=7, type="sell", orderClientId="", method="newest", pairSymbol="BTC_TRY")
    ours, theirs = parsing.open_orders(wire(samples.working(sell, samples.order())))
    assert (ours.side, ours.client_order_id) == ("BUY", CLIENT_ID)
    assert (theirs.side, theirs.client_order_id, theirs.type, theirs.symbol) == ("SELL", "", "NEWEST", "BTCTRY")
    assert ours.as_of == AT.replace(microsecond=143_000)


@pytest.mark.parametrize("data", [{"bids": []}, {"asks": []}, {"bids": [], "asks": None}, [], None])
def test_open_orders_without_a_side_are_no_answer(data: Any) -> None:
    with pytest.raises(Unparsable):
        parsing.open_orders(wire(data))


def test_history_tells_when_orders_were_placed() -> None:
    listed = parsing.order_history(wire([samples.order(), samples.order(id=3, time=0)]))
    assert [each.placed_ms for each in listed] == [STAMP + 10, STAMP + 20]


# Trades


def test_a_buy_with_fee_and_tax() -> None:
    (trade,) = parsing.trades(wire([samples.trade()]))
    assert (trade.trade_id, trade.exchange_order_id) == ("1181163798924600001", str(ORDER_ID))
    assert (trade.symbol, trade.side, trade.client_order_id) == ("BTCTRY", "BUY", CLIENT_ID)
    assert (trade.quantity, trade.quote_quantity) == (Decimal("0.0001"), Decimal("303.7"))
    assert trade.fees == (Fee("TRY", Decimal("0.3037")), Fee("TRY", Decimal("0.06074"), "tax"))
    assert (trade.is_maker, trade.traded_at) == (None, AT.replace(microsecond=124_000))


def test_a_sell_is_negative_and_the_precise_amount_counts() -> None:
    content = (
        b'{"success":true,"message":"SUCCESS","code":0,"data":[{"id":1181163798924600001,"timestamp":1767225600456,'
        b'"orderId":26950000001,"orderClientId":"eng-0001","orderType":"sell","numeratorSymbol":"AAVE",'
        b'"denominatorSymbol":"TRY","price":"6321.50","amount":"-0.3384","preciseAmount":-0.3384081100000000,'
        b'"fee":"-1.06962343","tax":"-0.21392469"}]}'
    )
    (trade,) = parsing.trades(decode(content))
    assert (trade.side, trade.quantity) == ("SELL", Decimal("0.33840811"))
    assert trade.quote_quantity == Decimal("0.33840811") * Decimal("6321.50")
    assert [fee.amount for fee in trade.fees] == [Decimal("1.06962343"), Decimal("0.21392469")]


@pytest.mark.parametrize("precise", [None, 0, "missing"])
def test_without_a_precise_amount_the_shown_one_counts(precise: Any) -> None:
    row = samples.trade(preciseAmount=precise)
    if precise == "missing":
        del row["preciseAmount"]
    (trade,) = parsing.trades(wire([row]))
    assert trade.quantity == Decimal("0.0001")


def test_fees_of_zero_are_none_and_a_rebate_keeps_its_sign() -> None:
    free, paid = parsing.trades(wire([samples.trade(fee="0", tax="0.0"), samples.trade(2, fee="0.5", tax="0")]))
    assert free.fees == ()
    assert paid.fees == (Fee("TRY", Decimal("-0.5")),)


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": "-0.0001", "preciseAmount": -0.0001},
        {"amount": "0", "preciseAmount": None},
        {"orderType": "swap"},
        {"price": "0"},
        {"fee": None},
        {"tax": "x"},
        {"id": -1},
        {"orderId": None},
        {"timestamp": 10**20},
        {"timestamp": "1"},
        {"numeratorSymbol": ""},
        {"orderClientId": 7},
        {"Price": "1"},
    ],
)
def test_trades_that_do_not_make_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(Unparsable):
        parsing.trades(wire([samples.trade(**changes)]))


def test_quote_amounts_fit_the_books() -> None:
    (trade,) = parsing.trades(wire([samples.trade(price="1.00001", amount="0.1234567890123456", preciseAmount=None)]))
    assert trade.quote_quantity == Decimal("0.123458023580235723")  # of …723456
    assert int(trade.quote_quantity.as_tuple().exponent) >= -18
    (exact,) = parsing.trades(wire([samples.trade(price="2", amount="0.1234567890123456", preciseAmount=None)]))
    assert exact.quote_quantity == Decimal("0.2469135780246912")


# Balances


@pytest.mark.parametrize("mark", [".", ","])
def test_balances_with_either_decimal_mark(mark: str) -> None:
    rows = [
        {"asset": "TRY", "free": f"27223{mark}7283000000000000", "locked": "1", "balance": "x"},
        {"asset": "BTC", "free": "0", "locked": f"0{mark}0"},
        {"asset": "ETH", "free": 2, "locked": 0.5},
    ]
    assert parsing.balances(wire(rows), AT) == (
        BalanceReport("TRY", Decimal("27223.7283"), Decimal(1), AT),
        BalanceReport("ETH", Decimal(2), Decimal("0.5"), AT),
    )


@pytest.mark.parametrize("text", ["1,234.5", "1.234,5", "1,2,3", "", "-", "1e5", None, True, "١"])
def test_balances_are_never_guessed(text: Any) -> None:
    with pytest.raises(Unparsable):
        parsing.balances(wire([{"asset": "TRY", "free": text, "locked": "0"}]), AT)


# Instruments


def instrument(**changes: Any) -> InstrumentReport:
    ((found,), unreadable) = parsing.instruments(wire({"symbols": [samples.pair(**changes)]}))
    assert unreadable == frozenset()
    return found


def test_a_pair_with_integer_prices() -> None:
    found = instrument()
    assert (found.symbol, found.base_asset, found.quote_asset) == ("BTCTRY", "BTC", "TRY")
    assert (found.is_trading, found.quote_quantity_allowed) == (True, True)
    assert (found.base_precision, found.quote_precision) == (8, 0)
    assert found.order_types == ("MARKET", "LIMIT", "STOP_LOSS", "STOP_LOSS_LIMIT")
    assert found.filters == {
        "PRICE_FILTER": {"minPrice": "370000", "maxPrice": "10000000", "tickSize": "1"},
        "LOT_SIZE": {"minQty": "0", "maxQty": "0", "stepSize": "0.00000001"},
        "NOTIONAL": {
            "minNotional": "99.91",
            "applyMinToMarket": True,
            "maxNotional": "0",
            "applyMaxToMarket": False,
        },
    }
    json.dumps(found.filters)  # they are stored as JSON


def test_a_pair_with_fractions_and_older_fields() -> None:
    old = samples.pair(hasFraction=True, numeratorScale=4)
    for name in ("maximumOrderAmount", "maximumLimitOrderPrice", "minimumLimitOrderPrice"):
        del old[name]
    old["filters"][0] |= {"minAmount": "0.01", "maxAmount": "500"}
    ((found,), _) = parsing.instruments(wire({"symbols": [old]}))
    assert (found.base_precision, found.quote_precision) == (4, 2)
    assert found.filters["PRICE_FILTER"] == {"minPrice": "0.0000000000001", "maxPrice": "10000000", "tickSize": "0.01"}
    assert found.filters["LOT_SIZE"] == {"minQty": "0.01", "maxQty": "500", "stepSize": "0.0001"}


@pytest.mark.parametrize("most", [100, "100", 100.0])
def test_the_lesser_maximum_counts(most: Any) -> None:
    filters = [{**samples.pair()["filters"][0], "maxAmount": "500"}]
    assert instrument(maximumOrderAmount=most, filters=filters).filters["LOT_SIZE"]["maxQty"] == "100"


@pytest.mark.parametrize("changes", [{"status": "HALT"}, {"status": "break"}, {"commissionFromNumerator": True}])
def test_pairs_that_are_not_traded(changes: dict[str, Any]) -> None:
    assert not instrument(**changes).is_trading


def test_market_may_vanish() -> None:
    found = instrument(orderMethods=["LIMIT"])
    assert (found.order_types, found.quote_quantity_allowed) == (("LIMIT",), False)


@pytest.mark.parametrize("changes", [{"hasFraction": None}, {"numeratorScale": 19}, {"filters": {}}, {"status": 1}])
def test_a_pair_that_cannot_be_read_is_named(changes: dict[str, Any]) -> None:
    found, unreadable = parsing.instruments(wire({"symbols": [samples.pair(**changes), samples.pair(name="ETHTRY")]}))
    assert [each.symbol for each in found] == ["ETHTRY"]
    assert unreadable == {"BTCTRY"}


@pytest.mark.parametrize(
    ("changes", "breached"),
    [
        ({}, []),
        ({"price": Decimal("3037000.5")}, ["PRECISION", "PRICE_FILTER"]),
        ({"price": Decimal("369999")}, ["PRICE_FILTER"]),
        ({"price": Decimal("370000")}, []),
        ({"price": Decimal("10000000")}, []),
        ({"price": Decimal("10000001")}, ["PRICE_FILTER"]),
        ({"quantity": Decimal("0.000500001")}, ["PRECISION", "LOT_SIZE"]),
        ({"quantity": Decimal("0.00003289")}, ["NOTIONAL"]),
        ({"price": Decimal("999100"), "quantity": Decimal("0.0001")}, []),
        ({"price": Decimal("999099"), "quantity": Decimal("0.0001")}, ["NOTIONAL"]),
        ({"type_": "MARKET", "price": None, "quantity": None, "quote_quantity": Decimal("100")}, []),
        ({"type_": "MARKET", "price": None, "quantity": None, "quote_quantity": Decimal("99")}, ["NOTIONAL"]),
        ({"type_": "MARKET", "price": None, "quantity": None, "quote_quantity": Decimal("100.5")}, ["PRECISION"]),
    ],
)
def test_the_filters_as_mapped_judge_orders_boundary_by_boundary(changes: dict[str, Any], breached: list[str]) -> None:
    found = instrument()
    order: dict[str, Any] = {
        "type_": "LIMIT",
        "quantity": Decimal("0.0005"),
        "quote_quantity": None,
        "price": Decimal(3037000),
        "base_precision": found.base_precision,
        "quote_precision": found.quote_precision,
        "reference_price": None,
    }
    assert [breach.name for breach in check_order(found.filters, **{**order, **changes})] == breached


# Quotes and time


def test_quotes_are_exact_and_an_empty_side_is_none() -> None:
    content = (
        b'{"data":[{"pair":"BTCTRY","bid":3036000.1,"ask":3037000},{"pair":"XTRY","bid":0,"ask":0.0}],'
        b'"success":true,"message":null,"code":0}'
    )
    full, empty = parsing.quotes(decode(content))
    assert (full.symbol, full.bid, full.ask) == ("BTCTRY", Decimal("3036000.1"), Decimal(3037000))
    assert (empty.bid, empty.ask) == (None, None)


def test_server_time_has_no_envelope() -> None:
    assert parsing.server_ms({"serverTime": STAMP, "serverTime2": "x"}) == STAMP


# Envelope


@pytest.mark.parametrize("code", [0, "SUCCESS", "0", None])
def test_any_code_of_success(code: Any) -> None:
    assert parsing.balances(wire([], code=code), AT) == ()


@pytest.mark.parametrize(
    "body", [{}, {"data": []}, {"success": False, "data": []}, {"success": "true", "data": []}, []]
)
def test_success_must_be_said(body: Any) -> None:
    with pytest.raises(Unparsable):
        parsing.balances(body, AT)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = sorted({*samples.order(), *samples.trade(), *samples.placed(), *samples.pair()})


@given(st.sampled_from(FIELDS), JSON)
def test_whatever_comes_is_read_or_refused(name: str, value: Any) -> None:
    for parse, data in (
        (parsing.placed, {**samples.placed(), name: value}),
        (parsing.order, {**samples.order(), name: value}),
        (parsing.open_orders, {"bids": [{**samples.order(), name: value}], "asks": value}),
        (parsing.trades, [{**samples.trade(), name: value}]),
        (parsing.instruments, {"symbols": [{**samples.pair(), name: value}]}),
        (parsing.quotes, [{"pair": "A", "bid": value, "ask": 1}]),
        (parsing.order_history, value),
    ):
        try:
            parse(wire(data))
        except Unparsable as error:
            assert str(value) not in str(error) or len(str(value)) < 8
