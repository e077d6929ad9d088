"""Orders, exchange orders, commands, attempts and absence evidence in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse

from execution_project.common.admin_filters import by_condition, by_time
from execution_project.common.admin_values import (
    NONE,
    Button,
    Document,
    Facts,
    Section,
    amount,
    badge,
    folded,
    link,
    link_to,
    moment,
    short_id,
)
from execution_project.common.read_only_admin import ReadOnlyAdmin, may
from execution_project.common.rights import Right
from orders.admin import order_page
from orders.break_overview import age_bucket_of
from orders.breaks import LISTED
from orders.lifecycle import ENDED, OrderStatus
from orders.models import AbsenceEvidence, Attempt, Break, Command, ExchangeOrder, Order
from orders.resolving import outcomes_for

# The condition of the index ``order_live``, word by word, so that the planner sees that the index answers it.
_LIVE = ~Q(status__in=["denied", "rejected", "settled"])


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders, newest first; a page shows everything that was asked, decided, sent, answered and filled."""

    list_display = (
        "created_at",
        "what",
        "symbol",
        "status_badge",
        "filled",
        "price",
        "account",
        "strategy",
        "created_by",
    )
    list_select_related = ("account", "instrument", "strategy")
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {
                "working": ("working", _LIVE & ~Q(status__in=sorted(ENDED))),
                "unknown": ("outcome unknown", _LIVE & Q(status=OrderStatus.SUBMIT_UNKNOWN)),
                "unverified": ("closed, unverified", _LIVE & Q(status=OrderStatus.CLOSED_UNVERIFIED)),
                "unsettled": ("ended, not settled", _LIVE & Q(status__in=["filled", "canceled", "expired"])),
            },
        ),
        "status",
        by_time("id"),
        "account",
        "strategy",
        "side",
        "type",
    )
    link_filters = ("instrument__id__exact",)
    search_fields = (
        *("id", "exchange_orders__client_order_id", "exchange_orders__exchange_order_id", "idempotency_key"),
        "instrument__symbol",
    )
    search_help_text = "order id, client order id, exchange order id, idempotency key or symbol"
    record_template = "admin/orders/order/change_form.html"

    @admin.display(description="order")
    def what(self, row: Order) -> str:
        """Side, quantity and type."""
        return order_page.what(row)

    @admin.display(description="status")
    def status_badge(self, row: Order) -> str:
        """The status, and how a settled order ended."""
        return order_page.status_badge(row)

    @admin.display(description="filled")
    def filled(self, row: Order) -> str:
        """Base quantity in the books."""
        return amount(row.filled_quantity)

    @admin.display(description="symbol")
    def symbol(self, row: Order) -> str:
        """As the exchange writes it."""
        return link("exchanges_instrument", row.instrument_id, row.instrument.symbol)

    def buttons(self, request: HttpRequest, row: Order) -> list[Button]:
        """Cancel, while there is something to cancel; resolve what is unknown; each for whoever may."""
        buttons = []
        if may(request, Right.RESOLVE) and outcomes_for(row):
            buttons.append(Button("Resolve …", reverse("admin:act_resolve_order", args=[row.id]), "primary"))
        if row.status not in ENDED and may(request, Right.CANCEL):
            buttons.append(Button("Cancel order", reverse("admin:act_cancel_order", args=[row.id]), "danger"))
        return buttons

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The order with what its page names."""
        row = super().get_object(request, object_id, from_field)
        return row and Order.objects.select_related("account", "instrument", "strategy").get(pk=row.pk)

    def sections(self, request: HttpRequest, row: Order) -> list[Section]:
        """Everything below the timeline."""
        return []

    def page(self, request: HttpRequest, row: Order) -> dict[str, Any]:
        """The order's story."""
        return order_page.context(row)


@admin.display(description="order")
def _order(row: Any) -> str:
    return link("orders_order", row.order_id, short_id(row.order_id))


@admin.register(ExchangeOrder)
class ExchangeOrderAdmin(ReadOnlyAdmin):
    """What was sent to exchanges for orders, newest first."""

    list_display = (
        *("created_at", "client_order_id", "exchange_order_id", "generation", "reported", "quantity", "price"),
        *("cumulative_quantity", "booked_quantity", "ended", _order),
    )
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {"alive": ("not proven ended", Q(end_proof="")), "ended": ("ended", ~Q(end_proof=""))},
        ),
        by_time("id"),
    )
    search_fields = ("id", "client_order_id", "exchange_order_id", "order_id")
    search_help_text = "client order id, exchange order id or order id"

    @admin.display(description="reported")
    def reported(self, row: ExchangeOrder) -> str:
        """The exchange's last word."""
        return badge(row.reported_status)

    @admin.display(description="ended by")
    def ended(self, row: ExchangeOrder) -> str:
        """By what it is proven that it can trade no more."""
        return row.end_proof or (badge("planned", "blue") if row.planned else badge("alive", "amber"))


def duration(row: Attempt) -> str:
    """From claim to answer, in milliseconds."""
    if row.answered_at is None:
        return NONE
    return f"{(row.answered_at - row.claimed_at).total_seconds() * 1000:.0f} ms"


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """The outbox, newest first."""

    list_display = (
        "created_at",
        "kind",
        "status",
        "method",
        "fence",
        "not_before",
        "finished_at",
        "requested_by",
        _order,
    )
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {
                "live": ("not finished", Q(status__in=["queued", "claimed", "unknown"])),
                "queued": ("queued", Q(status="queued")),
                "claimed": ("claimed", Q(status__in=["queued", "claimed", "unknown"]) & Q(status="claimed")),
                "unknown": ("unknown", Q(status__in=["queued", "claimed", "unknown"]) & Q(status="unknown")),
            },
        ),
        by_time("id"),
        "kind",
    )
    list_select_related = False
    search_fields = ("id", "order_id", "exchange_order__client_order_id")
    search_help_text = "command id, order id or client order id"

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The command with what its page names."""
        row = super().get_object(request, object_id, from_field)
        return row and Command.objects.select_related("order", "exchange_order", "planned").get(pk=row.pk)

    def sections(self, request: HttpRequest, row: Command) -> list[Section]:
        """Its values and its attempts."""
        return [*super().sections(request, row), order_page.attempts_table(list(row.attempts.order_by("id")[:100]))]


@admin.register(Attempt)
class AttemptAdmin(ReadOnlyAdmin):
    """HTTP calls made for commands, newest first."""

    list_display = ("claimed_at", "kind", "outcome_badge", "code", "message", "took", "worker", "order")
    list_select_related = ("command",)
    list_filter = (
        by_condition(
            "outcome",
            "outcome",
            {
                "none": ("not answered", Q(outcome="")),
                **{
                    name: (name.replace("_", " "), Q(outcome=name))
                    for name in (
                        *("accepted", "refused", "unknown", "not_sent", "not_executed", "throttled", "auth", "clock"),
                        "not_found",
                    )
                },
            },
        ),
        by_time("id"),
        "kind",
    )
    search_fields = ("id", "command_id", "exchange_order__client_order_id", "command__order_id")
    search_help_text = "attempt id, command id, client order id or order id"

    @admin.display(description="outcome")
    def outcome_badge(self, row: Attempt) -> str:
        """The outcome's class."""
        return badge(row.outcome or "waiting")

    @admin.display(description="took")
    def took(self, row: Attempt) -> str:
        """From claim to answer."""
        return duration(row)

    @admin.display(description="order")
    def order(self, row: Attempt) -> str:
        """The order that it is about."""
        return link("orders_order", row.command.order_id, short_id(row.command.order_id))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The attempt with what its page names."""
        row = super().get_object(request, object_id, from_field)
        return row and Attempt.objects.select_related("command", "exchange_order").get(pk=row.pk)


@admin.register(AbsenceEvidence)
class AbsenceEvidenceAdmin(ReadOnlyAdmin):
    """Rounds of asking for what nobody has seen, newest first."""

    list_display = ("asked_at", "verdict", "detail", "answered_at", _order)
    list_filter = (by_time("id"),)
    search_fields = ("id", "order_id", "exchange_order__client_order_id")
    search_help_text = "order id or client order id"

    def sections(self, request: HttpRequest, row: AbsenceEvidence) -> list[Section]:
        """The verdict, the bounds and every answer."""
        return [
            Facts(
                "Round",
                [
                    ("verdict", badge(row.verdict)),
                    ("detail", row.detail or NONE),
                    ("order", link("orders_order", row.order_id, row.order_id)),
                    ("exchange order", link_to(row.exchange_order)),
                    ("asked", moment(row.asked_at)),
                    ("answered", moment(row.answered_at)),
                    ("exchange time", row.exchange_ms),
                    ("counts from", row.counts_from_ms),
                    ("bounds", folded(row.bounds, "bounds")),
                ],
            ),
            Document("Answers", row.answers),
        ]


@admin.register(Break)
class BreakAdmin(ReadOnlyAdmin):
    """Differences between our books and the exchange's, newest first."""

    list_display = (
        *("opened_at", "age", "account", "kind", "severity", "status", "subject", "expected", "observed"),
        *("difference", "owner", "resolved_at"),
    )
    list_select_related = ("account",)
    list_filter = (
        by_condition(
            "standing",
            "standing",
            {"open": ("not resolved", ~Q(status="resolved")), "resolved": ("resolved", Q(status="resolved"))},
        ),
        by_time("id"),
        "severity",
    )
    search_fields = ("id",)
    search_help_text = "id of the break"

    @admin.display(description="age")
    def age(self, row: Break) -> str:
        """Its bucket: open for at least so long, until its end."""
        return age_bucket_of(row)

    def buttons(self, request: HttpRequest, row: Break) -> list[Button]:
        """Take it and resolve it, while it is open and for whoever may."""
        if row.status not in LISTED or not may(request, Right.RESOLVE):
            return []
        return [
            Button("Acknowledge", reverse("admin:act_acknowledge_break", args=[row.id])),
            Button("Resolve …", reverse("admin:act_resolve_break", args=[row.id]), "primary"),
        ]
