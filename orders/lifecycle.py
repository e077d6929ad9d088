"""The lifecycle of orders and commands: one table each, and the pure rule that derives an order's status from facts.

Status is a view; fills are facts, and no status refuses one. The tables feed the transitions in ``orders.models``, the
CHECK constraints, the diagram in docs/lifecycle.md and the matrix test.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models

from exchanges.reports import ReportedStatus


class OrderStatus(models.TextChoices):
    """Where an order stands."""

    PENDING = "pending", "pending"
    DENIED = "denied", "denied"
    SUBMITTING = "submitting", "submitting"
    SUBMIT_UNKNOWN = "submit_unknown", "submit_unknown"
    OPEN = "open", "open"
    PARTIALLY_FILLED = "partially_filled", "partially_filled"
    FILLED = "filled", "filled"
    CANCELED = "canceled", "canceled"
    EXPIRED = "expired", "expired"
    REJECTED = "rejected", "rejected"
    CLOSED_UNVERIFIED = "closed_unverified", "closed_unverified"
    SETTLED = "settled", "settled"


class CommandStatus(models.TextChoices):
    """Where an instruction to the exchange stands."""

    QUEUED = "queued", "queued"
    CLAIMED = "claimed", "claimed"
    UNKNOWN = "unknown", "unknown"
    DONE = "done", "done"
    DROPPED = "dropped", "dropped"


S = OrderStatus
C = CommandStatus

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.PENDING: frozenset({S.SUBMITTING, S.CANCELED, S.DENIED}),
    S.DENIED: frozenset(),
    S.SUBMITTING: frozenset(
        {S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.REJECTED, S.CANCELED, S.EXPIRED, S.SUBMIT_UNKNOWN, S.PENDING}
    ),
    S.SUBMIT_UNKNOWN: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.REJECTED, S.CANCELED, S.EXPIRED}),
    S.OPEN: frozenset({S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.CLOSED_UNVERIFIED}),
    S.PARTIALLY_FILLED: frozenset({S.FILLED, S.CANCELED, S.EXPIRED, S.CLOSED_UNVERIFIED}),
    S.FILLED: frozenset({S.SETTLED}),
    S.CANCELED: frozenset({S.SETTLED}),
    S.EXPIRED: frozenset({S.SETTLED}),
    S.REJECTED: frozenset(),
    S.CLOSED_UNVERIFIED: frozenset(),
    S.SETTLED: frozenset(),
}

# Logged corrections when facts arrive after an end; never taken by a timer. Back to work only when what was concluded
# to have ended, or never to have been taken, is shown working by the exchange.
REPAIRS: dict[OrderStatus, frozenset[OrderStatus]] = {
    S.CANCELED: frozenset({S.FILLED, S.OPEN, S.PARTIALLY_FILLED}),
    S.EXPIRED: frozenset({S.FILLED, S.OPEN, S.PARTIALLY_FILLED}),
    S.REJECTED: frozenset({S.SUBMIT_UNKNOWN}),
    S.CLOSED_UNVERIFIED: frozenset({S.OPEN, S.PARTIALLY_FILLED, S.FILLED, S.CANCELED, S.EXPIRED}),
    S.SETTLED: frozenset({S.FILLED, S.CANCELED, S.EXPIRED}),
}

COMMAND_TRANSITIONS: dict[CommandStatus, frozenset[CommandStatus]] = {
    C.QUEUED: frozenset({C.CLAIMED, C.DONE, C.DROPPED}),
    C.CLAIMED: frozenset({C.DONE, C.QUEUED, C.UNKNOWN}),
    C.UNKNOWN: frozenset({C.DONE}),
    C.DONE: frozenset(),
    C.DROPPED: frozenset(),
}

ENDED = frozenset({S.DENIED, S.FILLED, S.CANCELED, S.EXPIRED, S.REJECTED, S.SETTLED})
ENDED_AS = frozenset({S.FILLED, S.CANCELED, S.EXPIRED})
AT_EXCHANGE = frozenset({S.SUBMITTING, S.SUBMIT_UNKNOWN, S.OPEN, S.PARTIALLY_FILLED, S.CLOSED_UNVERIFIED})
WORKING = frozenset({S.OPEN, S.PARTIALLY_FILLED})
UNDECIDED = frozenset({S.PENDING, S.SUBMITTING})


def sources_of(target: OrderStatus) -> list[str]:
    """The statuses from which ``target`` may be reached by a plain transition."""
    return [source.value for source in OrderStatus if target in TRANSITIONS[source]]


def repair_sources_of(target: OrderStatus) -> list[str]:
    """The statuses from which ``target`` may be reached by a repair."""
    return [source.value for source in OrderStatus if target in REPAIRS.get(source, frozenset())]


def command_sources_of(target: CommandStatus) -> list[str]:
    """The statuses from which a command may reach ``target``."""
    return [source.value for source in CommandStatus if target in COMMAND_TRANSITIONS[source]]


def derive_status(
    current: OrderStatus,
    *,
    reported: ReportedStatus | None,
    whole_quantity: Decimal | None,
    seen_quantity: Decimal,
    revived: bool = False,
) -> OrderStatus:
    """The status that the facts call for; ``current`` when they call for nothing new.

    ``whole_quantity``: the order's quantity in base, None when it was sized in quote. ``seen_quantity``: the greater of
    booked and reported cumulative quantity in base. ``reported``: the exchange's last word on the exchange order.
    A stale "open" never takes an end back; ``revived`` says that it is none: the exchange shows at work what was
    concluded, but never reported, to be over.
    """
    complete = whole_quantity is not None and seen_quantity >= whole_quantity > 0
    if current is S.DENIED:
        return current
    if current is S.SETTLED:
        return current
    if complete or reported is ReportedStatus.FILLED:
        target = S.FILLED
    elif reported is ReportedStatus.CANCELED:
        target = S.CANCELED
    elif reported is ReportedStatus.EXPIRED:
        target = S.EXPIRED
    elif reported is ReportedStatus.REJECTED:
        target = S.CANCELED if seen_quantity > 0 or current is S.PARTIALLY_FILLED else S.REJECTED
    elif seen_quantity > 0:
        target = S.PARTIALLY_FILLED
    elif reported is ReportedStatus.OPEN or reported is ReportedStatus.PARTIALLY_FILLED:
        target = S.OPEN
    else:
        return current
    if current is S.REJECTED:
        return S.SUBMIT_UNKNOWN if target is not S.REJECTED else current
    if current in {S.CANCELED, S.EXPIRED} and target in WORKING and not revived:
        return current
    if current in TRANSITIONS and (target in TRANSITIONS[current] or target in REPAIRS.get(current, frozenset())):
        return target
    return current


def diagram() -> str:
    """The lifecycle as a Mermaid state diagram; docs/lifecycle.md holds exactly this."""
    lines = ["stateDiagram-v2", "    [*] --> pending", "    [*] --> denied"]
    lines += [f"    {a.value} --> {b.value}" for a in S for b in S if b in TRANSITIONS[a]]
    lines += [f"    {a.value} --> {b.value} : repair" for a in S for b in S if b in REPAIRS.get(a, frozenset())]
    return "\n".join(lines) + "\n"
