"""A look into the past says what the books would have said with all that is known today, and takes as long as ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.models import Strategy
from positions import folding, position_folding
from positions.as_of import holdings_at, positions_at
from positions.models import Holding, HoldingCheckpoint, Inventory, LedgerEntry, Position
from tests.factories import AccountFactory, StrategyFactory, api_key
from tests.positions.books import START, after, book, everything, mark, pair, posted, trade
from tests.reading import read

pytestmark = pytest.mark.django_db
D = Decimal
MONEY = ("quantity", "cost", "average_cost", "realised_pnl", "currency_effect", "pending")
OF_POSITION = (
    *("net_quantity", "cost", "average_price", "realised_pnl", "fees_in_quote", "fees_valued", "bought_quantity"),
    *("sold_quantity", "fill_count", "last_trade_at", "last_trade_id", "pending"),
)


@pytest.fixture
def account() -> Account:
    row: Account = AccountFactory(name="main", books_opened_at=START)
    mark("BNB", "600")
    posted(row, "deposit", "USDT", "1000")
    posted(row, "deposit", "BNB", "2", value=D(1000))
    return row


def steps(account: Account) -> list[Callable[[], Any]]:
    """What happens at second 1, 2, 3 …: trades of two strategies, an oversale, a deposit that explains it."""
    btc = pair("BTC")
    alpha = Strategy.objects.filter(name="alpha").first() or StrategyFactory(name="alpha")
    return [
        lambda: book(account, btc, trade(1, "BUY", "2", "100", "0.01 BNB")),
        lambda: book(account, btc, trade(2, "SELL", "1", "130", "1 USDT"), strategy=alpha),
        lambda: book(account, btc, trade(3, "BUY", "1", "90", "0.001 BTC"), strategy=alpha),
        lambda: book(account, btc, trade(4, "SELL", "3", "120")),
        lambda: posted(account, "deposit", "BTC", "4", seconds=5, value=D(400)),
        lambda: book(account, btc, trade(6, "SELL", "1", "110"), strategy=alpha),
    ]


def of_holdings(rows: list[Holding]) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """The numbers of every holding that is not nothing."""
    numbers = {
        (row.asset, row.strategy_id, row.in_suspense): tuple(getattr(row, name) for name in MONEY) for row in rows
    }
    return {key: found for key, found in numbers.items() if any(found)}


def of_positions(rows: list[Position]) -> dict[int | None, tuple[Any, ...]]:
    return {row.strategy_id: tuple(getattr(row, name) for name in OF_POSITION) for row in rows if row.fill_count}


def holdings() -> list[Holding]:
    return list(Holding.objects.select_related("account"))


def positions() -> list[Position]:
    return list(Position.objects.select_related("account", "instrument"))


@pytest.mark.parametrize("checkpoints_every", [1, 2, 500])
def test_every_moment_can_be_had_back_as_it_was(
    account: Account, checkpoints_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", checkpoints_every)
    monkeypatch.setattr(position_folding, "CHECKPOINT_EVERY", checkpoints_every)
    seen = {0: (of_holdings(holdings()), of_positions(positions()))}
    for second, step in enumerate(steps(account), 1):
        step()
        seen[second] = (of_holdings(holdings()), of_positions(positions()))
    assert HoldingCheckpoint.objects.exists() is (checkpoints_every < 500)
    before = everything(account)
    for second, (own, traded) in seen.items():
        for at in (after(second), after(second + 0.9)):
            assert of_holdings(holdings_at(holdings(), at)) == own, second
            assert of_positions(positions_at(positions(), at)) == traded, second
    assert everything(account) == before, "a look changes nothing"


@pytest.mark.parametrize("checkpoints_every", [1, 500])
def test_a_late_trade_is_in_every_moment_after_it(
    account: Account, checkpoints_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", checkpoints_every)
    monkeypatch.setattr(position_folding, "CHECKPOINT_EVERY", checkpoints_every)
    other = AccountFactory(books_opened_at=START)
    posted(other, "deposit", "USDT", "1000")
    posted(other, "deposit", "BNB", "2", value=D(1000))
    in_order, late = steps(other), steps(account)
    for place in range(3):
        in_order[place]()
        late[2 - place]()
    for second in range(4):
        then, wanted = (
            of_holdings(holdings_at(list(Holding.objects.filter(account=row)), after(second)))
            for row in (account, other)
        )
        assert then == wanted, second


def test_checkpoints_behind_a_late_fact_are_not_believed_while_it_is_folded(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 1)
    monkeypatch.setattr(folding, "RESTATED_AT_ONCE", 0)
    btc = pair("BTC")
    book(account, btc, trade(2, "BUY", "1", "100"))
    book(account, btc, trade(3, "BUY", "1", "200"))
    book(account, btc, trade(1, "BUY", "1", "30"))
    assert Inventory.objects.get(asset="BTC").restating
    (then,) = [row for row in holdings_at(holdings(), after(2)) if row.asset == "BTC"]
    assert (then.quantity, then.cost) == (2, 130)


def test_the_api_tells_holdings_positions_and_balances_of_a_moment(account: Account) -> None:
    for step in steps(account):
        step()
    mark("BTC", "150", 3)
    moment = after(3).isoformat()
    document = read("holdings", as_of=moment, asset="BTC")
    assert document["as_of"] == "2026-05-01T00:00:03Z"
    (mine, alphas) = sorted(
        (row for row in document["holdings"] if row["quantity"] != "0"), key=lambda row: row["strategy"] or ""
    )
    # alpha sold 1 of the 2 that nobody had claimed; it bought 1 for 90 with a fee in base
    assert (mine["strategy"], mine["quantity"], mine["cost"], mine["mark"]["source"]) == (None, "1", "103", "history")
    assert (alphas["strategy"], alphas["quantity"], alphas["cost"]) == ("alpha", "0.999", "90")
    assert (alphas["value"], alphas["unrealised_pnl"]) == ("149.85", "59.85")
    (position,) = read("positions", as_of=moment, strategy="alpha")["positions"]
    assert (position["net_quantity"], position["last_trade_id"]) == ("0", "3")
    assert read("positions", as_of=moment, aggregate="all")["totals"][0]["missing"] == []
    balances = {row["asset"]: row["balance"] for row in read("balances", as_of=moment)["balances"]}
    # 1000 − 200 + 130 − 1 − 90
    assert balances == {"BTC": "1.999", "USDT": "839", "BNB": "1.99"}
    summed = read("holdings", as_of=moment, aggregate="asset")["sums"]
    assert {row["group"]["asset"]: row["quantity"] for row in summed} == balances


def test_now_is_the_last_of_the_moments(account: Account) -> None:
    for step in steps(account):
        step()
    now = clock.now().isoformat()
    for path, member in (("holdings", "holdings"), ("positions", "positions")):
        rows, then = read(path)[member], read(path, as_of=now)[member]
        for row in (*rows, *then):
            for name in ("mark", "value", "dust", "unrealised_pnl", "pnl_before_fees", "pnl_after_fees", "missing"):
                row.pop(name, None)
        assert rows == then
    ledger = LedgerEntry.objects.filter(book="exchange").values_list("asset").annotate(total=Sum("amount"))
    balances = {row["asset"]: D(row["balance"]) for row in read("balances", as_of=now)["balances"]}
    assert balances == dict(ledger)


def test_balances_by_what_was_known_then(account: Account) -> None:
    book(account, pair("BTC"), trade(2, "BUY", "1", "100"))
    known = clock.now()
    book(account, pair("BTC"), trade(1, "BUY", "1", "50"))

    def of_btc(**query: str) -> str:
        return read("balances", asset="BTC", as_of=after(2).isoformat(), **query)["balances"][0]["balance"]

    assert of_btc() == "2", "by all that is known today"
    assert of_btc(as_known_at=known.isoformat()) == "1"
    assert read("balances", as_known_at=known.isoformat(), status=400)["code"] == "INVALID_PARAMETER"


@pytest.mark.parametrize("path", ["holdings", "positions", "balances"])
def test_a_moment_without_books_is_refused(account: Account, path: str) -> None:
    future = (clock.now() + timedelta(minutes=1)).isoformat()
    early = (START - timedelta(seconds=1)).isoformat()
    assert "future" in read(path, as_of=future, status=400)["detail"]
    refused = read(path, as_of=early, status=400)
    assert (refused["code"], refused["detail"]) == (
        "INVALID_PARAMETER",
        "as_of: there were no books at that moment; they were opened at 2026-05-01T00:00:00Z.",
    )
    assert read(path, as_of="yesterday", status=400)["code"] == "INVALID_PARAMETER"
    AccountFactory(name="closed", books_opened_at=None)
    assert "not open yet" in read(path, as_of=after(1).isoformat(), account="closed", status=400)["detail"]


def test_accounts_without_books_then_and_foreign_ones_are_left_out(account: Account) -> None:
    later = AccountFactory(name="later", books_opened_at=after(100))
    posted(later, "deposit", "USDT", "5", seconds=100)
    for path in ("holdings", "balances"):
        assert {row["account"] for row in read(path, as_of=after(50).isoformat())[path]} == {"main"}
        assert {row["account"] for row in read(path, as_of=after(200).isoformat())[path]} == {"main", "later"}
    bound = api_key("read", accounts=["later"])
    assert {row["account"] for row in read("balances", key=bound, as_of=after(200).isoformat())["balances"]} == {
        "later"
    }
    assert read("balances", key=bound, as_of=after(50).isoformat(), status=400)["code"] == "INVALID_PARAMETER"


def test_a_look_takes_no_more_statements_the_more_was_traded(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "CHECKPOINT_EVERY", 10)
    monkeypatch.setattr(position_folding, "CHECKPOINT_EVERY", 10)
    key, btc = api_key("read"), pair("BTC")
    looked: list[tuple[int, int]] = []
    for batch in range(3):
        start = 100 + batch * 40
        book(account, btc, *(trade(start + n, "BUY", "0.01", "100") for n in range(40)))
        counts = []
        for path in ("holdings", "positions"):
            with CaptureQueriesContext(connection) as captured:
                read(path, key=key, as_of=after(start + 20).isoformat())
            counts.append(len(captured))
        looked.append((counts[0], counts[1]))
    assert len(set(looked[1:])) == 1, looked
    assert max(looked[0]) >= max(looked[1]) - 2 < 30, looked
