"""NAV, high-water marks and drawdowns, worked out by hand, and exact at their boundaries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from positions.drawdown import Curve, Measured, Seen, confirm, fall, measure, step

D = Decimal
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def curve(*valuations: tuple[str, str], start: datetime = NOON) -> Curve:
    """The curve after valuations of (equity, flows), a second apart."""
    found = Curve()
    for number, (equity, flows) in enumerate(valuations):
        found = step(found, start + number * SECOND, D(equity), D(flows))
    return found


def at(found: Curve, equity: str, flows: str = "0", *, when: datetime = NOON + 60 * SECOND) -> Measured:
    return measure(found, when, D(equity), D(flows))


def test_a_series_opens_with_a_nav_of_one_at_the_first_equity_there_is() -> None:
    assert not curve(("0", "0")).is_open
    opened = curve(("0", "0"), ("1000", "1000"))
    assert (opened.nav, opened.units, opened.hwm_nav, opened.hwm_equity) == (D(1), D(1000), D(1), D(1000))
    assert at(opened, "1000") == Measured(D(1), D(0), D(0), D(0), D(0), D(0))
    assert at(Curve(), "1000") == Measured()


def test_a_series_may_begin_with_what_was_handed_to_it_instead_of_what_is_left() -> None:
    opened = step(Curve(), NOON, D(900), D(1000), capital=D(1000))
    assert (opened.nav, opened.hwm_nav, opened.equity, opened.day_equity) == (D("0.9"), D(1), D(900), D(1000))
    assert (at(opened, "900").trailing, at(opened, "900").daily_loss) == (D("0.1"), D(100))
    assert not step(Curve(), NOON, D(0), capital=D(0)).is_open
    assert step(Curve(), NOON, D(5), capital=D(-5)).nav == 1


def test_every_drawdown_has_its_own_reference() -> None:
    # 1000 → 1500 → 1200: NAV 1.5 → 1.2; next day, still 1200, then 900 with NAV 0.9.
    found = curve(("1000", "0"), ("1500", "0"), ("1200", "0"))
    tomorrow = NOON + timedelta(days=1)
    assert at(found, "900", when=tomorrow) == Measured(
        nav=D("0.9"),
        trailing=D("0.4"),  # (1.5 - 0.9) / 1.5
        daily=D("0.25"),  # (1.2 - 0.9) / 1.2
        static=D("0.1"),  # (1 - 0.9) / 1
        absolute=D(600),  # 1500 - 900
        daily_loss=D(300),  # 1200 - 900
    )
    # Today the day's high is 1.5, and the day began with 1000.
    assert (at(found, "900").daily, at(found, "900").daily_loss) == (D("0.4"), D(100))


def test_a_deposit_in_a_drawdown_does_not_hide_it() -> None:
    # 1000 → 800: NAV 0.8, drawdown 20 %. Deposit of 800: 1000 more units at 0.8, equity 1600, still 20 %.
    fallen = curve(("1000", "0"), ("800", "0"))
    assert at(fallen, "1600", "800") == at(fallen, "800")
    deposited = curve(("1000", "0"), ("800", "0"), ("1600", "800"))
    assert (deposited.units, deposited.nav, deposited.hwm_nav) == (D(2000), D("0.8"), D(1))
    assert (deposited.hwm_equity, deposited.day_flows) == (D(1800), D(800))
    # Back to the high takes 25 % on everything: 2000; the absolute form is additive and is back at 1800.
    assert at(deposited, "2000").trailing == 0
    assert at(deposited, "1999").trailing == D("0.0005")
    assert (at(deposited, "1799").absolute, at(deposited, "1801").absolute) == (D(1), D(0))
    assert at(deposited, "1700").daily_loss == D(100)  # 1000 + 800 - 1700


def test_a_withdrawal_makes_no_drawdown() -> None:
    found = curve(("1000", "0"), ("400", "-600"))
    assert at(found, "400") == Measured(D(1), D(0), D(0), D(0), D(0), D(0))
    assert at(found, "300").trailing == D("0.25")
    assert at(found, "300").absolute == D(100)


def test_nav_stands_while_everything_is_withdrawn_and_goes_on_from_there() -> None:
    found = curve(("1000", "0"), ("800", "0"), ("0", "-800"))
    assert (found.nav, found.units) == (D("0.8"), D(0))
    again = step(found, NOON + 10 * SECOND, D(400), D(400))
    assert (again.nav, again.units, again.hwm_nav) == (D("0.8"), D(500), D(1))
    assert at(again, "200").trailing == D("0.6")


def test_after_a_total_loss_no_unit_can_be_issued_and_nav_is_unknown() -> None:
    lost = curve(("1000", "0"), ("0", "0"))
    assert at(lost, "0").trailing == 1
    refilled = step(lost, NOON + 10 * SECOND, D(500), D(500))
    seen = at(refilled, "500")
    assert (seen.nav, seen.trailing, seen.daily, seen.static) == (None, None, None, None)
    assert (seen.absolute, seen.daily_loss) == (D(1000), D(1000))


@pytest.mark.parametrize(
    ("reference", "nav", "expected"),
    [
        ("1", "0.9", "0.1"),
        ("1", "0.900000000000000001", "0.099999999999999999"),
        ("1", "0.899999999999999999", "0.100000000000000001"),
        ("3", "2", "0.333333333333333334"),  # rounded up: a loss is never told smaller than it is
        ("1", "1", "0"),
        ("1", "2", "0"),
        ("1", "-0.5", "1.5"),
        ("0", "1", None),
        ("-1", "1", None),
        (None, "1", None),
        ("1", None, None),
    ],
)
def test_a_fall_is_measured_from_its_reference(reference: str | None, nav: str | None, expected: str | None) -> None:
    made = fall(None if reference is None else D(reference), None if nav is None else D(nav))
    assert made == (None if expected is None else D(expected))


def test_an_absolute_reference_that_is_not_positive_is_unknown() -> None:
    found = curve(("1000", "0"), ("-500", "-1500"))
    assert at(found, "-500").absolute is None
    assert at(found, "-600").daily_loss == D(100)


def test_the_day_begins_at_midnight_with_what_was_known_before_it() -> None:
    midnight = datetime(2026, 5, 2, tzinfo=UTC)
    last = curve(("1000", "0"), ("950", "0"), start=midnight - 2 * SECOND)
    assert measure(last, midnight - SECOND / 1000, D(940)).daily_loss == 60
    assert measure(last, midnight, D(940)).daily_loss == 10
    began = step(last, midnight, D(940))
    assert (began.day, began.day_equity, began.day_began_at) == (midnight.date(), D(950), midnight - SECOND)
    assert (began.day_high_nav, began.day_flows) == (D("0.95"), D(0))


def test_midnight_is_that_of_utc_and_a_clock_that_goes_back_begins_no_day() -> None:
    east = datetime(2026, 5, 2, 2, tzinfo=UTC).astimezone(datetime.fromisoformat("2026-01-01T00:00+03:00").tzinfo)
    found = step(curve(("1000", "0")), east, D(900))
    assert (found.day, found.day_equity) == (east.astimezone(UTC).date(), D(1000))
    back = step(found, NOON, D(800))
    assert (back.day, back.day_equity) == (found.day, D(1000))


AMOUNT = st.decimals(min_value="0.00000001", max_value="100000000", places=8)
SHARE = st.decimals(min_value="-0.99999999", max_value="5", places=8)


@settings(max_examples=60, deadline=None)
@given(AMOUNT, st.lists(AMOUNT, max_size=4), st.lists(SHARE, max_size=12))
def test_flows_at_unchanged_prices_leave_nav_and_drawdown_unchanged(
    opening: Decimal, prices: list[Decimal], flows: list[Decimal]
) -> None:
    equity = opening
    found = step(Curve(), NOON, opening)
    for price in prices:  # up and down, to any NAV
        equity = price
        found = step(found, found.at + SECOND if found.at else NOON, equity)
    before = measure(found, NOON + 100 * SECOND, equity)
    for share in flows:
        flow = (equity * share).quantize(D("0.00000001"))
        equity += flow
        if equity <= 0:
            equity -= flow
            continue
        found = step(found, NOON + 60 * SECOND, equity, flow)
    after = measure(found, NOON + 100 * SECOND, equity)
    assert (after.nav, after.trailing, after.daily, after.static) == (
        before.nav,
        before.trailing,
        before.daily,
        before.static,
    )
    assert (after.absolute is None or after.absolute == before.absolute) and after.daily_loss == before.daily_loss


def test_a_mark_that_jumps_is_confirmed_by_the_next_quote_and_by_no_repetition_of_its_own() -> None:
    jump = D("0.03")

    def seen(before: dict[str, Seen], price: str, second: int) -> dict[str, Seen]:
        return confirm(before, {"BTC": (D(price), NOON + second * SECOND)}, jump)

    first = seen({}, "100", 0)
    assert not first["BTC"].confirmed
    assert not seen(first, "100", 0)["BTC"].confirmed
    known = seen(first, "100", 1)
    assert known["BTC"].confirmed
    assert seen(known, "103", 2)["BTC"].confirmed
    assert seen(known, "97", 2)["BTC"].confirmed
    assert not seen(known, "96.999999999999999999", 2)["BTC"].confirmed
    jumped = seen(known, "103.000000000000000001", 2)
    assert not jumped["BTC"].confirmed
    assert not seen(jumped, "103", 2)["BTC"].confirmed
    assert seen(jumped, "103", 3)["BTC"].confirmed
    # A single bad tick: the way back is a jump as well, and the next quote confirms it.
    back = seen(seen(known, "1000", 2), "100", 3)
    assert not back["BTC"].confirmed
    assert seen(back, "100", 4)["BTC"].confirmed
