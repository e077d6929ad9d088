"""The equity of each mode on the desk: a line for the last day with its high-water mark, and the same in words.

Drawn here as an SVG without script or style of its own: the page's policy allows neither from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.conf import settings
from django.db import connection

from exchanges.models import Mode
from execution_project.back_office.bar import TONE_OF_MODE
from execution_project.back_office.wording import age_of, age_words
from positions.models import EquityScope, EquitySeries

SPAN = timedelta(days=1)
STEPS = 96
WIDTH, HEIGHT, MARGIN = 600, 120, 6
# A valuation is due every five seconds.
LATE = timedelta(seconds=30)

# The last point of every step: a quarter of an hour of a whole day, less where the curve is younger than that.
_POINTS = """
SELECT DISTINCT ON (p.series_id, date_bin(f.step, p.at, 'epoch')) p.series_id, p.at, p.equity, p.hwm_equity
FROM unnest(%(series)s::bigint[]) AS s(id)
CROSS JOIN LATERAL (
  SELECT make_interval(secs => greatest(1, extract(epoch FROM %(now)s - min(o.at)) / %(steps)s)::float8) AS step
    FROM positions_equitypoint o WHERE o.series_id = s.id AND o.at >= %(since)s) f
JOIN positions_equitypoint p ON p.series_id = s.id AND p.at >= %(since)s
ORDER BY p.series_id, date_bin(f.step, p.at, 'epoch'), p.at DESC, p.id DESC
"""


@dataclass(frozen=True, slots=True)
class Point:
    """Equity and its high-water mark at a moment; equity is None where a mark was missing."""

    at: datetime
    equity: Decimal | None
    high: Decimal | None


@dataclass(frozen=True, slots=True)
class EquityChart:
    """One mode: what there is to say, and two lines as path data; empty where there is nothing to draw."""

    mode: str
    mode_tone: str
    equity: str
    trouble: str
    drawdown: str
    high: str
    loss_today: str
    line: str
    high_line: str
    top: str
    bottom: str
    since: str
    spoken: str


def read_charts(now: datetime) -> list[EquityChart]:
    """A chart for every mode that has been valued; two queries, whatever there is."""
    rows = EquitySeries.objects.filter(scope=EquityScope.GLOBAL, currency=settings.EXEC_REPORTING_CURRENCY)
    series = {row.pk: row for row in sorted(rows, key=lambda row: Mode.values.index(row.mode))}
    points: dict[int, list[Point]] = {key: [] for key in series}
    with connection.cursor() as cursor:
        cursor.execute(_POINTS, {"series": list(series), "since": now - SPAN, "now": now, "steps": STEPS})
        for key, *values in cursor.fetchall():
            points[key].append(Point(*values))
    return [_chart(row, points[key], now) for key, row in series.items()]


def _chart(row: EquitySeries, points: Sequence[Point], now: datetime) -> EquityChart:
    span = _span(points, now)
    line, high_line, low, top = draw(points, now, span)
    equity = "equity not known" if row.last_equity is None else f"{_money(row.last_equity)} {row.currency}"
    trailing, loss = row.last_drawdown, row.last_daily_loss
    spoken = f"Equity of mode {row.mode} over the last {age_words(span)}: {equity} now"
    if low is not None and top is not None:
        spoken += f", between {_money(low)} and {_money(top)} with its high-water mark"
    return EquityChart(
        mode=row.mode,
        mode_tone=TONE_OF_MODE[Mode(row.mode)],
        equity=equity,
        trouble=_trouble(row, now),
        drawdown="not known" if trailing is None else f"{_percent(trailing)} %",
        high="none yet" if row.hwm_equity is None else _money(row.hwm_equity),
        loss_today="not known" if loss is None else _money(-loss, signed=True),
        line=line,
        high_line=high_line,
        top="" if top is None else _money(top),
        bottom="" if low is None else _money(low),
        since=age_words(span),
        spoken=f"{spoken}.",
    )


def _trouble(row: EquitySeries, now: datetime) -> str:
    if row.last_missing:
        known = (
            f" Last known {age_of(row.at, now)} ago: {_money(row.equity)} {row.currency}."
            if row.equity is not None
            else ""
        )
        return f"Without a mark or a cost: {', '.join(row.last_missing[:5])}.{known}"
    if row.last_at is None or now - row.last_at > LATE:
        return f"Not valued since {age_of(row.last_at, now)}: is the ticker running?"
    return ""


def _span(points: Sequence[Point], now: datetime) -> timedelta:
    """How far back the picture reaches: a day, or to the first point of a younger curve."""
    if not points or now - points[0].at >= SPAN - SPAN / STEPS:
        return SPAN
    return max(now - points[0].at, timedelta(seconds=STEPS))


def draw(
    points: Sequence[Point], now: datetime, span: timedelta = SPAN
) -> tuple[str, str, Decimal | None, Decimal | None]:
    """Path data of equity and of its high-water mark over ``span`` up to ``now``, and the lowest and highest value.

    A missing equity leaves a gap; a single point is drawn as a short stroke.
    """
    values = [value for point in points for value in (point.equity, point.high) if value is not None]
    if not values:
        return "", "", None, None
    low, top = min(values), max(values)

    def path(chosen: Sequence[Decimal | None]) -> str:
        words, drawing = [], False
        for point, value in zip(points, chosen, strict=True):
            if value is None:
                drawing = False
                continue
            x, y = _x(point.at, now, span), _y(value, low, top)
            words.append(f"L{x} {y}" if drawing else f"M{x} {y}h1")
            drawing = True
        return "".join(words)

    return path([point.equity for point in points]), path([point.high for point in points]), low, top


def _x(at: datetime, now: datetime, span: timedelta) -> str:
    share = Decimal((at - (now - span)) // timedelta(seconds=1)) / Decimal(span // timedelta(seconds=1))
    return _coordinate(share * WIDTH)


def _y(value: Decimal, low: Decimal, top: Decimal) -> str:
    share = Decimal("0.5") if top == low else (top - value) / (top - low)
    return _coordinate(MARGIN + share * (HEIGHT - 2 * MARGIN))


def _coordinate(value: Decimal) -> str:
    return str(value.quantize(Decimal("0.1"), ROUND_HALF_UP))


def _money(value: Decimal | None, *, signed: bool = False) -> str:
    return "–" if value is None else format(value.quantize(Decimal("0.01"), ROUND_HALF_UP), "+,f" if signed else ",f")


def _percent(fraction: Decimal) -> str:
    return str((fraction * 100).quantize(Decimal("0.01"), ROUND_HALF_UP))
