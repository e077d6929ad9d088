"""Invariant 3: the ledger balances per fact and asset; what is stored equals what the facts say, rebuilt."""

from __future__ import annotations

import random
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.db.models import Sum

from exchanges.models import Account
from positions.models import Fill, Holding, LedgerEntry, Position, RealisedPnl
from tests.factories import AccountFactory, StrategyFactory
from tests.positions.books import book, everything, mark, pair, posted, trade
from tests.positions.oracle import Accountant, Flow, Q, Trade
from tests.positions.test_restating import differences

pytestmark = pytest.mark.django_db
D = Decimal


def traded(seed: int) -> Account:
    """Thirty trades that arrive shuffled, by two strategies, with fees in base, quote, BNB and tax."""
    chance = random.Random(seed)
    account, strategies = AccountFactory(), [None, StrategyFactory(), StrategyFactory()]
    mark("BNB", "600")
    for asset, amount in (("USDT", "500"), ("BTC", "3"), ("BNB", "1")):
        posted(account, "deposit", asset, amount, seconds=-1, value=D(500))
    pairs = (pair("BTC"), pair("BNB"))
    numbers = list(range(1, 31))
    chance.shuffle(numbers)
    for number in numbers:
        fees = chance.choice([(), ("0.001 BNB",), ("0.1 USDT", "0.02 USDT tax")])
        report = trade(number, chance.choice(["BUY", "SELL"]), f"0.{chance.randint(1, 9)}", "60.5", *fees)
        book(account, chance.choice(pairs), report, strategy=chance.choice(strategies))
    return account


@pytest.mark.parametrize("seed", range(2))
def test_invariant_03_legs_balance_and_stored_equals_rebuilt(seed: int) -> None:
    account = traded(seed)
    legs = LedgerEntry.objects.filter(account=account)
    for of in ("fill", "posting"):
        sums = legs.filter(**{f"{of}__isnull": False}).values_list(of, "asset").annotate(sum=Sum("amount"))
        assert sums
        assert {row[2] for row in sums} == {0}
    for asset, at_exchange in legs.filter(book="exchange").values_list("asset").annotate(sum=Sum("amount")):
        held = Holding.objects.filter(account=account, asset=asset).aggregate(sum=Sum("quantity"))["sum"]
        assert held == at_exchange
    assert differences(account) == []


def test_invariant_03_an_accountant_with_paper_and_pencil_agrees() -> None:
    """Holdings and profit of late, shuffled arrivals against the fractions of an oracle that saw them in order."""
    account = traded(7)
    accountant = Accountant("USDT")
    for row in account.posting_set.order_by("id"):
        accountant.flow(Flow(0, row.asset, Q(row.amount), Q(row.value or 0)))
    for fill in Fill.objects.filter(account=account).order_by("traded_at").select_related("instrument"):
        paid = tuple((fee["asset"], Q(fee["amount"]), fee["kind"]) for fee in fill.fees)
        base, quote = fill.instrument.base_asset, fill.instrument.quote_asset
        sizes = (Q(fill.quantity), Q(fill.quote_quantity))
        accountant.trade(Trade(0, fill.strategy_id, fill.side, base, quote, *sizes, paid, {"BNB": Q(600)}))
    for row in Holding.objects.filter(account=account):
        stock = accountant.stocks[row.asset, "suspense" if row.in_suspense else row.strategy_id]
        assert Q(row.quantity) == stock.units
        assert abs(Q(row.cost) - stock.units * stock.price) < Q(1, 10**15)
        if not row.in_suspense:
            assert abs(Q(row.realised_pnl) - accountant.profit[row.asset, row.strategy_id]) < Q(1, 10**15)
    realised = RealisedPnl.objects.filter(account=account).aggregate(sum=Sum("realised"))["sum"]
    assert realised == Holding.objects.filter(account=account).aggregate(sum=Sum("realised_pnl"))["sum"]


def test_invariant_03_the_database_itself_refuses_half_a_movement() -> None:
    account = traded(1)
    leg = LedgerEntry.objects.filter(account=account, fill__isnull=False).first()
    assert leg is not None
    before = everything(account)
    leg.pk, leg._state.adding = None, True
    with pytest.raises(IntegrityError, match="do not balance"), transaction.atomic():
        leg.save()
    assert everything(account) == before
    assert Position.objects.filter(account=account).exists()
