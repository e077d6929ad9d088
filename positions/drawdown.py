"""Pure arithmetic of equity over time: unitised NAV, high-water marks, drawdown and daily loss. No database, no clock.

NAV is what one unit is worth. Deposits and withdrawals issue and redeem units at the NAV before them, so they move
equity and not NAV. Units are never stored: NAV is ``basis_nav`` × equity / ``basis_equity``, where the basis is NAV and
equity right after the last flow. That is the same number as equity / units, and exact at unchanged prices, because
no rounded number of units stands between.

The variants (docs/risk-controls.md §6), each with the reference point that it falls from:

- trailing: the highest NAV ever; - daily: the highest NAV since 00:00 UTC, the day's first included;
- static: the opening NAV; - absolute, in the reporting currency: the highest equity, moved by every flow since;
- daily loss, in the reporting currency: equity as the day began plus its flows, less equity; a gain is negative.

Fractions are of the reference point, never of the current NAV. What cannot be known is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, round_down, round_up

OPENING_NAV = Decimal(1)
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Curve:
    """What a series remembers between valuations: of the last one whose marks were confirmed.

    Money in the reporting currency. Empty until the first confirmed valuation with positive equity opens it.
    """

    at: datetime | None = None
    equity: Decimal | None = None
    nav: Decimal | None = None
    basis_nav: Decimal | None = None
    basis_equity: Decimal | None = None
    opening_nav: Decimal | None = None
    hwm_nav: Decimal | None = None
    hwm_equity: Decimal | None = None
    day: date | None = None
    day_began_at: datetime | None = None
    day_equity: Decimal | None = None
    day_flows: Decimal = ZERO
    day_high_nav: Decimal | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a NAV to measure against."""
        return self.opening_nav is not None

    @property
    def units(self) -> Decimal | None:
        """How many units are out, rounded down to 18 decimals; None before the opening and after a total loss."""
        if self.basis_nav is None or self.basis_equity is None or self.basis_nav <= 0:
            return None
        with localcontext(CONTEXT):
            return round_down(self.basis_equity / self.basis_nav)


@dataclass(frozen=True, slots=True)
class Measured:
    """NAV and every drawdown of one valuation; None: unknown. Fractions from 0 (at the reference) to 1 and beyond."""

    nav: Decimal | None = None
    trailing: Decimal | None = None
    daily: Decimal | None = None
    static: Decimal | None = None
    absolute: Decimal | None = None
    daily_loss: Decimal | None = None


def roll(curve: Curve, at: datetime) -> Curve:
    """The curve on the day (UTC) of ``at``: a new day begins with what was last known before midnight.

    So days join without a gap: what is lost while nothing is valued counts for the day on which it is seen.
    """
    day = at.astimezone(UTC).date()
    if not curve.is_open or (curve.day is not None and day <= curve.day):
        return curve
    return replace(
        curve,
        day=day,
        day_began_at=curve.at,
        day_equity=curve.equity,
        day_flows=ZERO,
        day_high_nav=curve.nav,
    )


def nav_of(curve: Curve, equity: Decimal, flows: Decimal) -> Decimal | None:
    """NAV at this equity, of which ``flows`` came in since the curve's last valuation; rounded down to 18 decimals.

    Without units (everything was withdrawn) NAV stands where it was. After a total loss it is unknown: no unit can be
    issued at a NAV that is not positive.
    """
    if curve.basis_nav is None or curve.basis_equity is None or curve.basis_nav <= 0:
        return None
    if curve.basis_equity <= 0:
        return curve.basis_nav
    with localcontext(CONTEXT):
        return round_down(curve.basis_nav * (equity - flows) / curve.basis_equity)


def step(
    curve: Curve, at: datetime, equity: Decimal, flows: Decimal = ZERO, *, capital: Decimal | None = None
) -> Curve:
    """The curve after a complete valuation with confirmed marks; ``flows``: net value that came in since the last one,
    at this valuation's marks.

    ``capital``: what a curve that is not open yet begins with instead of its equity, where positive: a loss that was
    made before the first valuation is seen by it.
    """
    if not curve.is_open:
        if capital is not None and capital > 0:
            return step(_opened(at, capital), at, equity)
        return _opened(at, equity) if equity > 0 else curve
    curve = roll(curve, at)
    nav = nav_of(curve, equity, flows)
    with localcontext(CONTEXT):
        hwm_equity = None if curve.hwm_equity is None else curve.hwm_equity + flows
        day_flows = curve.day_flows + flows
    basis_nav, basis_equity = curve.basis_nav, curve.basis_equity
    if flows != 0:
        basis_nav, basis_equity = nav, equity
    return replace(
        curve,
        at=at,
        equity=equity,
        nav=nav,
        basis_nav=basis_nav,
        basis_equity=basis_equity,
        hwm_nav=_higher(curve.hwm_nav, nav),
        hwm_equity=_higher(hwm_equity, equity),
        day_flows=day_flows,
        day_high_nav=_higher(curve.day_high_nav, nav),
    )


def measure(curve: Curve, at: datetime, equity: Decimal, flows: Decimal = ZERO) -> Measured:
    """NAV and drawdowns at this equity against the curve, without moving it; ``flows`` as in ``step``."""
    if not curve.is_open:
        return Measured()
    curve = roll(curve, at)
    nav = nav_of(curve, equity, flows)
    with localcontext(CONTEXT):
        loss = None if curve.day_equity is None else curve.day_equity + curve.day_flows + flows - equity
        mark = None if curve.hwm_equity is None else curve.hwm_equity + flows
        absolute = None if mark is None or mark <= 0 else max(ZERO, mark - equity)
    return Measured(
        nav=nav,
        trailing=fall(curve.hwm_nav, nav),
        daily=fall(curve.day_high_nav, nav),
        static=fall(curve.opening_nav, nav),
        absolute=absolute,
        daily_loss=loss,
    )


def fall(reference: Decimal | None, nav: Decimal | None) -> Decimal | None:
    """(reference − NAV) / reference, not below 0, rounded up to 18 decimals; None when the reference is not positive or
    either is unknown."""
    if reference is None or nav is None or reference <= 0:
        return None
    with localcontext(CONTEXT):
        return max(ZERO, round_up((reference - nav) / reference))


@dataclass(frozen=True, slots=True)
class Seen:
    """A mark as a series saw it last: its price, the time of its quote, and whether it may set a high-water mark."""

    price: Decimal
    at: datetime
    confirmed: bool


def confirm(before: Mapping[str, Seen], now: Mapping[str, tuple[Decimal, datetime]], jump: Decimal) -> dict[str, Seen]:
    """These marks, (price, time of the quote) by name, held against those seen before.

    A mark that was never seen, or that moved by more than the fraction ``jump``, is not confirmed: one bad tick would
    lift the high-water mark for good. The next quote confirms it by being near; the same quote again does not.
    """
    seen = {}
    for name, (price, at) in now.items():
        last = before.get(name)
        with localcontext(CONTEXT):
            near = last is not None and abs(price - last.price) <= jump * last.price
        seen[name] = Seen(price, at, last is not None and near and (last.confirmed or at > last.at))
    return seen


def _opened(at: datetime, equity: Decimal) -> Curve:
    return Curve(
        at=at,
        equity=equity,
        nav=OPENING_NAV,
        basis_nav=OPENING_NAV,
        basis_equity=equity,
        opening_nav=OPENING_NAV,
        hwm_nav=OPENING_NAV,
        hwm_equity=equity,
        day=at.astimezone(UTC).date(),
        day_began_at=at,
        day_equity=equity,
        day_high_nav=OPENING_NAV,
    )


def _higher(known: Decimal | None, value: Decimal | None) -> Decimal | None:
    if known is None or value is None:
        return known
    return max(known, value)
