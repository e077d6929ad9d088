"""What we ask for: orders, exchange orders, commands and attempts.

An order's row guards its exchange orders, commands and attempts: whoever changes one holds the order's lock.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

from django.db import models
from django.db.models import F, Q
from django_fsm import FSMField, transition

from exchanges.models import Account, Instrument
from exchanges.reports import OutcomeKind, ReportedStatus
from execution_project.common import ids
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.models import AppendOnlyModel, Strategy
from execution_project.common.money import CONTEXT, MoneyField, round_down
from orders.lifecycle import (
    CommandStatus,
    OrderStatus,
    command_sources_of,
    repair_sources_of,
    sources_of,
)


class Side(models.TextChoices):
    """Buy or sell the base asset."""

    BUY = "BUY", "BUY"
    SELL = "SELL", "SELL"


class OrderType(models.TextChoices):
    """How the price is found."""

    MARKET = "MARKET", "MARKET"
    LIMIT = "LIMIT", "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER", "LIMIT_MAKER"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT", "STOP_LOSS_LIMIT"


class TimeInForce(models.TextChoices):
    """How long an order works."""

    GTC = "GTC", "GTC"
    IOC = "IOC", "IOC"
    FOK = "FOK", "FOK"


class Origin(models.TextChoices):
    """Where an order comes from: placed here; ours by its client order id, but forgotten; or somebody else's."""

    ENGINE = "engine", "engine"
    ADOPTED = "adopted", "adopted"
    EXTERNAL = "external", "external"


class Order(models.Model):
    """One intent to trade. Created once, never deleted; its status changes only by the transitions below.

    ``quantity`` and ``filled_quantity`` in base, ``quote_quantity`` and ``filled_quote`` in quote asset, ``price`` in
    quote per base. ``gate_seq`` is the gate's sequence number when it was accepted: a later halt outranks it.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT)
    strategy = models.ForeignKey(Strategy, on_delete=models.PROTECT, null=True)
    side = models.CharField(max_length=4, choices=Side.choices)
    type = models.CharField(max_length=16, choices=OrderType.choices)
    quantity = MoneyField(null=True)
    quote_quantity = MoneyField(null=True)
    price = MoneyField(null=True)
    stop_price = MoneyField(null=True)
    time_in_force = models.CharField(max_length=3, choices=TimeInForce.choices, null=True)
    # A MARKET order with one is sent as LIMIT IOC at this price (``Account.market_as_limit_ioc``).
    protection_price = MoneyField(null=True)
    reduce_only = models.BooleanField(default=False)
    valid_until = models.DateTimeField()
    status = FSMField(default=OrderStatus.PENDING, choices=OrderStatus.choices, protected=True, max_length=24)
    ended_as = models.CharField(max_length=16, null=True)
    reason = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=512, blank=True)
    filled_quantity = MoneyField(default=0)
    filled_quote = MoneyField(default=0)
    gate_seq = models.BigIntegerField()
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.ENGINE)
    # Only orders that were found at the exchange have passed no gate.
    decision_id = models.UUIDField(null=True)
    # The kill whose confirmed flatten this order is a chunk of.
    kill_id = models.UUIDField(null=True)
    idempotency_key = models.CharField(max_length=255)
    created_by = models.CharField(max_length=200)
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="order_status_known"),
            models.CheckConstraint(condition=Q(side__in=Side.values), name="order_side_known"),
            models.CheckConstraint(condition=Q(type__in=OrderType.values), name="order_type_known"),
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="order_origin_known"),
            models.CheckConstraint(
                condition=~Q(origin="engine") | Q(decision_id__isnull=False), name="order_of_ours_was_decided"
            ),
            models.CheckConstraint(
                condition=Q(quantity__isnull=False, quote_quantity__isnull=True)
                | Q(quantity__isnull=True, quote_quantity__isnull=False),
                name="order_one_quantity",
            ),
            models.CheckConstraint(
                condition=(Q(quantity__isnull=True) | Q(quantity__gt=0))
                & (Q(quote_quantity__isnull=True) | Q(quote_quantity__gt=0))
                & (Q(price__isnull=True) | Q(price__gt=0)),
                name="order_amounts_positive",
            ),
            models.CheckConstraint(
                condition=~Q(type="MARKET") | Q(price__isnull=True, time_in_force__isnull=True),
                name="order_market_has_no_price",
            ),
            models.CheckConstraint(
                condition=Q(protection_price__isnull=True) | Q(type="MARKET", protection_price__gt=0),
                name="order_protection_of_market",
            ),
            models.CheckConstraint(
                condition=~Q(type="LIMIT") | Q(price__isnull=False, time_in_force__isnull=False),
                name="order_limit_has_price",
            ),
            models.CheckConstraint(
                condition=Q(ended_as__isnull=True) | Q(ended_as__in=["filled", "canceled", "expired"]),
                name="order_ended_as_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="settled") | Q(ended_as__isnull=False), name="order_settled_says_how"
            ),
            models.CheckConstraint(
                condition=~Q(status__in=["filled", "canceled", "expired"])
                | Q(ended_as__isnull=False, ended_as=F("status")),
                name="order_end_is_kept",
            ),
        ]
        indexes = [
            models.Index(
                fields=["account", "id"],
                name="order_live",
                condition=~Q(status__in=["denied", "rejected", "settled"]),
            ),
            models.Index(fields=["idempotency_key", "created_by"], name="order_idempotency_key"),
            models.Index(fields=["status", "id"], name="order_status"),
            models.Index(fields=["kill_id", "id"], name="order_of_kill", condition=Q(kill_id__isnull=False)),
            models.Index(
                fields=["strategy", "id"],
                name="order_filled_of_strategy",
                condition=Q(strategy__isnull=False, filled_quantity__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.type} {self.id}"

    # Each transition is one line here; sources come from the table in orders.lifecycle. ``move`` is the only caller.

    @transition(field=status, source=sources_of(OrderStatus.SUBMITTING), target=OrderStatus.SUBMITTING)
    def _to_submitting(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.PENDING), target=OrderStatus.PENDING)
    def _to_pending(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.DENIED), target=OrderStatus.DENIED)
    def _to_denied(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.SUBMIT_UNKNOWN), target=OrderStatus.SUBMIT_UNKNOWN)
    def _to_submit_unknown(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.OPEN), target=OrderStatus.OPEN)
    def _to_open(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.PARTIALLY_FILLED), target=OrderStatus.PARTIALLY_FILLED)
    def _to_partially_filled(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.FILLED), target=OrderStatus.FILLED)
    def _to_filled(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.CANCELED), target=OrderStatus.CANCELED)
    def _to_canceled(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.EXPIRED), target=OrderStatus.EXPIRED)
    def _to_expired(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.REJECTED), target=OrderStatus.REJECTED)
    def _to_rejected(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.CLOSED_UNVERIFIED), target=OrderStatus.CLOSED_UNVERIFIED)
    def _to_closed_unverified(self) -> None: ...

    @transition(field=status, source=sources_of(OrderStatus.SETTLED), target=OrderStatus.SETTLED)
    def _to_settled(self) -> None: ...

    @transition(field=status, source=repair_sources_of(OrderStatus.OPEN), target=OrderStatus.OPEN)
    def _repair_to_open(self) -> None: ...

    @transition(
        field=status, source=repair_sources_of(OrderStatus.PARTIALLY_FILLED), target=OrderStatus.PARTIALLY_FILLED
    )
    def _repair_to_partially_filled(self) -> None: ...

    @transition(field=status, source=repair_sources_of(OrderStatus.FILLED), target=OrderStatus.FILLED)
    def _repair_to_filled(self) -> None: ...

    @transition(field=status, source=repair_sources_of(OrderStatus.CANCELED), target=OrderStatus.CANCELED)
    def _repair_to_canceled(self) -> None: ...

    @transition(field=status, source=repair_sources_of(OrderStatus.EXPIRED), target=OrderStatus.EXPIRED)
    def _repair_to_expired(self) -> None: ...

    @transition(field=status, source=repair_sources_of(OrderStatus.SUBMIT_UNKNOWN), target=OrderStatus.SUBMIT_UNKNOWN)
    def _repair_to_submit_unknown(self) -> None: ...

    def move(self, target: OrderStatus, actor: Actor, *, evidence: dict[str, Any] | None = None) -> None:
        """Take the transition to ``target`` and write its event; the caller holds the row's lock and saves.

        Raises ``django_fsm.TransitionNotAllowed`` for a step that the table does not have.
        """
        before = str(self.status)
        repair = before in repair_sources_of(target)
        getattr(self, f"_repair_to_{target.value}" if repair else f"_to_{target.value}")()
        if target.value in {"filled", "canceled", "expired"}:
            self.ended_as = target.value
        elif target.value != "settled":
            self.ended_as = None
        record(
            f"order.{'repaired' if repair else target.value}",
            "order",
            self.id,
            actor,
            from_status=before,
            to_status=target.value,
            evidence=evidence,
        )

    @property
    def average_price(self) -> Decimal | None:
        """Quote per base of what is booked, or None while nothing is."""
        quote: Decimal = self.filled_quote
        quantity: Decimal = self.filled_quantity
        if not quantity:
            return None
        with localcontext(CONTEXT):
            return round_down(quote / quantity)


NEVER_SENT = "never sent"
# End proofs of an exchange order that the exchange never took; it says nothing about the order's own end.
NEVER_ACCEPTED = (NEVER_SENT, "refused:", "not_executed:", "absent:", "resolved:rejected")
# End proofs that are conclusions, by rounds of asking or by hand: a later word of the exchange overrules them.
CONCLUDED = ("absent:", "resolved:")


class ExchangeOrder(models.Model):
    """One thing sent to an exchange for an order. Fills and reservations hang on it.

    ``cumulative_*``: what the exchange reported; ``booked_*``: what stands in the books. ``end_proof`` says by what it
    is proven that it can trade no more; while it is empty, the exchange order may be alive. ``planned``: part of a
    replace that is under way; it takes the place of the one before once that is proven ended.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="exchange_orders")
    generation = models.PositiveSmallIntegerField()
    client_order_id = models.CharField(max_length=36, unique=True)
    exchange_order_id = models.CharField(max_length=64, blank=True)
    quantity = MoneyField(null=True)
    quote_quantity = MoneyField(null=True)
    price = MoneyField(null=True)
    reserve_price = MoneyField()
    exposure_price = MoneyField()
    fee_in_quote_rate = MoneyField(default=0)
    reported_status = models.CharField(max_length=24, blank=True)
    cumulative_quantity = MoneyField(default=0)
    cumulative_quote = MoneyField(null=True)
    booked_quantity = MoneyField(default=0)
    booked_quote = MoneyField(default=0)
    end_proof = models.CharField(max_length=64, blank=True)
    planned = models.BooleanField(default=False)
    last_report_at = models.DateTimeField(null=True)
    last_looked_at = models.DateTimeField(null=True)
    looked = models.PositiveIntegerField(default=0)
    # While its outcome is unknown: when to look for it again.
    look_next_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "generation"], name="exchange_order_generation_once"),
            models.UniqueConstraint(
                fields=["order"], condition=Q(end_proof="", planned=False), name="exchange_order_one_not_ended"
            ),
            models.UniqueConstraint(
                fields=["order"], condition=Q(end_proof="", planned=True), name="exchange_order_one_planned"
            ),
        ]
        indexes = [
            models.Index(fields=["exchange_order_id"]),
            models.Index(
                fields=["order"],
                name="exchange_order_unbooked",
                condition=Q(cumulative_quantity__gt=F("booked_quantity")),
            ),
        ]

    def __str__(self) -> str:
        return self.client_order_id

    @property
    def was_accepted(self) -> bool:
        """False once it is proven that the exchange never took it."""
        return not str(self.end_proof).startswith(NEVER_ACCEPTED)

    @property
    def unbooked_quantity(self) -> Decimal:
        """Base quantity that the exchange reported and whose trades have not arrived; provisional, never a fill."""
        unbooked: Decimal = self.cumulative_quantity - self.booked_quantity
        return max(unbooked, Decimal(0))

    @property
    def reported(self) -> ReportedStatus | None:
        """The exchange's last word, or None before the first."""
        return ReportedStatus(self.reported_status) if self.reported_status else None


class CommandKind(models.TextChoices):
    """What we instruct the exchange to do."""

    SUBMIT = "submit", "submit"
    CANCEL = "cancel", "cancel"
    REPLACE = "replace", "replace"


class ReplaceMethod(models.TextChoices):
    """How a replace is carried out: lowered in place, by one call that does both, or a proven cancel first."""

    AMEND = "amend", "amend"
    CANCEL_REPLACE = "cancel_replace", "cancel_replace"
    CANCEL_THEN_PLACE = "cancel_then_place", "cancel_then_place"


class AttemptKind(models.TextChoices):
    """What one call did; SUBMIT and REPLACE post a new client order id."""

    SUBMIT = "submit", "submit"
    CANCEL = "cancel", "cancel"
    AMEND = "amend", "amend"
    REPLACE = "replace", "replace"


class Command(models.Model):
    """One instruction to the exchange about an order: the outbox row, and the truth behind every doorbell."""

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="commands")
    exchange_order = models.ForeignKey(ExchangeOrder, on_delete=models.PROTECT, related_name="commands")
    kind = models.CharField(max_length=8, choices=CommandKind.choices)
    status = FSMField(default=CommandStatus.QUEUED, choices=CommandStatus.choices, protected=True, max_length=16)
    fence = models.PositiveIntegerField(default=0)
    not_before = models.DateTimeField(null=True)
    rung_at = models.DateTimeField()
    requested_by = models.CharField(max_length=200)
    reason = models.CharField(max_length=256, blank=True)
    # Of a replace: the new total quantity (base) and price, how, on which decision, and the order that is to come.
    new_quantity = MoneyField(null=True)
    new_price = MoneyField(null=True)
    method = models.CharField(max_length=20, choices=ReplaceMethod.choices, blank=True)
    decision_id = models.UUIDField(null=True)
    gate_seq = models.BigIntegerField(null=True)
    planned = models.ForeignKey(ExchangeOrder, on_delete=models.PROTECT, null=True, related_name="planned_by")
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=CommandStatus.values), name="command_status_known"),
            models.CheckConstraint(condition=Q(kind__in=CommandKind.values), name="command_kind_known"),
            models.UniqueConstraint(
                fields=["exchange_order", "kind"],
                condition=Q(status__in=["queued", "claimed", "unknown"]),
                name="command_one_live_per_kind",
            ),
            models.CheckConstraint(
                condition=~Q(kind="replace")
                | Q(new_quantity__gt=0, new_price__gt=0, decision_id__isnull=False, gate_seq__isnull=False),
                name="command_replace_is_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["rung_at"], name="command_queued", condition=Q(status="queued")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @transition(field=status, source=command_sources_of(CommandStatus.CLAIMED), target=CommandStatus.CLAIMED)
    def _to_claimed(self) -> None: ...

    @transition(field=status, source=command_sources_of(CommandStatus.QUEUED), target=CommandStatus.QUEUED)
    def _to_queued(self) -> None: ...

    @transition(field=status, source=command_sources_of(CommandStatus.UNKNOWN), target=CommandStatus.UNKNOWN)
    def _to_unknown(self) -> None: ...

    @transition(field=status, source=command_sources_of(CommandStatus.DONE), target=CommandStatus.DONE)
    def _to_done(self) -> None: ...

    @transition(field=status, source=command_sources_of(CommandStatus.DROPPED), target=CommandStatus.DROPPED)
    def _to_dropped(self) -> None: ...

    def move(self, target: CommandStatus, actor: Actor, *, evidence: dict[str, Any] | None = None) -> None:
        """Take the transition to ``target`` and write its event; the caller holds the order's lock and saves."""
        before = str(self.status)
        getattr(self, f"_to_{target.value}")()
        record(
            f"command.{target.value}",
            "command",
            self.id,
            actor,
            from_status=before,
            to_status=target.value,
            evidence={"order": str(self.order_id), "kind": self.kind, **(evidence or {})},
        )


class Attempt(models.Model):
    """One HTTP call made for a command. Written at the claim, completed by the answer; ``outcome`` empty in between.

    The unique constraint is the database's own word that a client order id is POSTed at most once: a second attempt to
    submit an exchange order can only be stored after the first is proven to have sent no byte.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    command = models.ForeignKey(Command, on_delete=models.PROTECT, related_name="attempts")
    exchange_order = models.ForeignKey(ExchangeOrder, on_delete=models.PROTECT, related_name="attempts")
    kind = models.CharField(max_length=8, choices=AttemptKind.choices)
    fence = models.PositiveIntegerField()
    stamp_ms = models.BigIntegerField()
    recv_window_ms = models.PositiveIntegerField()
    send_by = models.DateTimeField()
    body_hash = models.CharField(max_length=64)
    worker = models.CharField(max_length=128)
    claimed_at = models.DateTimeField()
    answered_at = models.DateTimeField(null=True)
    outcome = models.CharField(max_length=16, blank=True)
    code = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=512, blank=True)
    request = models.JSONField(default=dict)
    response = models.JSONField(default=dict)
    # What the exchange had last reported of the assets concerned when this was claimed, where a proof of absence needs
    # it: asset → free, locked, as_of.
    balances = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["exchange_order"],
                condition=Q(kind__in=["submit", "replace"]) & ~Q(outcome=OutcomeKind.NOT_SENT.value),
                name="attempt_one_post_per_client_order_id",
            ),
            models.UniqueConstraint(fields=["command", "fence"], name="attempt_fence_once"),
        ]
        indexes = [
            models.Index(fields=["send_by"], name="attempt_unanswered", condition=Q(outcome="")),
            models.Index(fields=["outcome", "id"], name="attempt_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.stamp_ms}"


class AbsenceVerdict(models.TextChoices):
    """What one round of looking for an exchange order came to; only ``negative`` counts towards a proof."""

    NEGATIVE = "negative", "nothing anywhere"
    FOUND = "found", "the exchange shows it"
    DOUBTFUL = "doubtful", "something may be it"
    FAILED = "failed", "a question was not answered"


class AbsenceEvidence(AppendOnlyModel):
    """One round of asking the exchange for an exchange order that nobody has seen, or that is no longer seen.

    ``exchange_ms``: the exchange's own time when the round began, by a clock sample of that moment. ``answers``: every
    answer of the round, redacted; ``bounds``: those that were in force.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="absence_rounds")
    exchange_order = models.ForeignKey(ExchangeOrder, on_delete=models.PROTECT, related_name="absence_rounds")
    verdict = models.CharField(max_length=8, choices=AbsenceVerdict.choices)
    detail = models.CharField(max_length=512, blank=True)
    asked_at = models.DateTimeField()
    answered_at = models.DateTimeField()
    exchange_ms = models.BigIntegerField(null=True)
    counts_from_ms = models.BigIntegerField()
    bounds = models.JSONField()
    answers = models.JSONField()

    class Meta:
        verbose_name_plural = "absence evidence"
        constraints = [
            models.CheckConstraint(condition=Q(verdict__in=AbsenceVerdict.values), name="absence_verdict_known"),
            models.CheckConstraint(
                condition=~Q(verdict="negative") | Q(exchange_ms__isnull=False, exchange_ms__gte=F("counts_from_ms")),
                name="absence_negative_was_late_enough",
            ),
        ]
        indexes = [models.Index(fields=["exchange_order", "id"])]

    def __str__(self) -> str:
        return f"{self.verdict} {self.asked_at:%FT%TZ}"


class BreakKind(models.TextChoices):
    """What differs (docs/risk-controls.md §4)."""

    MISSING_FILL = "missing_fill", "trades at the exchange that are not in the books"
    ORPHAN_FILL = "orphan_fill", "a booked fill that the exchange does not show"
    UNKNOWN_ORDER = "unknown_order", "an order that is not ours"
    ADOPTED_ORDER = "adopted_order", "an order of ours that was forgotten"
    MISSING_AT_VENUE = "missing_at_venue", "a working order that the exchange does not show"
    STATUS_MISMATCH = "status_mismatch", "ended here, working at the exchange"
    QTY_MISMATCH = "qty_mismatch", "a traded quantity differs"
    PRICE_MISMATCH = "price_mismatch", "the price of a fill differs"
    FEE_MISMATCH = "fee_mismatch", "the fee of a fill differs"
    BALANCE_MISMATCH = "balance_mismatch", "ledger and balance differ"
    NEGATIVE_INVENTORY = "negative_inventory", "the ledger holds less than nothing"
    STALE_RECON = "stale_recon", "books not compared with the exchange in time"


class Severity(models.TextChoices):
    """What a break does while it is open: nothing, a warning, no more exposure, or a halt when it opens."""

    INFORMATIONAL = "informational", "informational"
    WARNING = "warning", "warning"
    BLOCKING = "blocking", "blocking"
    CRITICAL = "critical", "critical"


class BreakStatus(models.TextChoices):
    """SUSPECTED: seen once, not a break yet."""

    SUSPECTED = "suspected", "suspected"
    OPEN = "open", "open"
    ACKNOWLEDGED = "acknowledged", "acknowledged"
    RESOLVED = "resolved", "resolved"


class Break(models.Model):
    """A difference between our books and the exchange's that needs an end; its history stands in its events.

    ``subject`` is an asset, a part of the books, or symbol and exchange order id, followed for one trade by its id.
    ``difference`` = observed (exchange) − expected (books), in the unit of the kind, None where it is no amount.
    ``rounds``: how often in a row it was seen the same.
    """

    id = models.UUIDField(primary_key=True, default=ids.uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT)
    kind = models.CharField(max_length=24, choices=BreakKind.choices)
    severity = models.CharField(max_length=16, choices=Severity.choices)
    subject = models.CharField(max_length=128)
    status = models.CharField(max_length=16, choices=BreakStatus.choices, default=BreakStatus.OPEN)
    expected = models.CharField(max_length=128, blank=True)
    observed = models.CharField(max_length=128, blank=True)
    difference = MoneyField(null=True)
    rounds = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    owner = models.CharField(max_length=128, blank=True)
    resolution = models.CharField(max_length=512, blank=True)
    resolved_by = models.CharField(max_length=200, blank=True)
    resolved_at = models.DateTimeField(null=True)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, related_name="breaks")
    evidence = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(kind__in=BreakKind.values), name="break_kind_known"),
            models.CheckConstraint(condition=Q(severity__in=Severity.values), name="break_severity_known"),
            models.CheckConstraint(condition=Q(status__in=BreakStatus.values), name="break_status_known"),
            models.UniqueConstraint(
                fields=["account", "kind", "subject"], condition=~Q(status="resolved"), name="break_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=~Q(status="resolved") | Q(resolved_at__isnull=False) & ~Q(resolution=""),
                name="break_resolved_says_how",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"
