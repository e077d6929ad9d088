"""Equity at the API and in the command: points as they are and by stretches of time, for those who may see them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from execution_project.common import clock
from execution_project.common.clock import ManualClock
from positions.equity import value_mode
from positions.models import EquityPoint, EquitySeries
from tests.commands import run
from tests.factories import (
    AccountFactory,
    HoldingFactory,
    InstrumentFactory,
    QuoteFactory,
    StrategyFactory,
    api_key,
)
from tests.reading import pages, read

pytestmark = pytest.mark.django_db

D = Decimal
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def now() -> Iterator[ManualClock]:
    hand = ManualClock(NOON)
    with clock.using(hand):
        yield hand


def series(**values: Any) -> EquitySeries:
    values = {"scope": "global", "mode": "sandbox", "currency": "USDT", **values}
    row: EquitySeries = EquitySeries.objects.create(**values)
    return row


def point(row: EquitySeries, at: datetime, equity: str, **values: Any) -> None:
    amount = D(equity)
    values = {"low_equity": amount, "high_equity": amount, "nav": amount / 100, **values}
    EquityPoint.objects.create(
        series=row, at=at, equity=amount, low_nav=values["nav"], high_nav=values["nav"], hwm_nav=D(2), **values
    )


@pytest.fixture
def curve() -> EquitySeries:
    """Three points in two minutes of one hour, one an hour later, one the day after."""
    row = series()
    for minutes, equity in ((0, "100"), (0.5, "130"), (0.75, "90"), (1, "110"), (60, "120"), (24 * 60, "95")):
        point(row, NOON + timedelta(minutes=minutes), equity)
    return row


def shown(**query: Any) -> list[tuple[str, ...]]:
    return [
        (row["began_at"][8:16], row["equity"], row["low_equity"], row["high_equity"])
        for row in read("equity", **query)["points"]
    ]


@pytest.mark.usefixtures("curve")
def test_points_are_read_raw_or_by_minute_hour_and_day() -> None:
    assert [row[1] for row in shown()] == ["100", "130", "90", "110", "120", "95"]
    assert shown(resolution="1m") == [
        ("01T12:00", "90", "90", "130"),
        ("01T12:01", "110", "110", "110"),
        ("01T13:00", "120", "120", "120"),
        ("02T12:00", "95", "95", "95"),
    ]
    assert shown(resolution="1h") == [
        ("01T12:00", "110", "90", "130"),
        ("01T13:00", "120", "120", "120"),
        ("02T12:00", "95", "95", "95"),
    ]
    assert shown(resolution="1d") == [("01T00:00", "120", "90", "130"), ("02T00:00", "95", "95", "95")]


@pytest.mark.parametrize("resolution", ["raw", "1m", "1h", "1d"])
def test_pages_of_two_series_hold_every_point_once(curve: EquitySeries, resolution: str) -> None:
    other = series(scope="account", account=AccountFactory(name="main"))
    for minutes in (0, 1, 90):
        point(other, NOON + timedelta(minutes=minutes), "7")
    whole = [row for page in pages("equity", "points", resolution=resolution) for row in page]
    by_one = pages("equity", "points", resolution=resolution, limit=1)
    assert [row for page in by_one for row in page] == whole
    assert all(len(page) <= 1 for page in by_one)
    assert len({(row["began_at"], row["scope"], row["at"]) for row in whole}) == len(whole)


@pytest.mark.usefixtures("curve")
def test_a_stretch_of_time_is_asked_for_with_from_and_to() -> None:
    minute = (NOON + timedelta(minutes=1)).isoformat()
    hour = (NOON + timedelta(hours=1)).isoformat()
    assert [row[1] for row in shown(**{"from": minute, "to": hour})] == ["110"]
    assert shown(**{"from": minute, "resolution": "1d"})[0] == ("01T00:00", "120", "110", "120")
    assert shown(**{"from": "2027-01-01T00:00:00Z", "resolution": "1h"}) == []


@pytest.mark.usefixtures("curve")
def test_a_key_sees_the_series_that_it_reaches() -> None:
    account, strategy = AccountFactory(name="main"), StrategyFactory(name="grid")
    point(series(scope="account", account=account), NOON, "7")
    point(series(scope="strategy", strategy=strategy), NOON, "8")
    point(series(mode="live"), NOON, "9")

    def seen(key: str | None = None, **query: str) -> set[tuple[str, str]]:
        return {(row["scope"], row["mode"]) for row in read("equity", key=key, **query)["points"]}

    everything = {("global", "sandbox"), ("global", "live"), ("account", "sandbox"), ("strategy", "sandbox")}
    assert seen() == everything
    assert seen(scope="global", mode="live") == {("global", "live")}
    assert seen(account="main") == {("account", "sandbox")}
    assert seen(strategy="grid") == {("strategy", "sandbox")}
    assert seen(api_key("read", accounts=["main"])) == {("account", "sandbox")}
    assert seen(api_key("read", strategies=["grid"])) == {("strategy", "sandbox")}
    assert seen(api_key("read", accounts=["other"])) == set()


@pytest.mark.parametrize(
    "query",
    [
        {"resolution": "5m"},
        {"scope": "galaxy"},
        {"mode": "real"},
        {"from": "yesterday"},
        {"resolution": "1h", "after": "x"},
        {"resolution": "1h", "after": "MjAyNi0wNS0wMVQxMjowMC9i"},  # …/b
        {"after": "MjAyNi0wNS0wMVQxMjowMC8x"},  # a page of another resolution
    ],
)
def test_what_cannot_be_asked_is_refused(query: dict[str, str]) -> None:
    assert read("equity", status=400, **query)["code"] == "INVALID_PARAMETER"


def test_a_valued_account_is_told_with_its_drawdowns_and_what_is_missing(now: ManualClock) -> None:
    HoldingFactory(account=AccountFactory(name="main"), asset="BTC", quantity=D(1))
    quote = QuoteFactory(instrument=InstrumentFactory(), bid=D(60000), ask=D(60010))
    for bid in (60000, 60000, 60000, 58800):
        now.advance(timedelta(seconds=5))
        type(quote).objects.update(bid=bid, ask=bid + 10, confirmed_at=now.now())
        value_mode("sandbox")
    now.advance(timedelta(minutes=1))
    value_mode("sandbox")
    opened, fallen, blind = read("equity", account="main")["points"][1:]
    assert (opened["nav"], opened["hwm_nav"], opened["confirmed"]) == ("1", "1", True)
    assert fallen["drawdown"] == {
        "trailing": "0.02",
        "daily": "0.02",
        "static": "0.02",
        "absolute": "1200",
        "daily_loss": "1200",
    }
    assert (blind["equity"], blind["nav"], blind["missing"]) == (None, None, ["BTC@binance"])
    assert blind["drawdown"] == dict.fromkeys(blind["drawdown"])
    assert (blind["hwm_nav"], blind["hwm_equity"]) == ("1", "60000")


def test_the_command_shows_every_mark_with_its_age_and_path_and_stores_nothing(now: ManualClock) -> None:
    account = AccountFactory(name="main")
    HoldingFactory(account=account, asset="TRY", quantity=D(4000))
    HoldingFactory(account=AccountFactory(name="other"), asset="USDT", quantity=D(5))
    QuoteFactory(instrument=InstrumentFactory(base_asset="USDT", quote_asset="TRY"), bid=D(39), ask=D(40))
    now.advance(timedelta(seconds=2))
    ran = run("value_books")
    assert ran.code == 0
    assert "4000 TRY      binance  × 0.025 = 100  (2.0 s old, binance:USDTTRY:ask)" in ran.out
    assert "equity 105 USDT" in ran.out
    assert not EquitySeries.objects.exists()
    (document,) = run("value_books", "--json", "--account", "main").documents
    assert (document["name"], document["equity"], document["marks"][0]["age_ms"]) == ("main", "100", 2000)


def test_the_command_tells_how_a_scope_stands_and_what_is_missing(now: ManualClock) -> None:
    HoldingFactory(account=AccountFactory(name="main"), asset="USDT", quantity=D(100))
    value_mode("sandbox")
    HoldingFactory(account=AccountFactory(name="other"), asset="DOGE", quantity=D(5))
    ran = run("value_books")
    assert ran.code == 3
    assert "NAV 1, highest 1, drawdown 0.0000 %, loss today 0" in ran.out
    assert "5 DOGE     binance  no mark" in ran.out
    assert "equity is not known: DOGE@binance" in ran.out
    assert "2 of 3 have no equity" in ran.err
    assert run("value_books", "--account", "main").code == 0


def test_the_command_without_open_books_says_so() -> None:
    AccountFactory(books_opened_at=None)
    assert "no books are open" in run("value_books").out
