"""What orders and breaks know against a position shows on it, and goes again."""

from __future__ import annotations

from decimal import Decimal

import pytest

from orders.breaks import resolve
from orders.confidence import note_confidence
from orders.models import ExchangeOrder
from positions.models import Position
from tests.factories import BY, AccountFactory, BreakFactory, InstrumentFactory, PositionFactory, whole_order

pytestmark = pytest.mark.django_db


def confidences() -> dict[str, str]:
    note_confidence()
    rows = Position.objects.select_related("account", "instrument")
    return {f"{row.account.name} {row.instrument.symbol}": row.confidence for row in rows}


def test_quantity_that_is_not_booked_yet_makes_a_position_provisional() -> None:
    order = whole_order(status="open")
    name = order.account.name
    PositionFactory(account=order.account, instrument=order.instrument)
    PositionFactory(account=order.account, instrument=InstrumentFactory(base_asset="ETH"))
    PositionFactory(account=AccountFactory(name="other"), instrument=order.instrument)
    assert set(confidences().values()) == {"confirmed"}
    ExchangeOrder.objects.filter(order=order).update(cumulative_quantity=Decimal(1))
    assert confidences() == {
        f"{name} BTCUSDT": "provisional",
        f"{name} ETHUSDT": "confirmed",
        "other BTCUSDT": "confirmed",
    }
    ExchangeOrder.objects.filter(order=order).update(booked_quantity=Decimal(1))
    assert set(confidences().values()) == {"confirmed"}


@pytest.mark.parametrize(
    ("subject", "disputed"),
    [("BTC", {"BTCUSDT"}), ("USDT", {"BTCUSDT", "ETHUSDT"}), ("ETHUSDT 17", {"ETHUSDT"}), ("XRP", set())],
)
def test_an_open_break_disputes_the_positions_that_it_touches(subject: str, disputed: set[str]) -> None:
    account = AccountFactory(name="a")
    for base in ("BTC", "ETH"):
        PositionFactory(account=account, instrument=InstrumentFactory(base_asset=base))
    row = BreakFactory(account=account, subject=subject)
    found = confidences()
    assert {name.removeprefix("a ") for name, confidence in found.items() if confidence == "disputed"} == disputed
    resolve(row.id, "seen and explained by hand", BY)
    assert set(confidences().values()) == {"confirmed"}
