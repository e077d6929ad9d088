"""Any order of arrival leaves the same books: permuted, doubled, torn into pages, late by much or little."""

from __future__ import annotations

import os
import random
from decimal import Decimal
from typing import Any

import pytest

from exchanges.models import Account
from exchanges.reports import TradeReport
from execution_project.common.locking import ordered
from execution_project.common.models import Event, Strategy
from positions import folding, position_folding, tasks
from positions.booking import Booking, book_trades
from positions.models import Holding, HoldingCheckpoint, Inventory, Position, PositionCheckpoint, RealisedPnl
from positions.rebuilding import check_ledger, check_subject, subjects_of
from tests.factories import AccountFactory, StrategyFactory
from tests.positions.books import after, book, everything, held, mark, pair, posted, trade

pytestmark = pytest.mark.django_db
ROUNDS = max(2, int(os.environ.get("PROOF_ROUNDS", "0")) // 20)


def differences(account: Account) -> list[Any]:
    return [*check_ledger(account), *(found for subject in subjects_of([account]) for found in check_subject(subject))]


def arrivals(seed: int) -> list[tuple[tuple[str, str], TradeReport, int | None]]:
    """Forty trades on four pairs by two strategies and nobody, some of the same moment, with all kinds of fees."""
    chance = random.Random(seed)
    found = []
    for number in range(1, 41):
        base, quote = chance.choice([("BTC", "USDT"), ("ETH", "BTC"), ("BTC", "TRY"), ("BNB", "USDT")])
        fees = chance.choice([(), (f"0.00{number} {base}",), ("0.01 BNB",), (f"0.1 {quote}", f"0.02 {quote} tax")])
        price = {"USDT": "101.7", "BTC": "0.0513", "TRY": "3391"}[quote]
        side, size = chance.choice(["BUY", "SELL"]), f"{chance.randint(1, 9)}.{chance.randint(1, 99):02d}"
        report = trade(number, side, size, price, *fees, traded_at=after(number // 3))
        found.append(((base, quote), report, chance.choice([None, 0, 1])))
    return found


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_any_arrival_of_the_same_trades_leaves_the_same_books(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(position_folding, "CHECKPOINT_EVERY", 3)
    for asset, price in (("TRY", "0.03"), ("BTC", "100"), ("BNB", "90")):
        mark(asset, price)
    chance, strategies = random.Random(seed), [StrategyFactory(), StrategyFactory()]
    stream, pairs = arrivals(seed), {names: pair(*names) for names, _, _ in arrivals(seed)}

    def whole(pages: list[list[Any]]) -> dict[str, Any]:
        account = AccountFactory()
        for asset, amount in (("USDT", "500"), ("TRY", "9000"), ("BTC", "3"), ("BNB", "2")):
            posted(account, "deposit", asset, amount)
        for page in pages:
            with ordered() as locks:
                book_trades(
                    locks,
                    account,
                    [
                        Booking(report, pairs[names], None, None if owner is None else strategies[owner], "c")
                        for names, report, owner in page
                    ],
                )
        assert differences(account) == []
        return everything(account)

    in_order = whole([stream])
    assert in_order == whole([[each] for each in stream])
    shuffled = [*stream, *chance.sample(stream, 15)]
    chance.shuffle(shuffled)
    cuts = sorted(chance.sample(range(len(shuffled)), 9))
    pages = [shuffled[start:end] for start, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    assert in_order == whole(pages)
    assert any(row[2] for row in in_order["holdings"]), "something was oversold"


def test_checkpoints_are_kept_and_a_late_fill_folds_from_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 5)
    monkeypatch.setattr(position_folding, "CHECKPOINT_EVERY", 5)
    account, btc = AccountFactory(), pair("BTC")
    posted(account, "deposit", "USDT", "1000000", seconds=-1)
    book(account, btc, *(trade(2 * n, "BUY", "1", str(100 + n)) for n in range(1, 24)))
    counts = HoldingCheckpoint.objects.filter(asset="BTC").order_by("fact_count").values_list("fact_count", flat=True)
    assert list(counts) == [5, 10, 15, 20]
    first = HoldingCheckpoint.objects.get(asset="BTC", fact_count=10)
    book(account, btc, trade(27, "SELL", "3", "50"))
    again = HoldingCheckpoint.objects.filter(asset="BTC").order_by("fact_count")
    assert [row.fact_count for row in again] == [5, 10, 15, 20]
    assert again[1] == first, "what comes before the late fill stands"
    of_position = PositionCheckpoint.objects.order_by("fill_count").values_list("fill_count", flat=True)
    assert list(of_position) == [5, 10, 15, 20]
    assert Event.objects.get(kind="holding.restated", subject_id=f"{account.name}:BTC").evidence["facts"] == 14
    assert differences(account) == []


def long_and_late(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Thirty fills, and one from before them that is too far back to restate at once."""
    for module in (folding, position_folding):
        monkeypatch.setattr(module, "RESTATED_AT_ONCE", 10)
        monkeypatch.setattr(module, "CHECKPOINT_EVERY", 50)
    btc = pair("BTC")
    posted(account, "deposit", "USDT", "1000000", seconds=-1)
    book(account, btc, *(trade(n, "BUY", "1", str(100 + n)) for n in range(10, 40)))
    book(account, btc, trade(5, "BUY", "10", "50"))


def test_a_long_restatement_is_visible_and_quantities_are_right_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    account = AccountFactory()
    long_and_late(account, monkeypatch)
    inventory, position = Inventory.objects.get(asset="BTC"), Position.objects.get()
    assert inventory.restating
    assert position.restating
    assert position.confidence == "provisional"
    assert held(account, "BTC")[0] == "40"
    assert (position.net_quantity, position.bought_quantity) == (40, 40)
    assert Event.objects.filter(kind="holding.restating").exists()
    book(account, pair("BTC"), trade(41, "SELL", "4", "200"))
    assert held(account, "BTC")[0] == "36"
    tasks.restate_due()
    for row in (Inventory.objects.get(asset="BTC"), Position.objects.get()):
        assert not row.restating
        assert row.restated_at is not None
    # 30 coins at 110 … 139 and 10 at 50: (3,735 + 500) / 40, of which 36 are left
    assert held(account, "BTC")[1] == str(4235 * 36 / 40).removesuffix(".0")
    assert differences(account) == []


def test_a_restatement_goes_on_in_pieces_whatever_comes_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("positions.folding.steps_after.__kwdefaults__", {"until": None, "page": 4})
    monkeypatch.setattr("positions.position_folding.fills_after.__kwdefaults__", {"until": None, "page": 4})
    account, once = AccountFactory(), AccountFactory()
    long_and_late(account, monkeypatch)

    def piece() -> bool:
        with ordered() as locks:
            left = folding.restate_piece(locks, account, "BTC", limit=8)
        with ordered() as locks:
            row = Position.objects.get(account=account)
            return position_folding.restate_position_piece(locks, row, limit=8) or left

    assert piece()
    book(account, pair("BTC"), trade(7, "SELL", "3", "500"), trade(30, "SELL", "1", "1", exchange_order_id="9"))
    assert held(account, "BTC")[0] == "36"
    while piece():
        pass
    tasks.restate_due()
    assert not Inventory.objects.filter(restating=True).exists()
    posted(once, "deposit", "USDT", "1000000", seconds=-1)
    fills = [trade(n, "BUY", "1", str(100 + n)) for n in range(10, 40)]
    fills += [trade(5, "BUY", "10", "50"), trade(7, "SELL", "3", "500")]
    book(once, pair("BTC"), *fills, trade(30, "SELL", "1", "1", exchange_order_id="9"))
    assert differences(account) == []
    assert everything(account) == everything(once)


def test_trades_of_one_moment_on_two_pairs_have_one_order_however_they_arrive() -> None:
    found = []
    pairs = (pair("BTC"), pair("ETH"))
    for order in ((0, 1), (1, 0)):
        account = AccountFactory()
        at = {"traded_at": after(1)}
        reports = (trade(7, "BUY", "1", "100", **at), trade(7, "SELL", "2", "75", **at))
        for index in order:
            book(account, pairs[index], reports[index])
        found.append(everything(account))
    assert found[0] == found[1]


def test_a_strategy_named_late_is_folded_where_it_belongs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is oversold in one order is not in another: the fold decides by the true order."""
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 2)
    alpha: Strategy = StrategyFactory()
    btc = pair("BTC")
    first, other = AccountFactory(), AccountFactory()
    trades = [trade(1, "BUY", "1", "100"), trade(2, "BUY", "2", "110"), trade(3, "SELL", "2", "150")]
    owners = (None, alpha, alpha)
    for account, order in ((first, (0, 1, 2)), (other, (2, 1, 0))):
        posted(account, "deposit", "USDT", "1000")
        for index in order:
            book(account, btc, trades[index], strategy=owners[index])
    assert everything(first)["holdings"] == everything(other)["holdings"]
    assert not Holding.objects.filter(in_suspense=True).exclude(quantity=0).exists()


def test_no_profit_vanishes_between_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "RESTATED_AT_ONCE", 0)
    monkeypatch.setattr("positions.folding.steps_after.__kwdefaults__", {"until": None, "page": 4})
    account, btc = AccountFactory(), pair("BTC")
    posted(account, "deposit", "BTC", "50", seconds=-1, value=Decimal(5000))
    book(account, btc, *(trade(n, "SELL", "1", "110") for n in range(1, 21)))
    monkeypatch.setattr(folding, "RESTATED_AT_ONCE", 0)
    book(account, btc, trade(30, "SELL", "1", "110", traded_at=after(0.5)))
    more = True
    counts = []
    while more:
        with ordered() as locks:
            more = folding.restate_piece(locks, account, "BTC", limit=4)
        rows = RealisedPnl.objects.filter(account=account, asset="BTC")
        counts.append((rows.count(), sum(rows.values_list("realised", flat=True))))
    assert len(counts) > 3
    assert set(counts) == {(21, Decimal(210))}, "the late one is in the first piece, and nothing behind it goes"
    assert differences(account) == []
