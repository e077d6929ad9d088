"""The series of equity: every scope valued on the ticker, its high-water marks, and the points that are drawn.

A mode is valued as a whole, so that all its scopes rest on the same holdings and the same marks: every five seconds,
and within a second after the ledger grew. Points that say nothing new are not written more than once a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import connection, transaction

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.clock import rfc3339
from execution_project.common.locking import one_at_a_time
from execution_project.common.money import plain
from execution_project.common.writing import insert_new
from positions.drawdown import Curve, Measured, Seen, confirm, measure, step
from positions.marks import Rate
from positions.models import EquityPoint, EquityScope, EquitySeries, LedgerEntry, Valuation
from positions.valuation import (
    CAPITAL_KEY,
    Key,
    Stock,
    Value,
    looked_for,
    mark,
    moved_between,
    read_books,
    value,
    value_by_postings,
    value_of_flows,
)

ZERO = Decimal(0)
VALUED_EVERY = timedelta(seconds=5)
VALUED_AFTER_A_FACT = timedelta(seconds=1)
KEPT_EVERY = timedelta(minutes=1)
# The ticker's own step is a little more than 0.1 s: a period that is due now must not wait for another one.
SLACK = timedelta(milliseconds=200)
POINTS_KEPT = timedelta(days=8)
_CURVE = tuple(field.name for field in fields(Curve))
_STORED = (
    *_CURVE,
    *("currency", "hwm_at", "hwm_valuation", "flow_totals", "marks", "ledger_id"),
    *("last_at", "last_equity", "last_drawdown", "last_daily_loss", "last_missing", "last_kept_at"),
)

# The last point of each minute takes over the extremes of the others, which go.
_THIN = """
WITH old AS (
    SELECT id, row_number() OVER (PARTITION BY date_trunc('minute', at) ORDER BY at DESC, id DESC) AS place,
    min(low_equity) OVER minute AS low_equity, max(high_equity) OVER minute AS high_equity,
    min(low_nav) OVER minute AS low_nav, max(high_nav) OVER minute AS high_nav
    FROM positions_equitypoint WHERE series_id = %(series)s AND at >= %(since)s AND at < %(until)s
    WINDOW minute AS (PARTITION BY date_trunc('minute', at))
), kept AS (
    UPDATE positions_equitypoint p SET low_equity = old.low_equity, high_equity = old.high_equity,
    low_nav = old.low_nav, high_nav = old.high_nav FROM old WHERE p.id = old.id AND old.place = 1
)
DELETE FROM positions_equitypoint p USING old WHERE p.id = old.id AND old.place > 1
"""


def value_what_is_due() -> int:
    """Value every mode whose time has come; returns how many scopes were valued. Called by the ticker."""
    now = clock.now()
    newest = LedgerEntry.objects.order_by("-id").values_list("id", flat=True).first() or 0
    series = EquitySeries.objects.filter(scope=EquityScope.GLOBAL, currency=settings.EXEC_REPORTING_CURRENCY)
    valued = {row.mode: row for row in series.only("mode", "last_at", "ledger_id")}
    count = 0
    for mode in _modes():
        row = valued.get(mode)
        period = VALUED_AFTER_A_FACT if row is None or row.ledger_id != newest else VALUED_EVERY
        # A stamp of the future is of a clock that ran ahead.
        if row is None or row.last_at is None or not timedelta(0) <= now - row.last_at < period - SLACK:
            count += value_mode(mode)
    return count


def value_mode(mode: str) -> int:
    """Value all scopes of a mode now and store what it comes to, in one transaction; returns how many scopes."""
    with transaction.atomic():
        one_at_a_time(f"equity:{mode}")
        now = clock.now()
        books = read_books(mode)
        known = _series_of(mode)
        new = [_new_series(mode, scope, owner) for scope, owner, _ in books.stocks() if (scope, owner) not in known]
        if new:
            insert_new(new)
            known = _series_of(mode)
        stocks = [(known[scope, owner], stock) for scope, owner, stock in books.stocks()]
        marks = mark(mode, books.keys(), now)
        rounds = [_Round(row, stock, marks, now) for row, stock in stocks]
        Valuation.objects.bulk_create([one.kept for one in rounds if one.kept is not None])
        EquityPoint.objects.bulk_create([one.point for one in rounds if one.point is not None])
        for one in rounds:
            one.row.ledger_id = books.ledger_id
        EquitySeries.objects.bulk_update([one.row for one in rounds], _STORED)
    return len(rounds)


def _series_of(mode: str) -> dict[tuple[str, int | None], EquitySeries]:
    rows = EquitySeries.objects.filter(mode=mode, currency=settings.EXEC_REPORTING_CURRENCY)
    rows = rows.select_related("account", "strategy")
    return {(row.scope, row.account_id or row.strategy_id): row for row in rows}


def _new_series(mode: str, scope: str, owner: int | None) -> EquitySeries:
    return EquitySeries(
        scope=scope,
        mode=mode,
        currency=settings.EXEC_REPORTING_CURRENCY,
        account_id=owner if scope == EquityScope.ACCOUNT else None,
        strategy_id=owner if scope == EquityScope.STRATEGY else None,
    )


def curve_of(row: EquitySeries) -> Curve:
    """What the series remembers, as a value."""
    return Curve(**{name: getattr(row, name) for name in _CURVE})


@dataclass(frozen=True, slots=True)
class Standing:
    """One scope valued now, and how it stands against its series; nothing of it is stored."""

    scope: str
    owner_id: int | None
    name: str
    mode: str
    currency: str
    value: Value
    measured: Measured
    hwm_nav: Decimal | None


def stand_now() -> list[Standing]:
    """Every scope of every mode with open books, valued now."""
    now, found = clock.now(), []
    for mode in _modes():
        known, books = _series_of(mode), read_books(mode)
        marks = mark(mode, books.keys(), now)
        for scope, owner, stock in books.stocks():
            row = known.get((scope, owner)) or _new_series(mode, scope, owner)
            valued, flows, _ = _valued(row, stock, marks)
            measured = Measured() if valued.equity is None else measure(curve_of(row), now, valued.equity, flows)
            found.append(Standing(scope, owner, row.name, mode, row.currency, valued, measured, row.hwm_nav))
    return found


def _modes() -> list[str]:
    return sorted(Account.objects.filter(books_opened_at__isnull=False).values_list("mode", flat=True).distinct())


def _valued(row: EquitySeries, stock: Stock, marks: Mapping[Key, Rate]) -> tuple[Value, Decimal, list[str]]:
    """The stock's value, what came in since the series' last one, and words on what of it had no mark.

    An asset that is held needs its mark, and what flowed of it too. One that came and is gone again must not blind the
    series for ever: it counts at what was booked for it, and if no rate is looked for any more, as nothing. Before the
    curve opens there is nothing that a flow could move.
    """
    valued = value(stock, marks)
    if not curve_of(row).is_open:
        return valued, ZERO, []
    moved = moved_between(_totals(row), stock.flows)
    known: dict[Key, Decimal] = {}
    words = []
    for key, amount in moved.items():
        if key in marks or key == CAPITAL_KEY or stock.amounts.get(key):
            continue
        booked = value_by_postings(key, amount, mode=row.mode, account_id=row.account_id, currency=row.currency)
        if booked is None and looked_for(key, row.mode):
            continue
        known[key] = ZERO if booked is None else booked
        words.append("flow_unvalued" if booked is None else "flow_as_booked")
    flows, missing = value_of_flows(moved, marks, known)
    if flows is None:
        return Value(valued.lines, tuple(sorted({*valued.missing, *missing})), None), ZERO, []
    return valued, flows, sorted(set(words))


def _totals(row: EquitySeries) -> dict[Key, Decimal]:
    totals = {}
    for name, amount in row.flow_totals.items():
        exchange, _, asset = name.partition(":")
        totals[exchange, asset] = Decimal(amount)
    return totals


class _Round:
    """One valuation of one series: moves the row, and makes the point and the fact that are to be stored, if any."""

    def __init__(self, row: EquitySeries, stock: Stock, marks: Mapping[Key, Rate], now: datetime) -> None:
        self.row = row
        self.kept: Valuation | None = None
        self.point: EquityPoint | None = None
        value_, flows, words = _valued(row, stock, marks)
        before = curve_of(row)
        seen = self._confirm(value_, stock, marks)
        doubtful = sorted(name for name, mark_ in seen.items() if not mark_.confirmed)
        reasons = []
        measured, after = Measured(), before
        if value_.equity is not None:
            measured = measure(before, now, value_.equity, flows)
            if not doubtful:
                after = step(before, now, value_.equity, flows, capital=stock.flows.get(CAPITAL_KEY))
                if flows and before.is_open:
                    reasons.append("flow")
                reasons += words
                row.flow_totals = {
                    f"{e}:{a}": plain(amount) for (e, a), amount in sorted(stock.flows.items()) if amount
                }
        if after.is_open and not before.is_open:
            measured = measure(after, now, after.equity if after.equity is not None else Decimal(0))
            reasons.append("opening")
        if (after.hwm_nav, after.hwm_equity) != (before.hwm_nav, before.hwm_equity) and "flow" not in reasons:
            reasons.append("high")
        if after.day != before.day:
            reasons.append("day")
        if list(value_.missing) != row.last_missing or row.last_at is None:
            reasons.append("missing" if value_.missing else "complete")
        if row.last_kept_at is None or not timedelta(0) <= now - row.last_kept_at < KEPT_EVERY - SLACK:
            reasons.append("minute")
        for name in _CURVE:
            setattr(row, name, getattr(after, name))
        changed = value_.equity != row.last_equity or bool(flows)
        if reasons:
            self.kept = self._fact(value_, flows, measured, doubtful, now, reasons)
            row.last_kept_at = now
            if after.hwm_nav != before.hwm_nav:
                row.hwm_at, row.hwm_valuation = now, self.kept
        if reasons or changed:
            self.point = self._point(value_, measured, doubtful, now)
        row.last_at, row.last_equity, row.last_missing = now, value_.equity, list(value_.missing)
        row.last_drawdown, row.last_daily_loss = measured.trailing, measured.daily_loss

    def _confirm(self, valued: Value, stock: Stock, marks: Mapping[Key, Rate]) -> dict[str, Seen]:
        """Hold the marks that count, of what is held or came in, against those of the last round, and remember them.

        The currency itself is certain.
        """
        before_flows = _totals(self.row)
        keys = {(line.exchange, line.asset) for line in valued.lines}
        keys |= {key for key, amount in stock.flows.items() if amount != before_flows.get(key, 0)}
        now = {
            f"{exchange}:{asset}": (rate.price, rate.at)
            for exchange, asset in keys
            if (rate := marks.get((exchange, asset))) is not None and rate.path
        }
        before = {
            name: Seen(Decimal(price), datetime.fromisoformat(at), confirmed)
            for name, (price, at, confirmed) in self.row.marks.items()
        }
        seen = confirm(before, now, Decimal(settings.EXEC_MARK_JUMP) / 100)
        self.row.marks = {
            name: [plain(mark_.price), rfc3339(mark_.at), mark_.confirmed] for name, mark_ in {**before, **seen}.items()
        }
        return seen

    def _fact(
        self,
        valued: Value,
        flows: Decimal,
        measured: Measured,
        doubtful: list[str],
        now: datetime,
        reasons: list[str],
    ) -> Valuation:
        return Valuation(
            series=self.row,
            at=now,
            currency=self.row.currency,
            equity=valued.equity,
            flows=None if valued.equity is None else flows,
            nav=measured.nav,
            hwm_nav=self.row.hwm_nav,
            hwm_equity=self.row.hwm_equity,
            missing=list(valued.missing),
            unconfirmed=doubtful,
            marks=[line.document() for line in valued.lines],
            why=" ".join(reasons),
        )

    def _point(self, valued: Value, measured: Measured, doubtful: list[str], now: datetime) -> EquityPoint:
        return EquityPoint(
            series=self.row,
            at=now,
            equity=valued.equity,
            low_equity=valued.equity,
            high_equity=valued.equity,
            nav=measured.nav,
            low_nav=measured.nav,
            high_nav=measured.nav,
            hwm_nav=self.row.hwm_nav,
            hwm_equity=self.row.hwm_equity,
            drawdown_trailing=measured.trailing,
            drawdown_daily=measured.daily,
            drawdown_static=measured.static,
            drawdown_absolute=measured.absolute,
            daily_loss=measured.daily_loss,
            missing=list(valued.missing),
            confirmed=not doubtful,
            valuation=self.kept,
        )


def thin_points() -> int:
    """Keep one point a minute of what is older than eight days, with its extremes; returns how many went.

    Goes a day of each series at a time; the ticker calls it again.
    """
    limit = (clock.now() - POINTS_KEPT).replace(second=0, microsecond=0)
    deleted = 0
    for row in EquitySeries.objects.order_by("id"):
        oldest = EquityPoint.objects.filter(series=row).order_by("at").values_list("at", flat=True)
        since = row.thinned_to or oldest.first()
        if since is None or since >= limit:
            continue
        since = since.replace(second=0, microsecond=0)
        until = min(since + timedelta(days=1), limit)
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_THIN, {"series": row.pk, "since": since, "until": until})
                deleted += cursor.rowcount
            EquitySeries.objects.filter(pk=row.pk).update(thinned_to=until)
    return deleted
