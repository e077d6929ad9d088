"""Rows for tests, made by factory_boy: defaults form one consistent market that an order could pass the gate in."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import factory
from factory.django import DjangoModelFactory

from exchanges.credentials import seal_into
from exchanges.models import Account, AccountFreshness, Balance, Instrument, Quote
from exchanges.reports import Fee, OrderReport, ReportedStatus, TradeReport
from execution_project.common import clock, ids
from execution_project.common.actors import Actor
from execution_project.common.api_keys import create_api_key
from execution_project.common.models import Strategy
from execution_project.common.rights import EVERYTHING
from orders.models import AbsenceEvidence, Break, Command, CommandKind, ExchangeOrder, Order
from orders.reserving import set_reservation
from positions.models import Fill, Holding, Position
from risk.models import Alert, Circuit, Limit, Reservation

BY = Actor("key:tester", "a test", rights=EVERYTHING)
PREFIX = "T1"
FILTERS = {
    "LOT_SIZE": {"minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
    "MARKET_LOT_SIZE": {"minQty": "0.00000000", "maxQty": "100.00000000", "stepSize": "0.00000000"},
    "PRICE_FILTER": {"minPrice": "0.01000000", "maxPrice": "1000000.00000000", "tickSize": "0.01000000"},
    "NOTIONAL": {
        "minNotional": "5.00000000",
        "maxNotional": "9000000.00000000",
        "applyMinToMarket": True,
        "applyMaxToMarket": False,
    },
}


class AccountFactory(DjangoModelFactory):
    """A sandbox account with open books and sealed credentials; nothing listens at its host."""

    class Meta:
        model = Account

    name = factory.Sequence(lambda n: f"account-{n}")
    exchange = "binance"
    mode = "sandbox"
    rest_url = "http://127.0.0.1:9"
    books_opened_at = factory.LazyFunction(clock.now)

    @classmethod
    def _build(cls, model_class: type[Account], *args: Any, **values: Any) -> Account:
        account = model_class(*args, **values)
        if account.mode != "paper":
            seal_into(account, "a-key-with-a-tail", "a-secret")
        return account

    @classmethod
    def _create(cls, model_class: type[Account], *args: Any, **values: Any) -> Account:
        account = cls._build(model_class, *args, **values)
        account.save()
        return account


class InstrumentFactory(DjangoModelFactory):
    """BTCUSDT as Binance shows it."""

    class Meta:
        model = Instrument
        django_get_or_create = ("exchange", "mode", "symbol")

    exchange = "binance"
    mode = "sandbox"
    symbol = factory.LazyAttribute(lambda row: row.base_asset + row.quote_asset)
    base_asset = "BTC"
    quote_asset = "USDT"
    status = "TRADING"
    is_trading = True
    base_precision = 8
    quote_precision = 8
    quote_quantity_allowed = True
    filters = factory.LazyFunction(lambda: {name: dict(values) for name, values in FILTERS.items()})
    synced_at = factory.LazyFunction(clock.now)


class QuoteFactory(DjangoModelFactory):
    """A fresh 60 000 / 60 010."""

    class Meta:
        model = Quote
        django_get_or_create = ("instrument",)

    instrument = factory.SubFactory(InstrumentFactory)
    bid = Decimal("60000")
    ask = Decimal("60010")
    confirmed_at = factory.LazyFunction(clock.now)


class AccountFreshnessFactory(DjangoModelFactory):
    """Every part of the account's books was compared with the exchange just now."""

    class Meta:
        model = AccountFreshness
        django_get_or_create = ("account",)

    account = factory.SubFactory(AccountFactory)
    orders_at = factory.LazyFunction(clock.now)
    trades_at = factory.LazyFunction(clock.now)
    balances_at = factory.LazyFunction(clock.now)


class BalanceFactory(DjangoModelFactory):
    """What the exchange reports of an asset, now."""

    class Meta:
        model = Balance

    account = factory.SubFactory(AccountFactory)
    asset = "USDT"
    free = Decimal("1000")
    locked = Decimal("0")
    as_of = factory.LazyFunction(clock.now)


class HoldingFactory(DjangoModelFactory):
    """What the books hold of an asset for no strategy."""

    class Meta:
        model = Holding

    account = factory.SubFactory(AccountFactory)
    asset = "USDT"
    quantity = Decimal("1000")
    updated_at = factory.LazyFunction(clock.now)


class LimitFactory(DjangoModelFactory):
    """Version 1 of an account's order notional limit."""

    class Meta:
        model = Limit

    control = "max_order_notional"
    mode = "sandbox"
    scope_kind = "account"
    scope_key = "main"
    version = 1
    value = Decimal("1000000")
    reason = "test"
    set_by = "key:tester"
    set_at = factory.LazyFunction(clock.now)


class AlertFactory(DjangoModelFactory):
    """A warning that stands and that nobody has taken."""

    class Meta:
        model = Alert

    kind = "limit"
    key = factory.Sequence(lambda n: f"max_drawdown/sandbox/account:main/{n}")
    severity = "warning"
    scope = "account:main"
    mode = "sandbox"
    subject = "50 % reached"
    raised_at = factory.LazyFunction(clock.now)
    told_at = factory.LazyFunction(clock.now)


class StrategyFactory(DjangoModelFactory):
    """A registered strategy."""

    class Meta:
        model = Strategy

    name = factory.Sequence(lambda n: f"strategy-{n}")


class OrderFactory(DjangoModelFactory):
    """A pending limit buy of 1 BTC at 60 000."""

    class Meta:
        model = Order

    account = factory.SubFactory(AccountFactory)
    instrument = factory.SubFactory(InstrumentFactory)
    side = "BUY"
    type = "LIMIT"
    quantity = Decimal("1")
    price = Decimal("60000")
    time_in_force = "GTC"
    valid_until = factory.LazyFunction(lambda: clock.now() + timedelta(seconds=60))
    status = "pending"
    ended_as = factory.LazyAttribute(
        lambda row: row.status if row.status in ("filled", "canceled", "expired") else None
    )
    gate_seq = 1
    decision_id = factory.LazyFunction(ids.uuid7)
    idempotency_key = factory.Sequence(lambda n: f"key-{n}")
    created_by = "key:tester"
    created_at = factory.LazyFunction(clock.now)
    updated_at = factory.LazyFunction(clock.now)


class ExchangeOrderFactory(DjangoModelFactory):
    """The first thing sent for an order; sized and priced as the order is."""

    class Meta:
        model = ExchangeOrder

    order = factory.SubFactory(OrderFactory)
    generation = 0
    client_order_id = factory.LazyAttribute(lambda row: ids.client_order_id(PREFIX, row.order.id, row.generation))
    quantity = factory.LazyAttribute(lambda row: row.order.quantity)
    quote_quantity = factory.LazyAttribute(lambda row: row.order.quote_quantity)
    price = factory.LazyAttribute(lambda row: row.order.price)
    reserve_price = factory.LazyAttribute(lambda row: row.order.price or Decimal("60000"))
    exposure_price = factory.LazyAttribute(lambda row: row.order.price or Decimal("60000"))
    created_at = factory.LazyFunction(clock.now)


class CommandFactory(DjangoModelFactory):
    """A queued submit."""

    class Meta:
        model = Command

    exchange_order = factory.SubFactory(ExchangeOrderFactory)
    order = factory.LazyAttribute(lambda row: row.exchange_order.order)
    kind = CommandKind.SUBMIT
    status = "queued"
    rung_at = factory.LazyFunction(clock.now)
    requested_by = "key:tester"
    created_at = factory.LazyFunction(clock.now)


class ReservationFactory(DjangoModelFactory):
    """100 USDT held for an order of the account ``main``."""

    class Meta:
        model = Reservation

    exchange_order_id = factory.LazyFunction(ids.uuid7)
    order_id = factory.LazyFunction(ids.uuid7)
    account_name = "main"
    mode = "sandbox"
    asset = "USDT"
    amount = Decimal("100")
    exposure = Decimal("100")
    updated_at = factory.LazyFunction(clock.now)


class FillFactory(DjangoModelFactory):
    """A buy of 1 BTC at 100."""

    class Meta:
        model = Fill

    account = factory.SubFactory(AccountFactory)
    instrument = factory.SubFactory(InstrumentFactory)
    exchange_order_id = "1"
    client_order_id = "c1"
    trade_id = factory.Sequence(str)
    side = "BUY"
    price = Decimal("100")
    quantity = Decimal("1")
    quote_quantity = Decimal("100")
    traded_at = factory.LazyFunction(clock.now)
    booked_at = factory.LazyFunction(clock.now)
    source = "test"


class PositionFactory(DjangoModelFactory):
    """1 BTC bought at 100."""

    class Meta:
        model = Position

    account = factory.SubFactory(AccountFactory)
    instrument = factory.SubFactory(InstrumentFactory)
    net_quantity = Decimal("1")
    cost = Decimal("100")
    average_price = Decimal("100")
    bought_quantity = Decimal("1")
    fill_count = 1
    updated_at = factory.LazyFunction(clock.now)


def whole_order(*, status: str = "pending", **values: Any) -> Order:
    """An order as placing leaves it: with its exchange order, submit command and reservation.

    Past ``pending`` the command is done and the exchange order has the exchange's id ``9001``.
    """
    order: Order = OrderFactory(status=status, **values)
    sent = status not in {"pending", "denied"}
    row = ExchangeOrderFactory(order=order, exchange_order_id="9001" if sent else "")
    CommandFactory(order=order, exchange_order=row, status="done" if sent else "queued")
    set_reservation(order, row)
    return order


def lost_order(**values: Any) -> Order:
    """An order whose submit was sent and never answered."""
    order = whole_order(status="submit_unknown", **values)
    Command.objects.filter(order=order).update(status="unknown")
    return order


class AbsenceEvidenceFactory(DjangoModelFactory):
    """A round that found nothing, asked at second ``at`` after it may count; one question was asked."""

    class Meta:
        model = AbsenceEvidence

    class Params:
        at = 0
        start = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=5))

    exchange_order = factory.SubFactory(ExchangeOrderFactory)
    order = factory.LazyAttribute(lambda row: row.exchange_order.order)
    verdict = "negative"
    asked_at = factory.LazyAttribute(lambda row: row.start + timedelta(seconds=row.at))
    answered_at = factory.LazyAttribute(lambda row: row.asked_at + timedelta(seconds=1))
    exchange_ms = factory.LazyAttribute(lambda row: 1_000_000 + int(row.at * 1000))
    counts_from_ms = 1_000_000
    bounds = factory.LazyFunction(lambda: {"quiet_ms": 10_000, "round_gap_ms": 30_000, "rounds": 2})
    answers = factory.LazyFunction(
        lambda: [
            {"call": "open_orders", "path": "/open", "http_status": 200, "error": "", "characters": 2, "body": "[]"}
        ]
    )


class BreakFactory(DjangoModelFactory):
    """An order that is not ours, seen and open; a warning."""

    class Meta:
        model = Break

    account = factory.SubFactory(AccountFactory)
    kind = "unknown_order"
    severity = "warning"
    subject = factory.Sequence(lambda n: f"BTCUSDT {n}")
    opened_at = factory.LazyFunction(clock.now)
    last_seen_at = factory.LazyFunction(clock.now)


class CircuitFactory(DjangoModelFactory):
    """Three refusals in a row: BTCUSDT is stopped for five minutes."""

    class Meta:
        model = Circuit

    account_name = "main"
    symbol = "BTCUSDT"
    request_hash = factory.Sequence(lambda n: f"hash-{n}")
    request = factory.LazyFunction(dict)
    code = "WOULD_MATCH"
    refusals = 3
    refused_at = factory.LazyFunction(clock.now)
    open_until = factory.LazyFunction(lambda: clock.now() + timedelta(minutes=5))


def funded_account(**funds: str) -> Account:
    """An account with a fresh BTCUSDT quote, a wide limit, and these funds both in the books and at the exchange."""
    account: Account = AccountFactory()
    AccountFreshnessFactory(account=account)
    QuoteFactory()
    LimitFactory(scope_key=account.name)
    for asset, amount in funds.items():
        HoldingFactory(account=account, asset=asset, quantity=Decimal(amount))
        BalanceFactory(account=account, asset=asset, free=Decimal(amount))
    return account


def api_key(*scopes: str, **options: Any) -> str:
    """The text of a new key; all scopes when none is given, ``options`` as ``create_api_key`` takes them."""
    name = f"key-{ids.uuid7().hex[-12:]}"
    return create_api_key(name, scopes or ("read", "trade", "operate", "approve"), by=BY, **options)[1]


def order_report(row: ExchangeOrder, status: ReportedStatus, cumulative: str = "0", **values: Any) -> OrderReport:
    """What the exchange could say of an exchange order."""
    order = row.order
    return OrderReport(
        **{
            "symbol": order.instrument.symbol,
            "exchange_order_id": "9001",
            "client_order_id": row.client_order_id,
            "side": order.side,
            "type": order.type,
            "status": status,
            "price": row.price,
            "quantity": row.quantity,
            "cumulative_quantity": Decimal(cumulative),
            "cumulative_quote": None,
            "as_of": clock.now(),
            "source": "test",
            **values,
        }
    )


def trade_report(
    trade_id: str, quantity: str, price: str = "60000", *, fees: tuple[Fee, ...] = (), **values: Any
) -> TradeReport:
    """A trade of the exchange order ``9001``."""
    return TradeReport(
        **{
            "symbol": "BTCUSDT",
            "trade_id": trade_id,
            "exchange_order_id": "9001",
            "client_order_id": None,
            "side": "BUY",
            "price": Decimal(price),
            "quantity": Decimal(quantity),
            "quote_quantity": Decimal(quantity) * Decimal(price),
            "fees": fees,
            "is_maker": False,
            "traded_at": clock.now(),
            "source": "test",
            **values,
        }
    )
