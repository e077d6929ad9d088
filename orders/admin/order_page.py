"""One order's page: head, timeline, exchange orders, commands with attempts, fills, decisions, reservation.

However many fills and events an order has, the page reads a bounded number of rows in a bounded number of queries and
links to the lists for the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html

from execution_project.common.admin_values import (
    NONE,
    Facts,
    Section,
    Table,
    amount,
    anchor,
    badge,
    code,
    folded,
    joined,
    link,
    link_to,
    moment,
    short_id,
    wrapping,
    yes_no,
)
from execution_project.common.models import Event
from execution_project.common.money import plain
from orders.absence import Judged, judged_by_the_last
from orders.effect import effect_of
from orders.models import AbsenceEvidence, Attempt, Command, ExchangeOrder, Order
from positions.models import Fill
from risk.models import Decision, Reservation

FILLS_SHOWN = 50
TIMELINE_CAP = 200
ROWS_CAP = 100


def what(order: Order) -> str:
    """Side, quantity and type in one line."""
    size = order.quantity if order.quantity is not None else order.quote_quantity
    unit = "" if order.quantity is not None else f" {order.instrument.quote_asset}"
    return joined([badge(order.side), f"{amount(size)}{unit}", order.type.replace("_", " ")])


def status_badge(order: Order) -> str:
    """The status; of a settled order also how it ended."""
    if order.status == "settled":
        return badge(f"settled, {order.ended_as}", "green" if order.ended_as == "filled" else "gray")
    return badge(order.status)


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened to an order."""

    at: datetime
    rank: int
    kind: str
    title: str
    detail: str = ""
    actor: str = ""
    cause: str = ""
    evidence: str = ""
    bad: bool = False

    @property
    def when(self) -> str:
        """Its time."""
        return moment(self.at)

    @property
    def css(self) -> str:
        """The mark on the line."""
        return f"x-is-{self.kind}{' x-is-bad' if self.bad else ''}"


def context(order: Order) -> dict[str, Any]:
    """Everything that the page's template shows."""
    rows = list(order.exchange_orders.order_by("generation")[:ROWS_CAP])
    commands = list(order.commands.order_by("-id")[:ROWS_CAP])[::-1]
    attempts = list(Attempt.objects.filter(command__in=commands).order_by("-id")[:ROWS_CAP])[::-1]
    fills = list(Fill.objects.filter(order_id=order.id).select_related("account").order_by("-id")[: FILLS_SHOWN + 1])
    decisions = list(Decision.objects.filter(order_id=order.id).order_by("-id")[:20])
    reservations = list(Reservation.objects.filter(order_id=order.id).order_by("exchange_order_id")[:ROWS_CAP])
    rounds = list(order.absence_rounds.order_by("-id")[:ROWS_CAP])[::-1]
    subjects = {"order": [str(order.id)], "command": [str(command.id) for command in commands]}
    events = [event for kind, keys in subjects.items() for event in _events(kind, keys)]
    moments, more = _timeline(events, attempts, fills[:FILLS_SHOWN], rounds, commands)
    total = _total(order)
    provisional = sum((_unbooked(row) for row in rows), Decimal(0))
    return {
        "heading": f"{order.side} {_size(order)} ({order.instrument.symbol})",
        "badges": [
            status_badge(order),
            badge(order.account.mode),
            *([badge("reduce only", "blue")] * order.reduce_only),
        ],
        "subject": _subject(order),
        "progress": _progress(order, total, provisional),
        "why": " ".join(filter(None, [order.reason, order.detail])),
        "filled_share": _share(order, total),
        "timeline": moments,
        "timeline_more": _list_link("common_event", str(order.id), "all events of this order") if more else "",
        "sections": _sections(order, rows, commands, attempts, fills, decisions, reservations, rounds),
    }


def _events(kind: str, keys: Sequence[str]) -> Iterable[Event]:
    return Event.objects.filter(subject_type=kind, subject_id__in=keys).order_by("-id")[: TIMELINE_CAP + 1]


def _size(order: Order) -> str:
    if order.quantity is not None:
        return f"{plain(order.quantity)} {order.instrument.base_asset}"
    return f"for {amount(order.quote_quantity)} {order.instrument.quote_asset}"


def _total(order: Order) -> Decimal:
    """The whole quantity, in base or, for orders sized in quote, in quote."""
    return Decimal((order.quantity if order.quantity is not None else order.quote_quantity) or 0)


def _share(order: Order, total: Decimal) -> int:
    done = order.filled_quantity if order.quantity is not None else order.filled_quote
    return max(0, min(100, int(done * 100 / total))) if total else 0


def _unbooked(row: ExchangeOrder) -> Decimal:
    unbooked: Decimal = row.cumulative_quantity - row.booked_quantity
    return max(Decimal(0), unbooked)


def _subject(order: Order) -> str:
    price = "" if order.price is None else f" at {amount(order.price, order.instrument.quote_asset)}"
    stop = "" if order.stop_price is None else f", stop {amount(order.stop_price)}"
    return format_html(
        "{}{}{} on {} ({}), asked by {}",
        *(order.type.replace("_", " "), price, stop, link_to(order.account), order.account.get_exchange_display()),
        order.created_by,
    )


def _progress(order: Order, total: Decimal, provisional: Decimal) -> str:
    base, quote_asset = order.instrument.base_asset, order.instrument.quote_asset
    if order.quantity is not None:
        filled = f"{amount(order.filled_quantity)} of {amount(total)} {base} filled"
    else:
        filled = f"{amount(order.filled_quote)} of {amount(total)} {quote_asset}, {amount(order.filled_quantity, base)}"
    if order.average_price is not None:
        filled += f" at {amount(order.average_price)} on average"
    if provisional:
        filled += f"; {amount(provisional, base)} reported and not booked yet"
    return filled


def _list_link(model: str, text: str, label: str) -> str:
    return anchor(f"{reverse(f'admin:{model}_changelist')}?q={quote(text)}", label)


def _sections(
    order: Order,
    rows: Sequence[ExchangeOrder],
    commands: Sequence[Command],
    attempts: Sequence[Attempt],
    fills: Sequence[Fill],
    decisions: Sequence[Decision],
    reservations: Sequence[Reservation],
    rounds: Sequence[AbsenceEvidence],
) -> list[Section]:
    return [
        _request(order, next((each for each in decisions if each.id == order.decision_id), None)),
        Table(
            "Exchange orders",
            ["gen", "client order id", "exchange order id", "quantity", "price", "reported", "filled", "booked"],
            [_exchange_order(row, order) for row in rows],
            empty="Nothing was prepared for the exchange.",
        ),
        *_evidence(order, rows, rounds),
        _commands(commands, attempts),
        _fills(order, fills),
        *(_decision(order, decision) for decision in decisions),
        Table(
            "Reservation",
            ["exchange order", "reserved", "exposure", "set"],
            [
                (
                    _generation_of(row.exchange_order_id, rows),
                    amount(row.amount, row.asset),
                    amount(row.exposure),
                    moment(row.updated_at),
                )
                for row in reservations
            ],
            empty="Nothing is reserved for this order.",
        ),
    ]


def _evidence(order: Order, rows: Sequence[ExchangeOrder], rounds: Sequence[AbsenceEvidence]) -> list[Section]:
    """The rounds of looking for it, where there are any; the newest first."""
    if not rounds:
        return []
    return [
        Table(
            "Evidence",
            ["exchange order", "asked", "verdict", "counts", "found", "asked for"],
            [_round(judged, rows) for judged in judged_by_the_last(rounds)[::-1]],
            note=format_html(
                "{} Enough rounds that count prove that it is not at the exchange; counted as of the newest. {}",
                "The newest 100." if len(rounds) >= ROWS_CAP else "",
                _list_link("orders_absenceevidence", str(order.id), "All rounds"),
            ),
        )
    ]


def _round(judged: Judged, rows: Sequence[ExchangeOrder]) -> list[object]:
    past = judged.round
    return [
        _generation_of(past.exchange_order_id, rows),
        link("orders_absenceevidence", past.pk, moment(past.asked_at)),
        badge(past.verdict),
        yes_no(True) if judged.counts else wrapping(f"no: {judged.why_not}"),
        wrapping(past.detail) if past.detail else NONE,
        wrapping("; ".join(f"{answer['call'].replace('_', ' ')}: {_answered(answer)}" for answer in past.answers)),
    ]


def _answered(answer: dict[str, Any]) -> str:
    return str(answer.get("error") or f"HTTP {answer.get('http_status')}")


def _request(order: Order, decision: Decision | None) -> Facts:
    effect = effect_of(decision)
    quote_asset = order.instrument.quote_asset
    facts: list[tuple[str, object]] = [
        ("id", code(str(order.id))),
        ("account", link_to(order.account)),
        ("instrument", link_to(order.instrument)),
        ("strategy", link_to(order.strategy)),
        ("type", order.type.replace("_", " ")),
        ("price", amount(order.price, quote_asset)),
        ("stop price", amount(order.stop_price, quote_asset)),
        ("time in force", order.time_in_force or NONE),
        *(
            []
            if order.protection_price is None
            else [("sent as", f"LIMIT IOC at {amount(order.protection_price, quote_asset)}")]
        ),
        ("reduce only", yes_no(order.reduce_only)),
        ("effect on exposure", NONE if effect is None else effect.label),
        ("asked by", order.created_by),
        ("idempotency key", code(order.idempotency_key)),
        ("origin", order.origin),
        ("created", moment(order.created_at)),
        ("changed", moment(order.updated_at)),
        ("send before", moment(order.valid_until)),
        ("version, gate", f"{order.version}, {order.gate_seq}"),
    ]
    return Facts("Request", [(name, value) for name, value in facts if value != NONE])


def _exchange_order(row: ExchangeOrder, order: Order) -> list[object]:
    if row.end_proof:
        end: str = f"ended: {row.end_proof}"
    else:
        end = "planned" if row.planned else "may be alive"
    return [
        row.generation,
        link("orders_exchangeorder", row.pk, row.client_order_id),
        row.exchange_order_id or NONE,
        amount(row.quantity) if row.quantity is not None else amount(row.quote_quantity, order.instrument.quote_asset),
        amount(row.price),
        joined([badge(row.reported_status) if row.reported_status else "", wrapping(end)]),
        amount(row.cumulative_quantity),
        amount(row.booked_quantity),
    ]


def _generation_of(exchange_order_id: UUID, rows: Sequence[ExchangeOrder]) -> str:
    for row in rows:
        if row.pk == exchange_order_id:
            return link("orders_exchangeorder", row.pk, f"generation {row.generation}")
    return short_id(exchange_order_id)


def _commands(commands: Sequence[Command], attempts: Sequence[Attempt]) -> Table:
    by_command: dict[UUID, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_command[attempt.command_id].append(attempt)
    rows: list[list[object]] = []
    for command in commands:
        made = by_command[command.id]
        head = [
            link("orders_command", command.pk, f"{command.kind} {command.method}".strip()),
            badge(command.status),
            command.requested_by,
        ]
        if not made:
            rows.append([*head, NONE, NONE, wrapping(command.reason), NONE, NONE])
        for attempt in made:
            rows.append([*head, *_attempt(attempt)])
            head = ["", "", ""]
    return Table(
        "Commands and attempts",
        ["command", "status", "asked by", "claimed", "outcome", "answer", "request", "response"],
        rows,
        empty="No instruction was made for the exchange.",
    )


def _attempt(attempt: Attempt) -> list[object]:
    took = NONE
    if attempt.answered_at is not None:
        took = f"{(attempt.answered_at - attempt.claimed_at).total_seconds() * 1000:.0f} ms"
    return [
        link("orders_attempt", attempt.pk, moment(attempt.claimed_at)),
        joined([badge(attempt.outcome or "waiting"), took]),
        wrapping(f"{attempt.code} {attempt.message}".strip()),
        folded(attempt.request, "request"),
        folded(attempt.response, "response"),
    ]


def attempts_table(attempts: Sequence[Attempt]) -> Table:
    """The attempts of one command."""
    return Table(
        "Attempts",
        ["claimed", "outcome", "answer", "request", "response"],
        [_attempt(attempt) for attempt in attempts],
        empty="It was not sent yet.",
    )


def _fees(fill: Fill) -> str:
    return ", ".join(
        f"{fee.get('amount')} {fee.get('asset')}{' tax' if fee.get('kind') == 'tax' else ''}" for fee in fill.fees
    )


def _fills(order: Order, fills: Sequence[Fill]) -> Table:
    shown = fills[:FILLS_SHOWN]
    note = ""
    if len(fills) > FILLS_SHOWN:
        label = _list_link("positions_fill", str(order.id), "all fills of this order")
        note = format_html("The newest {}; see {}.", FILLS_SHOWN, label)
    return Table(
        "Fills",
        ["traded", "trade id", "price", "quantity", "value", "fees", "role", "booked"],
        [
            (
                moment(fill.traded_at),
                link("positions_fill", fill.pk, fill.trade_id),
                amount(fill.price),
                amount(fill.quantity),
                amount(fill.quote_quantity),
                _fees(fill) or NONE,
                NONE if fill.is_maker is None else "maker" if fill.is_maker else "taker",
                moment(fill.booked_at),
            )
            for fill in shown
        ],
        note=note,
        empty="Nothing is filled.",
    )


def _decision(order: Order, decision: Decision) -> Table:
    first = decision.id == order.decision_id
    verdict = "accepted" if decision.accepted else "denied"
    return Table(
        f"Decision {'on the order' if first else 'on a replace'}: {verdict}",
        ["no", "control", "outcome", "observed", "limit", "headroom", "why"],
        [
            (
                result.get("number", ""),
                str(result.get("control", "")).replace("_", " "),
                badge(str(result.get("outcome", ""))),
                result.get("observed") or NONE,
                result.get("limit") or NONE,
                result.get("headroom") or NONE,
                wrapping(" ".join(filter(None, [str(result.get("code") or ""), str(result.get("detail") or "")]))),
            )
            for result in decision.results
        ],
        note=format_html(
            "{} by {}, gate {}. {}",
            *(moment(decision.decided_at), decision.actor, decision.gate_seq),
            link("risk_decision", decision.pk, "Its inputs"),
        ),
    )


def _timeline(
    events: Sequence[Event],
    attempts: Sequence[Attempt],
    fills: Sequence[Fill],
    rounds: Sequence[AbsenceEvidence],
    commands: Sequence[Command],
) -> tuple[list[Moment], bool]:
    """The newest moments in the order of time, and whether there were more."""
    kinds = {str(command.id): command.kind for command in commands}
    found = [
        *(_of_event(event, kinds) for event in events),
        *(moment_ for attempt in attempts for moment_ in _of_attempt(attempt)),
        *(_of_fill(fill) for fill in fills),
        *(_of_round(row) for row in rounds),
    ]
    found.sort(key=lambda item: (item.at, item.rank))
    return found[-TIMELINE_CAP:], len(found) > TIMELINE_CAP or len(fills) >= FILLS_SHOWN


_BAD = ("denied", "rejected", "unknown", "breach", "silent")


def _of_event(event: Event, kinds: dict[str, str]) -> Moment:
    title = event.kind.replace("_", " ").replace(".", " ")
    if event.subject_type == "command":
        title = f"{kinds.get(event.subject_id, '')} {title}".strip()
    steps = " → ".join(filter(None, [event.from_status, event.to_status]))
    return Moment(
        event.at,
        2,
        "event",
        title,
        steps.replace("_", " "),
        event.actor,
        event.cause,
        folded(event.evidence),
        bad=event.kind.endswith(_BAD),
    )


def _of_attempt(attempt: Attempt) -> list[Moment]:
    sent = Moment(attempt.claimed_at, 3, "attempt", f"{attempt.kind} attempt", actor=attempt.worker)
    if attempt.answered_at is None:
        return [sent]
    took = f"{(attempt.answered_at - attempt.claimed_at).total_seconds() * 1000:.0f} ms"
    return [
        sent,
        Moment(
            attempt.answered_at,
            0,
            "attempt",
            f"{attempt.kind} {attempt.outcome.replace('_', ' ')}",
            " ".join(filter(None, [attempt.code, attempt.message, f"after {took}"])),
            evidence=folded(attempt.response, "answer"),
            bad=attempt.outcome in {"refused", "unknown", "auth"},
        ),
    ]


def _of_fill(fill: Fill) -> Moment:
    fees = _fees(fill)
    detail = f"{amount(fill.quantity)} at {amount(fill.price)}" + (f", fees {fees}" if fees else "")
    return Moment(fill.booked_at, 1, "fill", f"fill {fill.trade_id}", detail, cause=_origin(fill))


def _origin(fill: Fill) -> str:
    return f"from {fill.source}" if fill.model is None else f"paper, made up by {fill.model}"


def _of_round(row: AbsenceEvidence) -> Moment:
    return Moment(
        row.answered_at,
        1,
        "attempt",
        f"looked for it: {row.get_verdict_display()}",
        row.detail,
        evidence=folded(row.answers, "answers"),
        bad=row.verdict == "failed",
    )
