"""One set of inputs in which every control passes, to change one thing at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from risk.inputs import GateInputs, LimitVersion, Price, Reconciled
from risk.intent import Intent, scopes_of

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
D = Decimal


def intent(**changes: Any) -> Intent:
    """A limit buy of 1 BTC at 60 000 USDT on the account ``main``."""
    return replace(
        Intent(
            order_id=UUID(int=1),
            account_id=1,
            account="main",
            exchange="binance",
            mode="sandbox",
            books_open=True,
            symbol="BTCUSDT",
            instrument_id=1,
            base_asset="BTC",
            quote_asset="USDT",
            is_trading=True,
            filters_synced_at=NOW,
            filters={},
            base_precision=8,
            quote_precision=8,
            strategy=None,
            side="BUY",
            type="LIMIT",
            quantity=D("1"),
            quote_quantity=None,
            price=D("60000"),
            stop_price=None,
            reduce_only=False,
            fee_in_quote_rate=D(0),
            scopes=scopes_of(exchange="binance", account="main", strategy=None, symbol="BTCUSDT"),
        ),
        **changes,
    )


def price(bid: str | None = "59990", ask: str | None = "60010", age: float = 0, symbol: str = "BTCUSDT") -> Price:
    """A quote of this age in seconds."""
    return Price(symbol, None if bid is None else D(bid), None if ask is None else D(ask), NOW - timedelta(seconds=age))


def limit(
    value: str | None = "1000000", scope: str = "account:main", control: str = "max_order_notional"
) -> LimitVersion:
    """Version 3 of a limit."""
    return LimitVersion(control, scope, 3, None if value is None else D(value))


def inputs(*, order: Intent | None = None, **changes: Any) -> GateInputs:
    """Inputs at ``NOW``; ``order`` replaces the intent."""
    return replace(
        GateInputs(
            intent=order or intent(),
            now=NOW,
            price=price(),
            reporting_price=None,
            reporting_currency="USDT",
            states=(),
            limits=(limit(),),
            ledger_balance=D("1000000"),
            exchange_balance=D("1000000"),
            balance_as_of=NOW,
            reserved=D(0),
            reconciled=Reconciled(orders_at=NOW, trades_at=NOW, balances_at=NOW),
        ),
        **changes,
    )


def sale(**changes: Any) -> Intent:
    """A limit sale of 1 BTC at 60 000."""
    return intent(**{"side": "SELL", **changes})


def market(**changes: Any) -> Intent:
    """A market buy of 1 BTC."""
    return intent(**{"type": "MARKET", "price": None, **changes})
