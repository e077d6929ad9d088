"""The equity curves of the desk: what is drawn, what is left out, and what stands in words beside it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from execution_project.back_office.equity_chart import Point, draw, read_charts
from execution_project.common import clock
from positions.models import EquityPoint, EquitySeries
from tests.people import client_of, person

D = Decimal
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def at(hours: int, equity: str | None, high: str | None) -> Point:
    """A point so many hours ago."""
    return Point(NOW - timedelta(hours=hours), None if equity is None else D(equity), None if high is None else D(high))


def test_a_day_is_as_wide_as_the_picture_and_its_extremes_as_high() -> None:
    line, high, low, top = draw([at(24, "100", "100"), at(12, "50", "100"), at(0, "75", "100")], NOW)
    assert (low, top) == (D(50), D(100))
    assert line == "M0.0 6.0h1L300.0 114.0L600.0 60.0"
    assert high == "M0.0 6.0h1L300.0 6.0L600.0 6.0"


def test_what_is_not_known_is_a_gap_and_never_zero() -> None:
    line, high, low, _ = draw([at(24, "100", "100"), at(12, None, "100"), at(6, None, None), at(0, "90", "100")], NOW)
    assert line == "M0.0 6.0h1M600.0 114.0h1"
    assert high == "M0.0 6.0h1L300.0 6.0M600.0 6.0h1"
    assert low == 90


def test_a_flat_line_is_in_the_middle_and_nothing_is_nothing() -> None:
    assert draw([at(24, "7", "7"), at(0, "7", "7")], NOW)[0] == "M0.0 60.0h1L600.0 60.0"
    assert draw([], NOW) == draw([at(1, None, None)], NOW) == ("", "", None, None)


def series(mode: str, **values: Any) -> EquitySeries:
    now = clock.now()
    known = {"last_at": now, "at": now, "equity": D(1000), "last_equity": D("1234.567"), "hwm_equity": D(2000)}
    row: EquitySeries = EquitySeries.objects.create(scope="global", mode=mode, currency="USDT", **{**known, **values})
    EquityPoint.objects.create(series=row, at=now - timedelta(hours=3), equity=D(900), hwm_equity=D(2000))
    EquityPoint.objects.create(series=row, at=now - timedelta(hours=25), equity=D(1), hwm_equity=D(1))
    return row


@pytest.mark.django_db
def test_the_desk_draws_a_curve_for_each_mode_live_first() -> None:
    series("paper", last_drawdown=D("0.3827165"), last_daily_loss=D("-34.567"))
    series("live", last_drawdown=D(0), last_daily_loss=D("1.5"))
    page = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    panel = page.split('id="equity"', 1)[1].split("</section>", 1)[0]
    assert panel.index("LIVE") < panel.index("PAPER")
    assert panel.count("<svg") == 2
    assert "1,234.57 USDT" in panel
    assert "drawdown 38.27 % · high-water mark 2,000.00 · today +34.57" in panel
    assert "drawdown 0.00 % · high-water mark 2,000.00 · today -1.50" in panel
    # The policy of the page forbids both.
    assert "<script" not in panel and "style=" not in panel


@pytest.mark.django_db
def test_missing_marks_and_a_silent_ticker_are_said_in_words() -> None:
    now = clock.now()
    series("live", last_missing=["DOGE@binance"], last_equity=None, at=now - timedelta(minutes=9))
    series("paper", last_at=now - timedelta(minutes=5))
    live, paper = read_charts(now)
    assert (live.equity, live.drawdown, live.loss_today) == ("equity not known", "not known", "not known")
    assert live.trouble == "Without a mark or a cost: DOGE@binance. Last known 9 min ago: 1,000.00 USDT."
    assert paper.trouble == "Not valued since 5 min: is the ticker running?"


@pytest.mark.django_db
def test_without_a_valuation_the_desk_says_so() -> None:
    page = client_of(person("ada", "auditor")).get("/admin/").content.decode()
    assert "Nothing has been valued yet" in page


@pytest.mark.django_db
def test_more_points_and_modes_take_no_more_queries() -> None:
    with CaptureQueriesContext(connection) as none:
        read_charts(clock.now())
    series("live")
    series("paper")
    with CaptureQueriesContext(connection) as some:
        read_charts(clock.now())
    assert len(none) == len(some) == 2
