"""The desk: what the index shows. Every list is capped, every query uses an index, their number is fixed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import Coalesce

from exchanges.connections import host_of
from exchanges.host_clock import MAX_AGE, MAX_SKEW_MS
from exchanges.models import Account, Balance, HostClock, HostPause, Mode, Quote, StreamState
from execution_project.back_office.bar import NOT_LIVE, TONE_OF_MODE, unknown_orders_of
from execution_project.back_office.equity_chart import EquityChart, read_charts
from execution_project.back_office.scopes import Scope
from execution_project.back_office.wording import age_of, capped_count
from execution_project.clusters import DEAF_AFTER_S
from execution_project.common import clock
from execution_project.common.chores import OVERDUE
from execution_project.common.models import Chore, Event, QueueBeat
from execution_project.common.money import plain
from execution_project.ticker import BEAT_NAME
from orders.break_overview import Overview, age_bucket_of, overview_of
from orders.break_rules import NEW, bucket_of
from orders.breaks import LISTED
from orders.canceling import working_orders
from orders.lifecycle import OrderStatus
from orders.models import Break, BreakStatus, Order
from positions.booking import fees_of
from positions.models import Fill, Position
from positions.warnings import standing_warnings
from risk.alerts import standing_alerts
from risk.inputs import MAX_BALANCE_AGE, MAX_QUOTE_AGE
from risk.models import Alert, State, TradingState

ROWS = 10
ACCOUNTS_SHOWN = 50
# A worker may be in a slow call while its beat waits; twice the time after which its parent calls a cluster deaf.
QUEUE_LATE = timedelta(seconds=2 * DEAF_AFTER_S)
TICKER_LATE = timedelta(seconds=10)
# A stream's state is written every two seconds.
STREAM_LATE = timedelta(seconds=10)
TROUBLE_WITHIN = timedelta(hours=1)
REFUSALS = ("order.denied", "replace.denied", "order.breach")
TONE_OF_STATE = {State.ACTIVE: "good", State.REDUCE_ONLY: "warning", State.HALTED: "danger"}


@dataclass(frozen=True, slots=True)
class StateLine:
    """One scope and what it lets through."""

    scope: Scope
    state: str
    tone: str
    latched: bool
    reason: str
    changed_by: str
    changed: str


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One account and how fresh its facts are."""

    id: int
    name: str
    exchange: str
    mode: str
    mode_tone: str
    books_open: bool
    blocked_by: str
    unknown: int
    balances: str
    balances_tone: str
    quotes: str
    quotes_tone: str
    clock: str
    clock_tone: str


@dataclass(frozen=True, slots=True)
class Beat:
    """One part of the engine and when it was last heard."""

    name: str
    heard: str
    tone: str
    words: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """A chore that failed or hangs, a pause of a host, books that a check found wrong."""

    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A denied order or replace, or a limit that facts went beyond."""

    at: datetime
    kind: str
    order_id: str
    codes: str
    detail: str
    actor: str


@dataclass(frozen=True, slots=True)
class FillLine:
    """One fill and its fees in words."""

    fill: Fill
    fees: str


@dataclass(frozen=True, slots=True)
class BreakLine:
    """One open break and the age that it has reached."""

    row: Break
    age: str


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything the index shows."""

    now: datetime
    states: list[StateLine]
    unknown: list[Order]
    working: list[Order]
    working_words: str
    positions: list[Position]
    fills: list[FillLine]
    accounts: list[AccountLine]
    beats: list[Beat]
    troubles: list[Trouble]
    refusals: list[Refusal]
    alerts: list[Alert]
    breaks: list[BreakLine]
    breaks_words: str
    breaks_overview: Overview
    equity: list[EquityChart]

    @property
    def oldest_break(self) -> str:
        """The age that the oldest open break has reached, empty without one."""
        oldest = self.breaks_overview.oldest_opened_at
        if oldest is None:
            return ""
        bucket = bucket_of(self.now - oldest)
        return "under 1m" if bucket == NEW else bucket

    @property
    def unknown_total(self) -> int:
        """Orders whose outcome is not known, of all accounts shown."""
        return sum(line.unknown for line in self.accounts)

    @property
    def late(self) -> list[Beat]:
        """Parts that were not heard in time."""
        return [beat for beat in self.beats if beat.tone == "danger"]


def read_desk() -> Desk:
    """Read it all; the number of queries does not depend on the number of rows."""
    now = clock.now()
    accounts = list(
        Account.objects.select_related("freshness")
        .annotate(unknown=Coalesce(unknown_orders_of("pk"), 0))
        .order_by("name")[:ACCOUNTS_SHOWN]
    )
    working = working_orders("global", "").exclude(status=OrderStatus.SUBMIT_UNKNOWN)
    unknown = Order.objects.filter(status=OrderStatus.SUBMIT_UNKNOWN).exclude(status__in=NOT_LIVE)
    breaks = Break.objects.filter(status__in=LISTED).exclude(status=BreakStatus.RESOLVED)
    return Desk(
        now=now,
        states=_states(accounts, now),
        unknown=_newest(unknown),
        working=_newest(working),
        working_words=capped_count(working.values("id"))[1],
        positions=list(
            Position.objects.exclude(net_quantity=0)
            .select_related("account", "instrument", "strategy")
            .order_by("-updated_at")[:ROWS]
        ),
        fills=[
            FillLine(fill, ", ".join(f"{plain(fee.amount)} {fee.asset}" for fee in fees_of(fill)))
            for fill in Fill.objects.select_related("account", "instrument").order_by("-id")[:ROWS]
        ],
        accounts=_account_lines(accounts, now),
        beats=_beats(now),
        troubles=_troubles(now),
        refusals=_refusals(),
        alerts=list(standing_alerts()[:ROWS]),
        breaks=[BreakLine(row, age_bucket_of(row)) for row in breaks.select_related("account").order_by("-id")[:ROWS]],
        breaks_overview=overview_of(breaks),
        breaks_words=capped_count(breaks.values("id"))[1],
        equity=read_charts(now),
    )


def _newest(orders: QuerySet[Order]) -> list[Order]:
    return list(orders.select_related("account", "instrument", "strategy").order_by("-id")[:ROWS])


def _states(accounts: Sequence[Account], now: datetime) -> list[StateLine]:
    """Everything first, then every scope that is not active, then the accounts."""
    rows = {(row.scope_kind, row.scope_key): row for row in TradingState.objects.exclude(state=State.ACTIVE)}
    named = {("global", ""), *(("account", account.name) for account in accounts)}
    ordered = [("global", ""), *sorted(set(rows) - named), *(("account", account.name) for account in accounts)]
    return [_state_line(Scope(kind, key), rows.get((kind, key)), now) for kind, key in ordered]


def _state_line(scope: Scope, row: TradingState | None, now: datetime) -> StateLine:
    if row is None:
        return StateLine(scope, State.ACTIVE.value, TONE_OF_STATE[State.ACTIVE], False, "", "", "")
    return StateLine(
        scope=scope,
        state=row.state.replace("_", " "),
        tone=TONE_OF_STATE[State(row.state)],
        latched=row.latched,
        reason=row.reason,
        changed_by=row.changed_by,
        changed=age_of(row.changed_at, now),
    )


def _tone(moment: datetime | None, now: datetime, limit: timedelta) -> str:
    return "good" if moment is not None and now - moment <= limit else "danger"


def _account_lines(accounts: Sequence[Account], now: datetime) -> list[AccountLine]:
    """Fresh means: fresh enough for the gate."""
    balances = dict(
        Balance.objects.filter(account__in=accounts).values_list("account").annotate(newest=Max("as_of")).order_by()
    )
    quotes = {
        (exchange, mode): newest
        for exchange, mode, newest in Quote.objects.values_list("instrument__exchange", "instrument__mode")
        .annotate(newest=Max("confirmed_at"))
        .order_by()
    }
    clocks = HostClock.objects.in_bulk([host_of(account) for account in accounts])
    lines = []
    for account in accounts:
        balance, quote = balances.get(account.pk), quotes.get((account.exchange, account.mode))
        sample = clocks.get(host_of(account))
        fit = sample is not None and abs(sample.offset_ms) <= MAX_SKEW_MS + sample.round_trip_ms // 2
        lines.append(
            AccountLine(
                id=account.pk,
                name=account.name,
                exchange=account.get_exchange_display(),
                mode=account.mode,
                mode_tone=TONE_OF_MODE[Mode(account.mode)],
                books_open=account.books_opened_at is not None,
                blocked_by=account.freshness.blocked_by if hasattr(account, "freshness") else "",
                unknown=account.unknown,  # type: ignore[attr-defined]  # annotated above
                balances=age_of(balance, now),
                balances_tone=_tone(balance, now, MAX_BALANCE_AGE),
                quotes=age_of(quote, now),
                quotes_tone=_tone(quote, now, MAX_QUOTE_AGE),
                clock="no sample" if sample is None else f"{sample.offset_ms:+d} ms",
                clock_tone=_tone(None if sample is None or not fit else sample.sampled_at, now, MAX_AGE),
            )
        )
    return lines


def _beats(now: datetime) -> list[Beat]:
    """The ticker and every queue, also those that never beat; and the streams."""
    rows = QueueBeat.objects.in_bulk([BEAT_NAME, *settings.EXEC_QUEUES])
    beats = []
    for name in [BEAT_NAME, *settings.EXEC_QUEUES]:
        row = rows.get(name)
        heard = None if row is None else row.beaten_at
        tone = _tone(heard, now, TICKER_LATE if name == BEAT_NAME else QUEUE_LATE)
        beats.append(Beat(name, age_of(heard, now), tone, "answers" if tone == "good" else "does not answer"))
    for stream in StreamState.objects.order_by("kind", "subject")[:ACCOUNTS_SHOWN]:
        tone = _tone(stream.written_at if stream.connected_since else None, now, STREAM_LATE)
        words = "connected" if tone == "good" else "not connected"
        beats.append(Beat(f"{stream.kind} {stream.subject}", age_of(stream.last_message_at, now), tone, words))
    return beats


def _troubles(now: datetime) -> list[Trouble]:
    """Hosts that we keep away from, chores that failed or hang, books that differ or hold too much unexplained."""
    hangs = Q(rung_at__lt=now - OVERDUE) & (Q(finished_at__isnull=True) | Q(finished_at__lt=F("rung_at")))
    chores = Chore.objects.filter(~Q(error="") | hangs, rung_at__gt=now - TROUBLE_WITHIN).order_by("-rung_at")[:ROWS]
    pauses = HostPause.objects.filter(until__gt=now).order_by("until")[:ROWS]
    return [
        *(
            Trouble(
                pause.host, f"{'Banned' if pause.banned else 'Paused'} until {pause.until:%H:%M:%S}: {pause.reason}"
            )
            for pause in pauses
        ),
        *(
            Trouble(chore.name, chore.error or f"No answer since {age_of(chore.rung_at, now)}; rung again.")
            for chore in chores
        ),
        *(
            Trouble(warned.account, f"{warned.says} Found {age_of(warned.at, now)} ago.")
            for warned in standing_warnings(limit=ROWS)
        ),
    ]


def _refusals() -> list[Refusal]:
    """The last events of each kind by the index on (kind, id); their orders in one query."""
    newest = [Event.objects.filter(kind=kind).order_by("-id")[:ROWS] for kind in REFUSALS]
    events = sorted(newest[0].union(*newest[1:], all=True), key=lambda event: event.id, reverse=True)[:ROWS]
    orders = Order.objects.in_bulk([event.subject_id for event in events if event.kind == "order.denied"])
    details = {str(order_id): order.detail for order_id, order in orders.items()}
    return [
        Refusal(
            at=event.at,
            kind=event.kind.replace(".", " "),
            order_id=event.subject_id,
            codes=", ".join(event.evidence.get("breaches", [])) or event.evidence.get("breach", ""),
            detail=details.get(event.subject_id, ""),
            actor=event.actor,
        )
        for event in events
    ]
