"""Holdings at the API: cost, worth, what is pending and what is in suspense; and the example of docs/books.md."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account
from positions.models import Inventory
from tests.factories import AccountFactory, HoldingFactory, QuoteFactory, StrategyFactory, api_key
from tests.positions.books import START, after, book, mark, pair, posted, trade
from tests.processes import ROOT
from tests.reading import pages, read

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def account() -> Account:
    row: Account = AccountFactory(name="main", books_opened_at=START)
    return row


def holdings(**query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read("holdings", **query)["holdings"]
    return found


def test_the_example_of_the_document(account: Account) -> None:
    mark("BNB", "600")
    posted(account, "opening", "USDT", "1000")
    posted(account, "opening", "BNB", "2", value=D(1000))
    btc = pair("BTC")
    book(account, btc, trade(1, "BUY", "1", "100", "0.01 BNB"), trade(2, "BUY", "1", "120", "0.001 BTC"))
    book(account, btc, trade(3, "SELL", "1", "130", "0.5 USDT"))
    QuoteFactory(instrument=btc, bid=D(125), ask=D(126))
    told = (Path(ROOT) / "docs" / "books.md").read_text(encoding="utf-8").split("## An example")[1]
    found = {row["asset"]: row for row in holdings()}
    left, realised = found["BTC"]["cost"], found["BTC"]["realised_pnl"]
    assert (found["BTC"]["quantity"], left, realised) == ("0.999", "112.943471735867933967", "16.443471735867933967")
    assert f"0.999 at {left}" in told
    assert f"= {realised}" in told
    assert D(realised) - D(left) == D("-96.5")
    assert (found["BNB"]["quantity"], found["BNB"]["cost"], found["BNB"]["realised_pnl"]) == ("1.99", "995", "1")
    assert found["USDT"]["quantity"] == "909.5"
    (position,) = read("positions")["positions"]
    assert {name: position[name] for name in ("net_quantity", "average_price", "realised_pnl", "fees")} == {
        "net_quantity": "1",
        "average_price": "110",
        "realised_pnl": "20",
        "fees": "6.62",
    }
    assert (position["unrealised_pnl"], position["pnl_before_fees"], position["pnl_after_fees"]) == (
        "15",
        "35",
        "28.38",
    )
    assert (position["last_trade_id"], position["confidence"], position["restating"]) == ("3", "confirmed", False)
    assert position["mark"]["price"] == "125"


def test_a_holding_says_what_it_cost_and_what_it_is_worth(account: Account) -> None:
    posted(account, "deposit", "BTC", "2", value=D(200))
    quote = QuoteFactory(instrument=pair("BTC"), bid=D(150), ask=D(151))
    (row,) = holdings()
    assert row.pop("updated_at")
    assert 0 <= row["mark"].pop("age_ms") < 60_000
    assert row == {
        "account": "main",
        "mode": "sandbox",
        "exchange": "binance",
        "asset": "BTC",
        "strategy": None,
        "in_suspense": False,
        "currency": "USDT",
        "quantity": "2",
        "cost": "200",
        "average_cost": "100",
        "realised_pnl": "0",
        "currency_effect": "0",
        "value": "300",
        "unrealised_pnl": "100",
        "mark": {
            "price": "150",
            "at": quote.confirmed_at.isoformat().replace("+00:00", "Z"),
            "source": "quote",
            "path": ["binance:BTCUSDT:bid"],
        },
        "pending": 0,
        "missing": [],
        "dust": False,
        "restating": False,
    }


def test_a_missing_mark_and_a_pending_cost_are_null_with_words(account: Account) -> None:
    posted(account, "deposit", "ETH", "2")
    (row,) = holdings()
    names = ("quantity", "cost", "average_cost", "value", "unrealised_pnl", "mark", "pending")
    assert tuple(row[name] for name in names) == ("2", None, None, None, None, None, 1)
    assert row["missing"] == ["mark of ETH@binance", "cost of ETH@binance"]


def test_dust_is_what_every_pair_asks_more_of(account: Account) -> None:
    """A pair's least quantity is 0.00001, its least value 5 USDT."""
    held = {"BTC": ("0.00009", 60_000), "XRP": ("2", 2), "SOL": ("0.05", 100), "YFI": ("0.000009", 900_000)}
    for asset, (quantity, bid) in held.items():
        posted(account, "deposit", asset, quantity, value=D(1))
        QuoteFactory(instrument=pair(asset), bid=D(bid), ask=D(bid + 1))
    posted(account, "deposit", "ETH", "1", value=D(1))
    pair("ETH")
    posted(account, "deposit", "USDT", "0.5")

    def named(**query: Any) -> list[str]:
        return sorted(row["asset"] for row in holdings(**query))

    assert named(dust="true") == ["XRP", "YFI"], "0.00009 BTC are 5.4 USDT, 0.05 SOL are 5 USDT; of ETH nobody knows"
    assert named(dust="false") == ["BTC", "ETH", "SOL", "USDT"]
    assert sorted(row["asset"] for row in holdings() if row["dust"]) == ["XRP", "YFI"]
    other = pair("XRP", "TRY")
    QuoteFactory(instrument=other, bid=D(80), ask=D(81))
    assert named(dust="true") == ["YFI"], "160 TRY are enough for the other pair"
    other.is_trading = False
    other.save()
    assert named(dust="true") == ["XRP", "YFI"]
    assert read("holdings", dust="true", aggregate="asset")["sums"][0]["group"] == {"asset": "XRP"}
    assert {row["dust"] for row in holdings(as_of=after(60).isoformat())} == {None}
    refused = read("holdings", status=400, dust="true", as_of=after(60).isoformat())
    assert "as_of" in refused["detail"]


def test_what_was_sold_unseen_stands_in_suspense(account: Account) -> None:
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "SELL", "1", "100"))
    found = {(row["asset"], row["in_suspense"]): (row["quantity"], row["cost"]) for row in holdings(zero="false")}
    assert found == {("USDT", False): ("1100", "1100"), ("BTC", True): ("-1", "-100")}


def test_what_is_being_restated_says_so(account: Account) -> None:
    posted(account, "deposit", "BTC", "2", value=D(200))
    Inventory.objects.update(restating=True)
    (row,) = holdings()
    assert (row["restating"], row["quantity"], row["unrealised_pnl"]) == (True, "2", None)
    assert "cost of BTC@binance restating" in row["missing"]


def test_holdings_are_filtered_paged_and_bound_to_what_the_key_reaches(account: Account) -> None:
    alpha = StrategyFactory(name="alpha")
    HoldingFactory(account=account)
    HoldingFactory(account=account, strategy=alpha)
    HoldingFactory(account=AccountFactory(name="two", exchange="btcturk"), asset="TRY", quantity=D(0))
    HoldingFactory(account=AccountFactory(name="three", mode="paper", rest_url=""))
    assert [len(page) for page in pages("holdings", "holdings", limit=3)] == [3, 1]
    for query, count in (
        ({"account": "main"}, 2),
        ({"exchange": "btcturk"}, 1),
        ({"asset": "TRY"}, 1),
        ({"strategy": "alpha"}, 1),
        ({"mode": "paper"}, 1),
        ({"zero": "false"}, 3),
        ({"account": "nobody"}, 0),
    ):
        assert len(holdings(**query)) == count, query
    assert [row["account"] for row in holdings(key=api_key("read", accounts=["two"]))] == ["two"]
    assert [row["strategy"] for row in holdings(key=api_key("read", strategies=["alpha"]))] == ["alpha"]
    sums = read("holdings", aggregate="account", key=api_key("read", accounts=["two"]))["sums"]
    assert [row["group"] for row in sums] == [{"account": "two"}]


@pytest.mark.parametrize(
    "query",
    [
        {"aggregate": "instrument"},
        {"aggregate": "asset", "limit": "5"},
        {"mode": "dream"},
        {"zero": "no"},
        {"exchange": "x"},
    ],
)
def test_what_cannot_be_had_is_refused(query: dict[str, str]) -> None:
    assert read("holdings", status=400, **query)["code"] == "INVALID_PARAMETER"


def test_the_statements_do_not_grow_with_rows_or_with_what_was_traded(account: Account) -> None:
    key, btc = api_key("read"), pair("BTC")
    posted(account, "deposit", "USDT", "1000")
    book(account, btc, trade(1, "BUY", "1", "100"))
    QuoteFactory(instrument=btc, bid=D(150), ask=D(151))

    asked: list[tuple[str, dict[str, str]]] = [
        *(("holdings", {}), ("positions", {})),
        *(("holdings", {"aggregate": "asset"}), ("positions", {"aggregate": "all"})),
    ]

    def statements() -> list[int]:
        counts = []
        for path, query in asked:
            with CaptureQueriesContext(connection) as captured:
                read(path, key=key, **query)
            counts.append(len(captured))
        return counts

    statements()
    before = statements()
    book(account, btc, *(trade(n, "BUY", "0.01", "100") for n in range(10, 40)))
    book(account, pair("ETH"), trade(50, "BUY", "1", "10", symbol="ETHUSDT"), strategy=StrategyFactory())
    assert statements() == before
    assert max(before) < 12, before
