"""The gate in the admin: trading state, limits, decisions, reservations."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from execution_project.common import clock
from execution_project.common.admin_filters import by_condition, by_time
from execution_project.common.admin_values import (
    NONE,
    Button,
    Document,
    Facts,
    Section,
    Table,
    amount,
    badge,
    code,
    link,
    moment,
    short_id,
    wrapping,
)
from execution_project.common.read_only_admin import ReadOnlyAdmin, may
from execution_project.common.rights import Right
from risk import alert_admin, kill_admin, pause_admin  # noqa: F401  they register their pages
from risk.breaches import BROKEN, LOOKED_AT, broken
from risk.controls.result import ControlOutcome
from risk.intent import scope_name
from risk.limits import in_force
from risk.models import Circuit, Decision, Limit, Reservation, State, TradingState


@admin.register(TradingState)
class TradingStateAdmin(ReadOnlyAdmin):
    """What each scope lets through. A scope without a row is ACTIVE."""

    small = True
    ordering = ("scope_kind", "scope_key")
    list_display = ("scope", "state", "latched_badge", "reason", "changed_by", "changed_at", "last_halt_seq")
    list_filter = ("state", "scope_kind")
    search_fields = ("scope_key",)
    search_help_text = "name of the account, exchange, strategy or symbol"

    @admin.display(description="scope", ordering="scope_kind")
    def scope(self, row: TradingState) -> str:
        """Kind and name."""
        return scope_name(row.scope_kind, row.scope_key)

    @admin.display(description="latch")
    def latched_badge(self, row: TradingState) -> str:
        """Whether lifting takes a second person."""
        return badge("latched") if row.latched else NONE

    def heading(self, row: TradingState) -> str:
        """The scope."""
        return scope_name(row.scope_kind, row.scope_key)

    def buttons(self, request: HttpRequest, row: TradingState) -> list[Button]:
        """Halt what trades, start what is halted."""
        scope = urlencode({"kind": row.scope_kind, "key": row.scope_key})
        if row.state != State.ACTIVE and may(request, Right.START):
            label = "Propose start" if row.latched else "Start"
            return [Button(label, f"{reverse('admin:act_start')}?{scope}", "primary")]
        if row.state == State.ACTIVE and may(request, Right.HALT):
            return [Button("Halt", f"{reverse('admin:act_halt')}?{scope}", "danger")]
        return []


class CountingFilter(SimpleListFilter):
    """The versions that count now, or those that another one or time has replaced."""

    title = "standing"
    parameter_name = "counts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Both."""
        return [("yes", "counts now"), ("no", "replaced or expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows; raises ``IncorrectLookupParameters`` for what names neither."""
        value = self.value()
        if not value:
            return queryset
        if value not in {"yes", "no"}:
            raise IncorrectLookupParameters
        return queryset.filter(counting=value == "yes")


@admin.register(Limit)
class LimitAdmin(ReadOnlyAdmin):
    """Every version of every limit; the newest of a scope that has not expired counts."""

    small = True
    ordering = ("control", "mode", "scope_kind", "scope_key", "-version")
    list_display = (
        *("control", "mode", "scope", "version", "standing", "limit", "enforcement", "expires_at"),
        *("reason", "set_by", "set_at"),
    )
    list_filter = (CountingFilter, "mode", "enforcement", "scope_kind")
    search_fields = ("control", "scope_key")
    search_help_text = "control, or name of the account, exchange, strategy or symbol"

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]  # django-unfold has no types
        """With whether each version counts now."""
        counting = ExpressionWrapper(Q(id__in=in_force().values("id")), output_field=BooleanField())
        return super().get_queryset(request).annotate(counting=counting)

    @admin.display(description="standing")
    def standing(self, row: Any) -> str:
        """Whether this version is the one that orders are held against."""
        if row.counting:
            return badge("counts", "green")
        expired = row.expires_at is not None and row.expires_at <= clock.now()
        return badge("expired" if expired else "replaced", "gray")

    def badges(self, row: Any) -> list[str]:
        """Mode and standing."""
        return [*super().badges(row), self.standing(row)]

    @admin.display(description="scope", ordering="scope_kind")
    def scope(self, row: Limit) -> str:
        """Kind and name."""
        return scope_name(row.scope_kind, row.scope_key)

    @admin.display(description="value", ordering="value")
    def limit(self, row: Limit) -> str:
        """The value, or that it was taken away."""
        return badge("none", "gray") if row.value is None else amount(row.value)

    def buttons(self, request: HttpRequest, row: Limit) -> list[Button]:
        """Change it, for whoever may."""
        if not may(request, Right.CHANGE_LIMITS):
            return []
        named = {"control": row.control, "mode": row.mode, "kind": row.scope_kind, "key": row.scope_key}
        return [Button("Change", f"{reverse('admin:act_limit')}?{urlencode(named)}", "primary")]


def _breaches(row: Decision) -> str:
    """The codes of what broke; of a limit that only warns or watches with that word."""
    found = [
        (str(result.get("code") or result.get("control")), str(result.get("outcome")))
        for result in row.results
        if result.get("outcome") in BROKEN
    ]
    codes = [code if outcome == ControlOutcome.BREACH else f"{code} ({outcome})" for code, outcome in found]
    return wrapping(", ".join(codes))


class BrokenFilter(SimpleListFilter):
    """Decisions that broke limits. What only warned or was shadowed is in no index: it is looked for among the newest
    of what the other filters leave."""

    title = "breaches"
    parameter_name = "broke"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """By what came of the breach."""
        among = f"among the newest {LOOKED_AT:,}"
        return [("breach", "denied"), ("warned", f"warned, {among}"), ("shadowed", f"shadowed, {among}")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Decision]) -> QuerySet[Decision]:
        """The rows; raises ``IncorrectLookupParameters`` for an outcome that there is not."""
        value = self.value()
        if not value:
            return queryset
        if value not in BROKEN:
            raise IncorrectLookupParameters
        if value == ControlOutcome.BREACH:
            return queryset.filter(accepted=False)
        last = queryset.order_by("-id").values_list("id", flat=True)[LOOKED_AT - 1 : LOOKED_AT].first()
        return (queryset if last is None else queryset.filter(id__gte=last)).filter(broken([value], None, None))


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """What the gate decided, newest first."""

    list_display = (
        *("decided_at", "kind", "verdict", "breached", "mode", "account_name", "symbol", "side"),
        *("order_id", "actor", "gate_seq"),
    )
    list_filter = (
        by_condition(
            "verdict", "verdict", {"denied": ("denied", Q(accepted=False)), "accepted": ("accepted", Q(accepted=True))}
        ),
        by_time("id"),
        BrokenFilter,
    )
    search_fields = ("id", "order_id")
    search_help_text = "decision id or order id"

    @admin.display(description="verdict")
    def verdict(self, row: Decision) -> str:
        """Accepted or denied."""
        return badge("accepted" if row.accepted else "denied")

    @admin.display(description="breached")
    def breached(self, row: Decision) -> str:
        """The codes of the breached controls."""
        return _breaches(row)

    def badges(self, row: Decision) -> list[str]:
        """The verdict, and the mode of its account."""
        return [self.verdict(row), *super().badges(row)]

    def heading(self, row: Decision) -> str:
        """The decision by its time."""
        return f"Decision of {moment(row.decided_at)}"

    def sections(self, request: HttpRequest, row: Decision) -> list[Section]:
        """Every control with what it saw, and the inputs."""
        return [
            Facts(
                "Decision",
                [
                    ("order", link("orders_order", row.order_id, row.order_id)),
                    ("actor", row.actor),
                    ("gate number", row.gate_seq),
                    ("id", code(str(row.id))),
                ],
            ),
            Table(
                "Controls",
                ["no", "control", "outcome", "code", "observed", "limit", "headroom", "detail", "µs"],
                [
                    (
                        result.get("number", ""),
                        str(result.get("control", "")).replace("_", " "),
                        badge(str(result.get("outcome", ""))),
                        result.get("code") or NONE,
                        *(result.get(name) or NONE for name in ("observed", "limit", "headroom", "detail")),
                        result.get("microseconds", ""),
                    )
                    for result in row.results
                ],
            ),
            Document("Inputs of all controls", row.inputs),
            Document("Results as stored", row.results),
        ]


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """What live exchange orders may still consume, newest exchange order first."""

    ordering = ("-exchange_order_id",)
    list_display = ("exchange_order", "order_id", "account_name", "mode", "reserved", "exposure", "updated_at")
    list_filter = (
        by_condition("standing", "standing", {"live": ("live", Q(amount__gt=0)), "zero": ("zero", Q(amount=0))}),
        by_time("exchange_order_id"),
        "mode",
    )
    link_filters = ("account_name", "account_name__exact")
    search_fields = ("exchange_order_id", "order_id")
    search_help_text = "order id or the exchange order's own id"

    @admin.display(description="exchange order")
    def exchange_order(self, row: Reservation) -> str:
        """The end of its id."""
        return short_id(row.exchange_order_id)

    @admin.display(description="reserved")
    def reserved(self, row: Reservation) -> str:
        """Funds in their asset."""
        return amount(row.amount, row.asset)


@admin.register(Circuit)
class CircuitAdmin(ReadOnlyAdmin):
    """Requests that the exchange has refused, the last refusal first; three in a row stop their symbol."""

    small = True
    ordering = ("-refused_at",)
    list_display = ("refused_at", "account_name", "symbol", "code", "refusals", "open_until")
    search_fields = ("account_name",)
    search_help_text = "account"

    def buttons(self, request: HttpRequest, row: Circuit) -> list[Button]:
        """Close it, while it is open and for whoever may start trading."""
        if row.open_until is None or row.open_until <= clock.now() or not may(request, Right.START):
            return []
        return [Button("Close circuit", reverse("admin:act_close_circuit", args=[row.pk]), "primary")]
