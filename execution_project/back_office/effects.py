"""What an act is about to do, in words and with the orders it concerns: read before anybody confirms."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import QuerySet

from exchanges.models import Account
from execution_project.back_office.scopes import Scope
from execution_project.back_office.wording import age_of, capped_count, number_of
from execution_project.clusters import DEAF_AFTER_S
from execution_project.common import clock
from execution_project.common.approvals import proposals_for
from execution_project.common.models import QueueBeat
from execution_project.common.money import plain_or_none
from orders.breaks import RESOLVE_BREAK, needs_second_person, what_an_end_does
from orders.canceling import working_orders
from orders.lifecycle import ENDED
from orders.models import Break, BreakStatus, Order
from orders.queues import cancel_queue
from orders.resolving import ACT as RESOLVE_ORDER
from orders.resolving import UnknownOrder, what_a_resolution_does
from risk.kill_episodes import NEXT_STAGE, standing, what_keeps_it_latched
from risk.lifting import what_is_not_flat
from risk.models import Circuit, State, TradingState
from risk.trading_state import LIFT_LATCH

ORDERS_SHOWN = 20
LATE = timedelta(seconds=2 * DEAF_AFTER_S)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a confirmation page says. ``tone``: danger, warning or calm; without ``button`` there is nothing to do."""

    title: str
    button: str
    tone: str
    sentences: list[str]
    warnings: list[str] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    orders_title: str = ""
    orders_left_out: bool = False
    facts: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Concerned:
    """The working orders of a scope: the newest, and how many in words."""

    orders: list[Order]
    count: int
    words: str

    @property
    def title(self) -> str:
        """``3 working orders``."""
        return number_of(self.words, "working order") if self.count else "No working orders"


def concerned_orders(scope: Scope) -> Concerned:
    """Orders that have not ended; two queries, neither longer than what is shown."""
    rows: QuerySet[Order] = working_orders(scope.kind, scope.key)
    shown = list(rows.select_related("account", "instrument", "strategy").order_by("-id")[:ORDERS_SHOWN])
    if len(shown) < ORDERS_SHOWN:
        return Concerned(shown, len(shown), str(len(shown)))
    return Concerned(shown, *capped_count(rows.values("id")))


def state_of(scope: Scope) -> TradingState:
    """The stored state, or an unsaved ACTIVE one."""
    row = TradingState.objects.filter(scope_kind=scope.kind, scope_key=scope.key).first()
    return row or TradingState(scope_kind=scope.kind, scope_key=scope.key, state=State.ACTIVE.value)


def _now_words(state: TradingState) -> str:
    words = state.state + (", latched" if state.latched else "")
    if state.pk and state.state != State.ACTIVE:
        words += f" since {state.changed_at:%Y-%m-%d %H:%M:%S} by {state.changed_by}"
        words += f": {state.reason}" if state.reason else ""
    return words


def _deaf_cancel_queues() -> list[str]:
    """A warning for each exchange whose cancels nobody would carry out now."""
    now = clock.now()
    beats = {beat.queue: beat.beaten_at for beat in QueueBeat.objects.all()}
    warnings = []
    for exchange in Account.objects.order_by("exchange").values_list("exchange", flat=True).distinct():
        heard_at = beats.get(cancel_queue(exchange))
        if heard_at is None or now - heard_at > LATE:
            heard = "never" if heard_at is None else age_of(heard_at, now)
            warnings.append(
                f"The cancel queue of {exchange} does not answer (last heard: {heard}): cancels wait until its workers"
                " are back."
            )
    return warnings


def _proposed_before(act: str, subject: str) -> list[str]:
    return [
        f"{row.requested_by} has proposed this already ({row.reason}); it waits for a decision."
        for row in proposals_for(act, subject)[:ORDERS_SHOWN]
    ]


def _with_orders(concerned: Concerned) -> dict[str, object]:
    return {
        "orders": concerned.orders,
        "orders_title": concerned.title,
        "orders_left_out": concerned.count > len(concerned.orders),
    }


def of_halt(scope: Scope) -> Effect:
    """What a plain halt does."""
    state, concerned = state_of(scope), concerned_orders(scope)
    lifting = (
        "It is latched and stays latched: lifting it takes a second person."
        if state.latched
        else "Any one person with the right may start it again."
    )
    return Effect(
        f"Halt {scope.words}",
        f"Halt {scope.words}",
        "warning",
        [
            "At once: no new order is accepted, and none that was accepted and not yet sent goes out, also not later.",
            "Orders that work at the exchange stay there, unless you also ask for their end below.",
            lifting,
        ],
        facts=[("Scope", scope.name), ("Now", _now_words(state))],
        **_with_orders(concerned),  # type: ignore[arg-type]
    )


def of_kill(scope: Scope) -> Effect:
    """What the kill switch does."""
    state, concerned = state_of(scope), concerned_orders(scope)
    return Effect(
        f"Kill switch: {scope.words}",
        f"Kill {scope.words} now",
        "danger",
        [
            "At once: trading is halted and latched. No new order is accepted, and nothing that was not sent goes out.",
            f"Then every working order is asked to end ({number_of(concerned.words, 'order')}) until that is proven.",
            "The kill's page shows the verdict: VERIFIED by the exchange's evidence, or what is not proven.",
            "Positions stay as they are. Starting again takes two persons: one proposes, another approves.",
        ],
        warnings=_deaf_cancel_queues(),
        facts=[("Scope", scope.name), ("Now", _now_words(state))],
        **_with_orders(concerned),  # type: ignore[arg-type]
    )


def of_start(scope: Scope) -> Effect:
    """What a start does: the end of a plain halt, or a proposal for a latch."""
    state = state_of(scope)
    facts = [("Scope", scope.name), ("Now", _now_words(state))]
    others = [
        f"{row.scope_kind} {row.scope_key}".strip()
        for row in TradingState.objects.exclude(state=State.ACTIVE).order_by("scope_kind", "scope_key")[:ORDERS_SHOWN]
        if (row.scope_kind, row.scope_key) != (scope.kind, scope.key)
    ]
    warnings = [f"Still not active, and not changed by this: {', '.join(others)}."] if others else []
    episode = standing(scope.kind, scope.key)
    if not state.latched and (episode is None or state.state != State.REDUCE_ONLY):
        takes = "new orders" if episode is None else "orders that only reduce exposure"
        sentences = [
            f"At once: {takes} pass the gate and are sent again.",
            "Orders that were accepted before the halt and not sent do not come back; place them anew.",
        ]
        if state.state == State.ACTIVE:
            sentences = ["It is active already; starting it is recorded and changes nothing else."]
        return Effect(f"Start {scope.words}", f"Start {scope.words}", "calm", sentences, warnings, facts=facts)
    warnings += _proposed_before(LIFT_LATCH, scope.name)
    held = [] if episode is None else what_keeps_it_latched(episode)
    to = State.REDUCE_ONLY if episode is None else NEXT_STAGE[episode.stage]
    return Effect(
        f"Propose to start {scope.words}",
        "" if held else "Propose the start",
        "warning",
        [
            "This scope is latched: nothing is started by this page.",
            f"It is lifted in stages, HALTED, REDUCE_ONLY, ACTIVE. The next one is {to}.",
            *(
                ["It cannot be proposed yet, for what speaks against it is listed above."]
                if held
                else [
                    "Your request becomes a proposal. Another person with the right to approve has one hour to decide.",
                    "The reason takes at least 20 characters: what was the matter, and why may it go on?",
                ]
            ),
            *what_is_not_flat(scope.kind, scope.key),
        ],
        [*held, *warnings],
        facts=[*facts, *([] if episode is None or not episode.cause else [("Cause", episode.cause)])],
    )


def of_cancel_scope(scope: Scope) -> Effect:
    """What cancelling all orders of a scope does."""
    concerned = concerned_orders(scope)
    if not concerned.count:
        nothing = ["No order in this scope is working; there is nothing to cancel."]
        return Effect(f"Cancel all orders: {scope.words}", "", "calm", nothing, facts=[("Scope", scope.name)])
    return Effect(
        f"Cancel all orders: {scope.words}",
        f"Cancel {number_of(concerned.words, 'order')}",
        "warning",
        [
            f"Every working order is asked to end ({number_of(concerned.words, 'order')}).",
            "Each ends when the exchange says so; until then it may still fill.",
            "Trading is not halted: new orders are accepted as before.",
        ],
        warnings=_deaf_cancel_queues(),
        facts=[("Scope", scope.name)],
        **_with_orders(concerned),  # type: ignore[arg-type]
    )


def of_cancel_order(order: Order) -> Effect:
    """What cancelling one order does."""
    facts = [
        ("Order", str(order.id)),
        ("Account", f"{order.account.name} ({order.account.get_mode_display()})"),
        ("Status", str(order.status)),
    ]
    title = f"Cancel {order.side} {order.instrument.symbol}"
    if order.status in ENDED:
        words = f"The order has ended ({order.ended_as or order.status}); there is nothing to cancel."
        return Effect(title, "", "calm", [words], orders=[order], facts=facts)
    return Effect(
        title,
        "Cancel this order",
        "warning",
        [
            "If it was not sent yet, it ends at once.",
            "Otherwise the exchange is asked to end it, until the end is proven; until then it may still fill.",
        ],
        warnings=_deaf_cancel_queues(),
        orders=[order],
        facts=facts,
    )


ONLY_PROPOSED = (
    "Nothing ends by this page: your request becomes a proposal, and another person with the right to approve has one"
    " hour to decide."
)
WHAT_IS_UNKNOWN = {
    "submit": "whether the exchange has it",
    "replace": "whether the exchange has what a replace may have placed",
    "working": "what became of it: it worked, and the exchange no longer shows it",
}


def of_resolve_order(order: Order, unknown: UnknownOrder | None) -> Effect:
    """What stating an unknown order's end does: it becomes a proposal."""
    facts = [
        ("Order", str(order.id)),
        ("Account", f"{order.account.name} ({order.account.get_mode_display()})"),
        ("Status", order.get_status_display()),
    ]
    title = f"Resolve {order.side} {order.instrument.symbol}"
    if unknown is None:
        return Effect(title, "", "calm", ["Nothing about this order is unknown."], orders=[order], facts=facts)
    facts += [
        ("Client order id", unknown.exchange_order.client_order_id),
        ("Unknown", f"{WHAT_IS_UNKNOWN[unknown.what]}, for {age_of(unknown.since, clock.now())}"),
    ]
    warnings = _proposed_before(RESOLVE_ORDER, str(order.id))
    if not unknown.needs_operator:
        warnings.append("The engine is still looking for it and may come to an end by itself.")
    return Effect(
        title,
        "Propose this end",
        "warning",
        [
            "Look at the exchange for its client order id first.",
            ONLY_PROPOSED,
            *(
                f"As {outcome.value}: {' '.join(what_a_resolution_does(order, outcome))}"
                for outcome in unknown.outcomes
            ),
        ],
        warnings=warnings,
        orders=[order],
        facts=facts,
    )


def _break_facts(row: Break) -> list[tuple[str, str]]:
    facts = [
        ("Account", f"{row.account.name} ({row.account.get_mode_display()})"),
        ("What differs", row.get_kind_display()),
        ("Subject", row.subject),
        ("Our books", row.expected),
        ("The exchange", row.observed),
        ("Difference", plain_or_none(row.difference) or ""),
        ("Severity", row.get_severity_display()),
        ("Status", row.get_status_display()),
        ("Owner", row.owner),
        ("Ended", row.resolution),
    ]
    return [(name, value) for name, value in facts if value]


def _orders_of(row: Break) -> list[Order]:
    return list(Order.objects.select_related("account", "instrument", "strategy").filter(breaks=row))


def of_acknowledge_break(row: Break) -> Effect:
    """What naming an owner does."""
    title, facts = f"Acknowledge {row.get_kind_display()}: {row.subject}", _break_facts(row)
    if row.status == BreakStatus.RESOLVED:
        return Effect(title, "", "calm", ["It has ended; nobody has to look after it."], facts=facts)
    sentences = ["It stays open, and what it blocks stays blocked; everybody sees who looks after it."]
    return Effect(title, "Acknowledge", "calm", sentences, orders=_orders_of(row), facts=facts)


def of_resolve_break(row: Break) -> Effect:
    """What the end of a break by hand does, or that it is only proposed."""
    title, facts = f"Resolve {row.get_kind_display()}: {row.subject}", _break_facts(row)
    if row.status == BreakStatus.RESOLVED:
        return Effect(title, "", "calm", ["It has ended already."], facts=facts)
    if not needs_second_person(row):
        sentences = ["It ends at once, with your reason.", *what_an_end_does(row)]
        return Effect(title, "Resolve", "warning", sentences, orders=_orders_of(row), facts=facts)
    return Effect(
        title,
        "Propose the end",
        "warning",
        [
            ONLY_PROPOSED,
            *(f"When they approve: {sentence}" for sentence in what_an_end_does(row)),
        ],
        warnings=_proposed_before(RESOLVE_BREAK, str(row.id)),
        orders=_orders_of(row),
        facts=facts,
    )


def of_close_circuit(row: Circuit) -> Effect:
    """What closing the circuit of a symbol does."""
    facts = [
        ("Account", row.account_name),
        ("Symbol", row.symbol),
        ("Refused as", f"{row.code}, {number_of(str(row.refusals), 'time')} in a row"),
    ]
    title = f"Close the circuit of {row.symbol} on {row.account_name}"
    if row.open_until is None or row.open_until <= clock.now():
        words = "It is not open: orders of the symbol pass."
        return Effect(title, "", "calm", [words], facts=facts)
    facts.append(("Open until", f"{row.open_until:%Y-%m-%d %H:%M:%S}"))
    return Effect(
        title,
        "Close it",
        "warning",
        [
            "At once: orders of this symbol are sent again, and what was counted against them is forgotten.",
            "Whoever sent what the exchange refused has to be mended first: three more refusals open it again.",
        ],
        facts=facts,
    )
