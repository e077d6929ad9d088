"""Profit and loss of a period by hand: its parts, its fees, what is not realised yet, and what is not known."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.problems import Problem
from positions import tasks
from positions.models import Holding, RealisedPnl
from positions.profits import period_of
from tests.factories import AccountFactory, QuoteFactory, StrategyFactory, api_key
from tests.positions.books import START, after, book, mark, pair, posted, trade
from tests.reading import pages, read

pytestmark = pytest.mark.django_db
D = Decimal
PARTS = ("local_pnl", "currency_effect", "income", "transfer_costs", "other_pnl")


@pytest.fixture
def account() -> Account:
    """One day of trading BTC, with a fee in BNB, an airdrop, and TRY that gained while they were held.

    BTC: bought 2 at 100, 1 of them sold at 130 with a fee of 0.01 BNB (worth 6, cost 5): 130 − 6 − 100 = 24, BNB +1.
    BTC again for TRY: 1 for 5000 TRY at 0.03 = 150; the TRY had cost 0.02 each, 100 in all: currency effect 50.
    The other half of them came as an airdrop: 3 ETH at 10 = 30.
    """
    row: Account = AccountFactory(name="main", books_opened_at=START)
    mark("BNB", "600")
    mark("TRY", "0.03")
    mark("ETH", "10")
    posted(row, "deposit", "USDT", "1000")
    posted(row, "deposit", "BNB", "2", value=D(1000))
    posted(row, "deposit", "TRY", "10000", value=D(200))
    book(row, pair("BTC"), trade(1, "BUY", "2", "100"))
    book(row, pair("BTC"), trade(2, "SELL", "1", "130", "0.01 BNB"), strategy=StrategyFactory(name="alpha"))
    book(row, pair("BTC", "TRY"), trade(3, "BUY", "1", "5000", symbol="BTCTRY"))
    posted(row, "airdrop", "ETH", "3", seconds=4)
    return row


def period(**query: Any) -> dict[str, Any]:
    return read("pnl", **{"from": START.isoformat(), "to": after(86400).isoformat(), **query})


def rows(by: str, **query: Any) -> dict[tuple[str | None, ...], dict[str, Any]]:
    return {tuple(row["group"].values()): row for row in period(by=by, **query)["rows"]}


@pytest.mark.usefixtures("account")
def test_a_day_in_its_parts_with_fees_beside() -> None:
    document = period()
    (row,) = document["rows"]
    assert row["group"] == {"period": "2026-05-01T00:00:00Z"}
    assert {name: row[name] for name in PARTS} == {
        "local_pnl": "25",  # 24 of BTC, 1 of BNB
        "currency_effect": "50",
        "income": "30",
        "transfer_costs": "0",
        "other_pnl": "0",
    }
    assert (row["realised_pnl"], row["fees"], row["unrealised_pnl"], row["missing"]) == ("105", "6", None, [])
    (total,) = document["totals"]
    assert {**total, "group": row["group"]} == row
    assert document["currency"] == "USDT"


@pytest.mark.usefixtures("account")
def test_the_same_by_asset_instrument_strategy_and_account() -> None:
    realised = {key: (row["realised_pnl"], row["fees"]) for key, row in rows("asset").items()}
    assert realised == {
        ("BNB",): ("1", "6"),
        ("BTC",): ("24", "0"),
        ("ETH",): ("30", "0"),
        ("TRY",): ("50", "0"),
        ("USDT",): ("0", "0"),
    }
    realised = {key: (row["realised_pnl"], row["fees"]) for key, row in rows("instrument").items()}
    assert realised == {
        ("binance", "BTCUSDT"): ("25", "6"),
        ("binance", "BTCTRY"): ("50", "0"),
        ("binance", None): ("30", "0"),
    }
    realised = {key: (row["realised_pnl"], row["fees"]) for key, row in rows("strategy").items()}
    assert realised == {("alpha",): ("25", "6"), (None,): ("80", "0")}
    assert rows("account")["main",]["realised_pnl"] == "105"
    for by in ("hour", "day", "week", "month", "strategy", "instrument", "asset", "account"):
        (total,) = period(by=by)["totals"]
        assert (total["realised_pnl"], total["fees"]) == ("105", "6"), by
    assert list(rows("week")) == [("2026-04-27T00:00:00Z",)], "weeks begin on Monday"


def test_what_is_stored_agrees_with_the_period(account: Account) -> None:
    assert sum(RealisedPnl.objects.values_list("realised", flat=True)) == D(105)
    assert sum(Holding.objects.filter(account=account).values_list("realised_pnl", flat=True)) == D(105)


@pytest.mark.usefixtures("account")
def test_what_is_held_is_valued_in_the_period_that_reaches_to_now_alone() -> None:
    for base, bid in (("BTC", "200"), ("BNB", "500"), ("ETH", "10")):
        QuoteFactory(instrument=pair(base), bid=D(bid), ask=D(bid) + 1)
    QuoteFactory(instrument=pair("USDT", "TRY"), bid=D(39), ask=D(40))
    document = read("pnl", **{"from": START.isoformat(), "by": "asset"})
    unrealised = {row["group"]["asset"]: row["unrealised_pnl"] for row in document["rows"]}
    # BTC: 2 at 200 less 100 + 150; BNB 1.99 at their cost; ETH at its value; TRY: 5000 / 40 less 5000 × 0.02.
    assert unrealised == {"BTC": "150", "BNB": "0", "ETH": "0", "TRY": "25", "USDT": "0"}
    assert document["totals"][0]["unrealised_pnl"] == "175"
    days = read("pnl", **{"from": START.isoformat(), "by": "day"})["rows"]
    assert [row["unrealised_pnl"] for row in days] == [None, "175"]
    assert days[-1]["group"]["period"] == f"{clock.now():%Y-%m-%d}T00:00:00Z"
    assert period()["rows"][0]["unrealised_pnl"] is None


@pytest.mark.usefixtures("account")
def test_a_missing_mark_leaves_what_needs_it_empty_and_says_so() -> None:
    QuoteFactory(instrument=pair("BTC"), bid=D(200), ask=D(201))
    document = read("pnl", **{"from": START.isoformat(), "by": "asset"})
    found = {row["group"]["asset"]: (row["unrealised_pnl"], row["missing"]) for row in document["rows"]}
    assert found["BTC"] == ("150", [])
    assert found["BNB"] == (None, ["mark of BNB@binance"])
    (total,) = document["totals"]
    assert total["unrealised_pnl"] is None
    assert set(total["missing"]) == {f"mark of {asset}@binance" for asset in ("BNB", "ETH", "TRY")}
    assert total["realised_pnl"] == "105"


def test_a_fee_without_a_rate_makes_the_fees_unknown_and_no_smaller() -> None:
    account = AccountFactory(books_opened_at=START)
    posted(account, "deposit", "USDT", "1000")
    posted(account, "deposit", "BNB", "1", value=D(600))
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "1 USDT"), trade(2, "BUY", "1", "100", "0.01 BNB"))
    (row,) = period()["rows"]
    assert (row["fees"], row["missing"]) == (None, ["rates of 1 fees"])


def test_fees_in_base_quote_and_for_a_pair_of_the_currency_are_worth_what_they_were() -> None:
    account = AccountFactory(books_opened_at=START)
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100", "0.01 BTC"), trade(2, "SELL", "0.5", "100", "0.5 USDT"))
    # 40 TRY per USDT: a fee of 4 TRY is worth 0.1
    book(account, pair("USDT", "TRY"), trade(3, "SELL", "10", "40", "4 TRY", "8 TRY tax", symbol="USDTTRY"))
    fees = {key: row["fees"] for key, row in rows("asset").items()}
    assert fees == {("BTC",): "1", ("USDT",): "0.5", ("TRY",): "0.3"}


def test_own_transfers_and_withdrawals_are_apart_from_trading() -> None:
    here, there = (
        AccountFactory(name="here", books_opened_at=START),
        AccountFactory(name="there", books_opened_at=START),
    )
    mark("BTC", "150")
    posted(here, "deposit", "BTC", "3", value=D(300))
    # 1 BTC leaves with its cost, and a network fee of 0.01 on top is lost with its own
    posted(here, "own_transfer", "BTC", "-1.01", network_fee=D("0.01"), value=D(-100), seconds=1)
    posted(there, "own_transfer", "BTC", "1", value=D(100), seconds=2)
    posted(here, "withdrawal", "BTC", "-1", seconds=3)
    (total,) = period()["totals"]
    # the withdrawal leaves at its mark: 150 less 100
    assert {name: total[name] for name in PARTS} == {
        "local_pnl": "0",
        "currency_effect": "0",
        "income": "0",
        "transfer_costs": "-1",
        "other_pnl": "50",
    }


@pytest.mark.usefixtures("account")
def test_modes_and_foreign_accounts_are_never_added() -> None:
    paper = AccountFactory(name="paper", mode="paper", rest_url="", books_opened_at=START)
    posted(paper, "airdrop", "USDT", "7", seconds=1)
    assert [(row["mode"], row["realised_pnl"]) for row in period()["totals"]] == [("paper", "7"), ("sandbox", "105")]
    assert [row["mode"] for row in period(mode="sandbox")["totals"]] == ["sandbox"]
    assert [row["realised_pnl"] for row in period(account="paper")["totals"]] == ["7"]
    assert [row["realised_pnl"] for row in period(strategy="alpha")["totals"]] == ["25"]
    bound = api_key("read", accounts=["paper"])
    assert [row["realised_pnl"] for row in period(key=bound)["totals"]] == ["7"]
    of_alpha = api_key("read", strategies=["alpha"])
    assert [row["realised_pnl"] for row in period(key=of_alpha)["totals"]] == ["25"]


@pytest.mark.usefixtures("account")
def test_rows_come_by_pages_with_the_totals_of_all() -> None:
    query = {"from": START.isoformat(), "to": after(86400).isoformat(), "by": "asset", "limit": "2"}
    found = pages("pnl", "rows", **query)
    assert [len(page) for page in found] == [2, 2, 1]
    assert [row["group"]["asset"] for page in found for row in page] == ["BNB", "BTC", "ETH", "TRY", "USDT"]
    assert read("pnl", **query)["totals"][0]["realised_pnl"] == "105"


@pytest.mark.parametrize(
    "query",
    [
        {"by": "galaxy"},
        {"mode": "dream"},
        {"from": "yesterday"},
        {"from": "2026-05-02T00:00:00Z", "to": "2026-05-02T00:00:00Z"},
        {"after": "x"},
    ],
)
def test_what_cannot_be_told_is_refused(query: dict[str, str]) -> None:
    assert read("pnl", status=400, **query)["code"] == "INVALID_PARAMETER"


def test_the_statements_do_not_grow_with_what_was_traded(account: Account) -> None:
    key = api_key("read")
    read("pnl", key=key)

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            read("pnl", key=key, by="asset", **{"from": START.isoformat()})
        return len(captured)

    before = statements()
    moment = after(100)
    trades = [
        trade(100 + n, "SELL" if n % 2 else "BUY", "0.1", "100", traded_at=moment + timedelta(seconds=n))
        for n in range(40)
    ]
    book(account, pair("BTC"), *trades)
    assert statements() == before


def test_while_a_late_fact_is_folded_in_sums_are_unknown_and_say_so(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("positions.folding.RESTATED_AT_ONCE", 0)
    book(account, pair("BTC"), trade(9, "BUY", "1", "50", traded_at=after(0.5)))
    (total,) = period()["totals"]
    assert {total[name] for name in ("realised_pnl", *PARTS)} == {None}
    assert {"restating: BTC@binance", "restating: USDT@binance"} <= set(total["missing"])
    of_assets = rows("asset")
    assert of_assets["BTC",]["realised_pnl"] is None
    assert of_assets["BTC",]["missing"] == ["restating: BTC@binance"]
    assert of_assets["ETH",]["realised_pnl"] == "30"
    tasks.restate_due()
    (total,) = period()["totals"]
    assert total["realised_pnl"] is not None
    assert not [word for word in total["missing"] if word.startswith("restating")]


@pytest.mark.parametrize(("by", "days"), [("hour", 62), ("day", 1830), ("asset", 3660)])
def test_a_period_is_at_most_so_long(by: str, days: int) -> None:
    end = after(0)
    assert period_of(end - timedelta(days=days), end, by)
    with pytest.raises(Problem, match=f"at most {days} days") as refused:
        period_of(end - timedelta(days=days, seconds=1), end, by)
    assert refused.value.status == 400
