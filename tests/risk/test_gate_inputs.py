"""What the gate reads under its lock: states, limits, balances, what was booked since, and others' reservations."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account, Instrument, Quote
from execution_project.common import clock
from positions.models import LedgerEntry
from risk.inputs import GateInputs, Price
from risk.intent import scopes_of
from risk.reading import Prices, read_inputs, read_prices_of
from risk.trading_state import halt, next_gate_seq
from tests.factories import (
    BY,
    AccountFactory,
    BalanceFactory,
    HoldingFactory,
    InstrumentFactory,
    LimitFactory,
    QuoteFactory,
    ReservationFactory,
    StrategyFactory,
)
from tests.risk.gate_inputs import intent

pytestmark = pytest.mark.django_db
D = Decimal
NO_PRICES = Prices(Price("BTCUSDT", None, None, None), None)


def read(account: Account, **changes: Any) -> GateInputs:
    scopes = scopes_of(exchange="binance", account=account.name, strategy=changes.get("strategy"), symbol="BTCUSDT")
    asked = intent(account_id=account.pk, account=account.name, scopes=scopes, **changes)
    return read_inputs(asked, NO_PRICES)[0]


def move(account: Account, amount: str, posted_at: Any, *, book: str = "exchange", kind: str = "fill") -> None:
    LedgerEntry.objects.create(
        account=account,
        asset="USDT",
        book=book,
        amount=D(amount),
        kind=kind,
        reference="test",
        effective_at=posted_at,
        posted_at=posted_at,
    )


def test_it_is_one_statement_that_is_planned_once() -> None:
    account = AccountFactory()
    before = planned()
    with CaptureQueriesContext(connection) as others:
        for _ in range(3):
            read(account)
    assert len(others) == 0
    assert planned() == before + 3


def planned() -> int:
    """How often this connection has run the prepared read; it is prepared once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE statement LIKE '%nextval%'"
        )
        rows = cursor.fetchall()
    assert len(rows) <= 1
    return int(rows[0][0]) if rows else 0


def test_the_spent_asset_decides_which_balance_counts() -> None:
    account = AccountFactory()
    for asset, amount in (("USDT", "100"), ("BTC", "3")):
        HoldingFactory(account=account, asset=asset, quantity=D(amount))
        BalanceFactory(account=account, asset=asset, free=D(amount))
    other = AccountFactory()
    HoldingFactory(account=other, quantity=D(7777))
    BalanceFactory(account=other, free=D(7777))
    assert read(account).available == 100
    assert read(account, side="SELL").available == 3


def test_free_and_locked_are_both_ours_and_the_smaller_of_books_and_exchange_counts() -> None:
    account = AccountFactory()
    HoldingFactory(account=account, quantity=D(100))
    BalanceFactory(account=account, free=D(60), locked=D(50))
    assert read(account).exchange_balance == 110
    assert read(account).available == 100
    HoldingFactory(account=account, strategy=StrategyFactory(), quantity=D(30))
    assert read(account).ledger_balance == 130
    assert read(account).available == 110


def test_what_was_booked_since_the_balance_was_asked_for_moves_it() -> None:
    account = AccountFactory()
    HoldingFactory(account=account, quantity=D(1000))
    as_of = clock.now() - timedelta(seconds=10)
    BalanceFactory(account=account, free=D(500), as_of=as_of)
    tick = timedelta(microseconds=1)
    move(account, "-100", as_of - tick)
    move(account, "-100", as_of)
    assert read(account).exchange_balance == 500, "it was booked before"
    move(account, "-40", as_of + tick)
    move(account, "15", clock.now())
    assert read(account).exchange_balance == 475
    move(account, "-1", clock.now(), book="fees")
    move(account, "-1", clock.now(), kind="opening")
    move(AccountFactory(), "-1", clock.now())
    assert read(account).exchange_balance == 475, "none of these is a fill at the exchange of this account"
    assert read(account).balance_as_of == as_of


def test_a_balance_that_was_never_reported_is_unknown() -> None:
    account = AccountFactory()
    HoldingFactory(account=account)
    given = read(account)
    assert (given.exchange_balance, given.balance_as_of, given.available) == (None, None, None)


def test_open_books_without_the_asset_hold_none_of_it_and_closed_books_say_nothing() -> None:
    account = AccountFactory()
    BalanceFactory(account=account)
    assert read(account).ledger_balance == 0
    assert read(account, books_open=False).ledger_balance is None


def test_reservations_of_other_orders_of_the_account_and_asset_are_taken_off() -> None:
    account = AccountFactory()
    HoldingFactory(account=account, quantity=D(1000))
    BalanceFactory(account=account, free=D(1000))
    for amount in ("100", "0", "0.000000000000000001"):
        ReservationFactory(account_name=account.name, amount=D(amount))
    ReservationFactory(account_name=account.name, asset="BTC")
    ReservationFactory(account_name="other")
    given = read(account)
    assert given.reserved == D("100.000000000000000001")
    assert given.available == D("899.999999999999999999")


def test_the_newest_version_of_each_limit_in_scope_is_read_to_the_last_digit() -> None:
    account = AccountFactory()
    name = account.name
    for version, value in ((1, "50"), (3, "70.000000000000000001"), (2, "60")):
        LimitFactory(scope_key=name, version=version, value=D(value))
    LimitFactory(scope_kind="global", scope_key="", value=None)
    LimitFactory(scope_kind="strategy", scope_key="alpha", value=D(5))
    LimitFactory(scope_kind="strategy", scope_key="beta", value=D(6))
    LimitFactory(scope_key="other")
    LimitFactory(scope_key=name, mode="live", version=9)
    seen = {(row.scope, row.version, row.value) for row in read(account, strategy="alpha").limits}
    assert seen == {
        (f"account:{name}", 3, D("70.000000000000000001")),
        ("global", 1, None),
        ("strategy:alpha", 1, D(5)),
    }
    assert {row.scope for row in read(account).limits} == {f"account:{name}", "global"}


def test_states_of_the_scopes_are_read_with_their_halt_numbers_and_the_gate_has_a_newer_one() -> None:
    account = AccountFactory()
    seq = halt("account", account.name, reason="", by=BY).last_halt_seq
    halt("account", "other", reason="", by=BY)
    before = next_gate_seq()
    asked = intent(
        account_id=account.pk,
        account=account.name,
        scopes=scopes_of(exchange="binance", account=account.name, strategy=None, symbol="BTCUSDT"),
    )
    given, gate_seq = read_inputs(asked, NO_PRICES)
    assert [(s.scope, s.state, s.last_halt_seq) for s in given.states] == [(f"account:{account.name}", "HALTED", seq)]
    assert gate_seq > before > seq


# -------------------------------------------------------------------------------------------------------------- prices


def test_prices_come_with_the_time_at_which_they_were_confirmed() -> None:
    quote: Quote = QuoteFactory()
    prices = read_prices_of(quote.instrument)
    assert prices.instrument == Price("BTCUSDT", D(60000), D(60010), quote.confirmed_at)
    assert prices.reporting is None


def test_a_pair_without_a_quote_has_no_price() -> None:
    prices = read_prices_of(InstrumentFactory())
    assert not prices.instrument.usable(clock.now())


def test_a_foreign_quote_asset_brings_its_rate_of_the_same_exchange_and_mode() -> None:
    pair: Instrument = InstrumentFactory(base_asset="ETH", quote_asset="BTC")
    assert read_prices_of(pair).reporting is None
    QuoteFactory(instrument=InstrumentFactory(mode="live"), bid=D(1), ask=D(2))
    assert read_prices_of(pair).reporting is None
    QuoteFactory(instrument=InstrumentFactory())
    rate = read_prices_of(pair).reporting
    assert rate is not None
    assert (rate.symbol, rate.ask) == ("BTCUSDT", 60010)
