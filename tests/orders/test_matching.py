"""A booked fill and the exchange's word on the same trade: what differs, and how grave that is."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from exchanges.reports import Fee
from orders.models import BreakKind, Severity
from orders.reconciliation.matching import differences_between, severity_of
from positions.facts import FillFact
from tests.factories import InstrumentFactory, QuoteFactory, trade_report

D = Decimal
FEE = Fee("USDT", D("0.6"))


def fill(**values: Any) -> FillFact:
    """A fill as it stands; of what is not compared anything."""
    stands: dict[str, Any] = {"side": "BUY", "price": D(60000), "quantity": D("0.01"), "fees": (), **values}
    rest = dict.fromkeys(FillFact.__dataclass_fields__)
    return FillFact(**{**rest, **stands})


@pytest.mark.parametrize(
    ("booked", "told", "expected"),
    [
        ({}, {}, []),
        ({"fees": (FEE,)}, {"fees": (Fee("USDT", D("0.60")),)}, []),
        ({"fees": (FEE,)}, {"fees": (FEE, Fee("USDT", D(0), "tax"))}, []),
        ({"fees": (FEE,)}, {"fees": (Fee("USDT", D("0.4")), Fee("USDT", D("0.2")))}, []),
        ({}, {"price": D("60000.01")}, [("price_mismatch", "60000", "60000.01", D("0.01"))]),
        ({}, {"quantity": D("0.009")}, [("qty_mismatch", "BUY 0.01", "BUY 0.009", D("-0.001"))]),
        ({}, {"side": "SELL"}, [("qty_mismatch", "BUY 0.01", "SELL 0.01", D(0))]),
        ({"fees": (FEE,)}, {}, [("fee_mismatch", "0.6 USDT fee", "none", D("-0.6"))]),
        (
            {"fees": (FEE,)},
            {"fees": (Fee("BNB", D("0.001")),)},
            [("fee_mismatch", "0.6 USDT fee", "0.001 BNB fee", None)],
        ),
        (
            {"fees": (FEE,)},
            {"fees": (Fee("USDT", D("0.6"), "tax"),)},
            [("fee_mismatch", "0.6 USDT fee", "0.6 USDT tax", D(0))],
        ),
        (
            {},
            {"price": D(1), "quantity": D(1), "fees": (FEE,)},
            [
                ("price_mismatch", "60000", "1", D(-59999)),
                ("qty_mismatch", "BUY 0.01", "BUY 1", D("0.99")),
                ("fee_mismatch", "none", "0.6 USDT fee", D("0.6")),
            ],
        ),
    ],
)
def test_the_smallest_difference_is_one(booked: dict[str, Any], told: dict[str, Any], expected: list[Any]) -> None:
    trade = replace(trade_report("1", "0.01"), **told)
    found = [(d.kind, d.expected, d.observed, d.difference) for d in differences_between(fill(**booked), trade)]
    assert found == expected


@pytest.mark.parametrize(
    ("told", "severity"),
    [("60100", Severity.WARNING), ("60100.01", Severity.BLOCKING), ("59900", Severity.WARNING), ("59899", "blocking")],
)
def test_a_price_difference_worth_more_than_one_unit_of_the_reporting_currency_blocks(told: str, severity: str) -> None:
    pair = InstrumentFactory.build(symbol="BTCUSDT", base_asset="BTC", quote_asset="USDT")
    (found,) = differences_between(fill(), trade_report("1", "0.01", told))
    assert severity_of(found, fill(), pair) == severity


@pytest.mark.django_db
def test_the_worth_of_a_price_difference_is_measured_in_the_reporting_currency() -> None:
    pair = InstrumentFactory(symbol="BTCTRY", base_asset="BTC", quote_asset="TRY")
    booked = fill(price=D(2400000))
    (found,) = differences_between(booked, trade_report("1", "0.01", "2403000"))
    assert severity_of(found, booked, pair) == Severity.BLOCKING, "no rate is known"
    rate = InstrumentFactory(
        exchange=pair.exchange, mode=pair.mode, symbol="USDTTRY", base_asset="USDT", quote_asset="TRY"
    )
    QuoteFactory(instrument=rate, bid=D(40), ask=D(41))
    assert severity_of(found, booked, pair) == Severity.WARNING
    (found,) = differences_between(booked, trade_report("1", "0.01", "2404200"))
    assert severity_of(found, booked, pair) == Severity.BLOCKING


def test_of_a_fill_that_was_taken_back_the_whole_trade_is_too_much() -> None:
    gone = fill(quantity=D(0), fees=(), price=D(1))
    (found,) = differences_between(gone, trade_report("1", "0.01", fees=(FEE,)))
    assert (found.kind, found.expected, found.observed) == (BreakKind.QTY_MISMATCH, "taken back", "BUY 0.01")
    assert severity_of(found, gone, InstrumentFactory.build()) == Severity.WARNING


def test_quantity_and_fee_differences_begin_mild() -> None:
    pair = InstrumentFactory.build()
    quantity, fee = differences_between(fill(), trade_report("1", "0.02", fees=(FEE,)))
    assert (quantity.kind, severity_of(quantity, fill(), pair)) == (BreakKind.QTY_MISMATCH, Severity.WARNING)
    assert (fee.kind, severity_of(fee, fill(), pair)) == (BreakKind.FEE_MISMATCH, Severity.INFORMATIONAL)
