"""Statements are complete: their sums are the ledger's and the API's, whatever the method, format and period."""

from __future__ import annotations

import csv
import io
import json
import random
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.locking import ordered
from execution_project.common.models import Event
from execution_project.common.problems import Problem
from positions import fill_statement, pnl_statement
from positions.booking import Booking, book_trades
from positions.models import Book, Fill, Holding, Inventory, LedgerEntry, RealisedPnl
from positions.moments import moment_at
from positions.statement_files import lines_of, text_of
from positions.statement_parts import Wanted
from positions.statements import state
from tests.commands import run
from tests.factories import BY, AccountFactory, FillFactory, StrategyFactory
from tests.positions.books import START, after, book, mark, pair, posted, trade
from tests.reading import read
from tests.threads import run_together

pytestmark = pytest.mark.django_db
D = Decimal
HOUR = 3600.0
THIRD = 1200.0


@pytest.fixture
def account() -> Account:
    """Some 60 trades of three pairs for two strategies, with fees of all kinds, over three hours."""
    row: Account = AccountFactory(name="main", books_opened_at=START)
    for third in range(10):
        for asset, price in (("BNB", 600), ("BTC", 90), ("ETH", 10)):
            mark(asset, str(price + third), third * THIRD)
        mark("TRY", f"0.03{third}", third * THIRD)
    worths = {"USDT": None, "BTC": 4000, "BNB": 1500, "TRY": 1800}
    for (asset, worth), amount in zip(worths.items(), ("9000", "50", "3", "90000"), strict=True):
        posted(row, "deposit", asset, amount, value=None if worth is None else D(worth))
    posted(row, "airdrop", "ETH", "3", seconds=3 * THIRD)
    pairs = {"BTCUSDT": pair("BTC"), "BTCTRY": pair("BTC", "TRY"), "ETHBTC": pair("ETH", "BTC")}
    fees = {
        "BTCUSDT": ["0.001 BTC", "0.1 USDT", "0.001 BNB"],
        "BTCTRY": ["1 TRY", "0.0001 BTC", "0.5 TRY"],
        "ETHBTC": ["0.001 ETH", "0.001 BNB", "0.0001 BTC"],
    }
    prices = {"BTCUSDT": "100", "BTCTRY": "3000", "ETHBTC": "0.1"}
    chance = random.Random(7)
    strategies = [None, StrategyFactory(name="alpha"), StrategyFactory(name="=beta")]
    bookings = []
    for number in range(60):
        symbol = chance.choice([*pairs])
        paid = [chance.choice(fees[symbol]), *(["0.3 TRY tax"] if symbol == "BTCTRY" else [])]
        quantity = str(D(chance.randint(1, 300)) / 1000)
        at = after(number // 6 * THIRD + number % 6)
        made = trade(
            100 + number, chance.choice(["BUY", "SELL"]), quantity, prices[symbol], *paid, symbol=symbol, traded_at=at
        )
        bookings.append(Booking(made, pairs[symbol], None, chance.choice(strategies), "client-1"))
    with ordered() as locks:
        book_trades(locks, row, bookings)
    return row


def rows_of(kind: str, form: str = "jsonl", **options: Any) -> list[dict[str, Any]]:
    """The documents of a statement, or its CSV's cells by column, without the header."""
    text = "".join(lines_of(state(Wanted(kind, **options), by=BY), form))
    if form == "jsonl":
        return [json.loads(line) for line in text.splitlines()][1:]
    told = [line for line in text.splitlines(keepends=True) if not line.startswith("#")]
    return list(csv.DictReader(io.StringIO("".join(told))))


def total(rows: list[dict[str, Any]], column: str, kind: str = "disposal") -> Decimal:
    return sum((D(row[column]) for row in rows if row["row"] == kind and row[column]), D(0))


def test_the_fills_sum_to_the_ledger(account: Account) -> None:
    rows = rows_of("fills")
    assert [row["row"] for row in rows].count("fill") == Fill.objects.count() == 60
    entries = (
        LedgerEntry.objects.filter(account=account, kind="fill").values("asset", "book").annotate(total=Sum("amount"))
    )
    ledger: dict[str, dict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for entry in entries:
        ledger[entry["asset"]][entry["book"]] = entry["total"]
    totals = {row["asset"]: row for row in rows if row["row"] == "total"}
    assert set(totals) == set(ledger) == {"BTC", "USDT", "TRY", "ETH", "BNB"}
    for asset, row in totals.items():
        for column, name in (("moved", Book.EXCHANGE), ("fee", Book.FEES), ("tax", Book.TAX)):
            assert D(row[column]) == ledger[asset][name], (asset, column)
    assert total(rows, "tax", "fill") == ledger["TRY"]["tax"]
    # and their fees, one by one, are worth what the API says all together
    document = read("pnl", **{"from": START.isoformat()})
    assert total(rows, "fees_value", "fill") == D(document["totals"][0]["fees"])


def test_the_profits_sum_to_the_api_and_to_what_the_holdings_realised(account: Account) -> None:
    rows = rows_of("pnl")
    (whole,) = [row for row in rows if row["row"] == "total"]
    realised = total(rows, "realised")
    assert realised == D(whole["realised"]) == RealisedPnl.objects.aggregate(total=Sum("realised"))["total"]
    assert realised == Holding.objects.filter(account=account).aggregate(total=Sum("realised_pnl"))["total"]
    document = read("pnl", **{"from": START.isoformat()})["totals"][0]
    assert realised == D(document["realised_pnl"])
    assert total(rows, "currency_effect") == D(whole["currency_effect"]) == D(document["currency_effect"]) != 0
    held = {row["asset"]: (D(row["quantity"]), D(row["cost"])) for row in rows if row["row"] == "held"}
    stored = Holding.objects.values("asset").annotate(quantity=Sum("quantity"), cost=Sum("cost"))
    assert held == {row["asset"]: (row["quantity"], row["cost"]) for row in stored}


def test_average_and_fifo_come_to_the_same_total(account: Account) -> None:
    whole: dict[str, dict[str, Any]] = {}
    of_assets: dict[str, dict[str, Decimal]] = {}
    for method in ("average", "fifo"):
        rows = rows_of("pnl", method=method)
        whole[method] = rows[-1]
        own = of_assets[method] = defaultdict(Decimal)
        for row in rows[:-1]:
            own[row["asset"]] += D(row["realised"]) if row["row"] == "disposal" else -D(row["cost"])
        assert total(rows, "realised") == D(rows[-1]["realised"])
        assert total(rows, "cost", "held") == D(rows[-1]["cost"])
    average, fifo = whole["average"], whole["fifo"]
    # What was realised less what is left in cost is what flowed in, whatever the method.
    assert D(average["realised"]) - D(average["cost"]) == D(fifo["realised"]) - D(fifo["cost"])
    assert of_assets["average"] == of_assets["fifo"]
    assert average["realised"] != fifo["realised"], "or the test would show nothing"


def test_fifo_takes_the_oldest_lots_first_by_hand() -> None:
    account = AccountFactory(books_opened_at=START)
    posted(account, "deposit", "USDT", "1000")
    book(account, pair("BTC"), trade(1, "BUY", "1", "100"), trade(2, "BUY", "1", "120"), trade(3, "SELL", "1.5", "130"))
    found = [row for row in rows_of("pnl", method="fifo") if row["row"] != "total" and row["asset"] == "BTC"]
    # 1 of the first for 130, 0.5 of the second for 65; 0.5 is left at half of 120
    numbers = ("quantity", "proceeds", "cost", "realised", "acquired_at")
    assert [tuple(row[name] for name in numbers) for row in found if row["row"] == "disposal"] == [
        ("1", "130", "100", "30", "2026-05-01T00:00:01Z"),
        ("0.5", "65", "60", "5", "2026-05-01T00:00:02Z"),
    ]
    assert [(row["quantity"], row["cost"]) for row in found if row["row"] == "held"] == [("0.5", "60")]
    average = [row for row in rows_of("pnl") if row["row"] == "disposal" and row["asset"] == "BTC"]
    # 1.5 at 110 on average
    assert [(row["proceeds"], row["cost"], row["realised"]) for row in average] == [("195", "165", "30")]
    # Once everything is sold both have realised the same: 195 + 65 less 100 + 120.
    book(account, pair("BTC"), trade(4, "SELL", "0.5", "130"))
    assert [rows_of("pnl", method=method)[-1]["realised"] for method in ("average", "fifo")] == ["40", "40"]


@pytest.mark.parametrize("method", ["average", "fifo"])
@pytest.mark.usefixtures("account")
def test_periods_side_by_side_are_the_whole(method: str) -> None:
    cuts = [None, after(HOUR), after(2 * HOUR), None]
    parts = [rows_of("pnl", start=start, end=end, method=method) for start, end in pairwise(cuts)]
    disposals = [row for rows in parts for row in rows if row["row"] == "disposal"]
    whole = [row for row in rows_of("pnl", method=method) if row["row"] == "disposal"]
    assert sorted(disposals, key=str) == sorted(whole, key=str)
    assert all(D(rows[-1]["realised"]) == total(rows, "realised") for rows in parts)
    fills = [
        len([row for row in rows_of("fills", start=start, end=end) if row["row"] == "fill"])
        for start, end in pairwise(cuts)
    ]
    assert sum(fills) == 60
    assert min(fills) > 0


@pytest.mark.usefixtures("account")
def test_what_was_left_then_is_what_the_books_say_as_of_then() -> None:
    end = after(1.5 * HOUR)
    held = {row["asset"]: row["cost"] for row in rows_of("pnl", end=end) if row["row"] == "held"}
    sums = read("holdings", aggregate="asset", as_of=(end - timedelta(microseconds=1)).isoformat())["sums"]
    assert held == {row["group"]["asset"]: row["cost"] for row in sums}


@pytest.mark.parametrize("kind", ["fills", "pnl"])
@pytest.mark.usefixtures("account")
def test_csv_and_json_lines_say_the_same(kind: str) -> None:
    documents, cells = rows_of(kind), rows_of(kind, "csv")
    assert len(documents) == len(cells)
    for document, row in zip(documents, cells, strict=True):
        for column, text in row.items():
            value = document.get(column)
            guarded = f"'{value}" if column == "strategy" and str(value).startswith("=") else value
            assert text == ("" if guarded is None else str(guarded)), (column, document)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (D("-1.500"), "-1.5"),
        (D("1E-18"), "0.000000000000000001"),
        (None, ""),
        ("=HYPERLINK(0)", "'=HYPERLINK(0)"),
        ("+1", "'+1"),
        ("-cmd", "'-cmd"),
        ("@SUM", "'@SUM"),
        ("\t=1", "'\t=1"),
        ("alpha=1", "alpha=1"),
        (datetime.fromisoformat("2026-05-01T02:00:00+00:00"), "2026-05-01T02:00:00Z"),
        (7, "7"),
    ],
)
def test_cells_are_exact_and_no_spreadsheet_computes_them(value: object, cell: str) -> None:
    assert text_of(value) == cell


def test_a_header_says_what_it_is(account: Account) -> None:
    (header,) = [
        json.loads(next(iter(lines_of(state(Wanted("pnl", accounts=("main",), method="fifo"), by=BY), "jsonl"))))
    ]
    assert header.pop("made_at") == header.pop("to")
    assert header == {
        "row": "header",
        "statement": "realised profit and loss",
        "method": "first in, first out",
        "currency": "USDT",
        "time_zone": "UTC",
        "from": "the opening of the books",
        "accounts": account.name,
    }
    event = Event.objects.filter(kind="statement.made").latest("id")
    assert (event.actor, event.evidence["method"]) == (BY.name, "first in, first out")


def test_statements_take_the_right_to_view_and_known_names() -> None:
    with pytest.raises(Problem, match="'view' is missing"):
        state(Wanted("fills"), by=Actor("user:nobody", "test"))
    AccountFactory(name="main")
    with pytest.raises(Problem, match="Accounts: main"):
        state(Wanted("fills", accounts=("other",)), by=BY)
    with pytest.raises(Problem, match="before the end"):
        state(Wanted("fills", start=after(1), end=after(1)), by=BY)


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(("kind", "module"), [("fills", fill_statement), ("pnl", pnl_statement)])
def test_pages_change_nothing(kind: str, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows_of(kind)
    monkeypatch.setattr(module, "PAGE", 7)
    statement = state(Wanted(kind), by=BY)
    assert len(statement) == len(list(state(Wanted(kind), by=BY))) > 5
    assert rows_of(kind) == whole


def test_the_statements_do_not_grow_with_the_fills_of_a_page() -> None:
    account = AccountFactory(books_opened_at=START)

    def statements() -> int:
        with CaptureQueriesContext(connection) as captured:
            rows_of("fills")
        return len(captured)

    FillFactory(account=account)
    before = statements()
    for _ in range(20):
        FillFactory(account=account)
    assert statements() == before


@pytest.mark.usefixtures("account")
def test_commands_write_to_standard_output_or_to_a_file_that_is_whole(tmp_path: Path) -> None:
    ran = run("export_fills", "--account", "main")
    assert ran.code == 0
    assert ran.out.startswith("# statement: fills\r\n")
    assert len(ran.out.splitlines()) == 7 + 1 + 60 + 5
    ran = run("export_pnl", "--json", "--method", "fifo")
    assert [document["row"] for document in ran.documents[:2]] == ["header", "disposal"]
    path = tmp_path / "fills.csv"
    ran = run(
        "export_fills", "--output", path, "--format", "csv", "--json", "--progress", "--to", after(HOUR).isoformat()
    )
    assert (ran.code, ran.document["file"], ran.document["to"]) == (0, str(path), "2026-05-01T01:00:00Z")
    assert ran.err.splitlines()[-1] == "2/2 parts"
    written = path.read_bytes()
    assert written.startswith(b"# statement: fills\r\n")
    again = run("export_fills", "--output", path)
    assert (again.code, path.read_bytes()) == (1, written)
    assert "choose another name" in again.err
    assert "cannot be written" in run("export_fills", "--output", tmp_path / "none" / "x.csv").err
    assert [file.name for file in tmp_path.iterdir()] == ["fills.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--account", "nobody"], "There is no account 'nobody'"),
        (["--from", "2026-05-01"], "no time with its zone"),
        (["--from", "yesterday"], "no time with its zone"),
        (["--from", "2026-05-02T00:00:00Z", "--to", "2026-05-01T00:00:00Z"], "before the end of the period"),
        (["--json", "--format", "csv"], "--format jsonl"),
    ],
)
def test_commands_refuse_what_cannot_be_stated(arguments: list[str], words: str) -> None:
    AccountFactory(name="main")
    ran = run("export_pnl", *arguments)
    assert ran.code != 0
    assert words in ran.err


def test_a_cost_that_is_not_known_is_left_out_and_never_part_of_a_sum() -> None:
    account = AccountFactory(books_opened_at=START)
    posted(account, "deposit", "ETH", "2")
    posted(account, "deposit", "USDT", "100")
    for method in ("average", "fifo"):
        rows = rows_of("pnl", method=method)
        held = {row["asset"]: row["cost"] for row in rows if row["row"] == "held"}
        assert held == {"ETH": None, "USDT": "100"}, method
        assert rows[-1]["cost"] is None, method


@pytest.mark.django_db(transaction=True)
def test_a_statement_is_one_picture_whatever_is_booked_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    account = AccountFactory(books_opened_at=START)
    for _ in range(3):
        FillFactory(account=account)
    monkeypatch.setattr(fill_statement, "PAGE", 1)
    parts = iter(state(Wanted("fills", end=clock.now() + timedelta(hours=1)), by=BY))
    read_so_far = list(next(parts))
    assert run_together([lambda: FillFactory(account=account, traded_at=START)]) != []
    assert Fill.objects.count() == 3, "the reader's own picture"
    rows = [*read_so_far, *(row for part in parts for row in part)]
    assert [row["row"] for row in rows if row["row"] == "fill"] == ["fill"] * 3
    assert Fill.objects.count() == 4
    assert len([row for row in rows_of("fills") if row["row"] == "fill"]) == 4


def test_average_costs_are_refused_while_they_are_folded_anew(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = state(Wanted("pnl"), by=BY)
    monkeypatch.setattr("positions.folding.RESTATED_AT_ONCE", 0)
    book(account, pair("BTC"), trade(990, "BUY", "1", "50", traded_at=after(0.5)))
    with pytest.raises(Problem, match=r"BTC on main.* again in 1 minute") as refused:
        state(Wanted("pnl"), by=BY)
    assert (refused.value.status, refused.value.code) == (409, "BOOKS_RESTATING")
    with pytest.raises(Problem, match="folded anew"):
        list(earlier)
    assert list(state(Wanted("pnl", method="fifo"), by=BY))
    Inventory.objects.update(restate_after=moment_at(after(0.4)))
    assert list(state(Wanted("pnl", end=after(0.25)), by=BY)), "what lies before is done"
