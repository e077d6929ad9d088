"""The books in the admin: what we own, holdings, positions and realised profits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse

from execution_project.common.admin_filters import by_condition, by_time
from execution_project.common.admin_values import NONE, Facts, Table, badge, cut, link, wrapping
from execution_project.common.money import plain
from positions.aggregates import sum_holdings, total_positions
from positions.dust import with_dust
from positions.models import Holding, Position, RealisedPnl
from positions.shown import ShownHolding, ShownPosition, show_holdings, show_positions
from positions.totals_admin import TotalsAdmin

_MONEY = ("cost", "value", "unrealised", "realised", "currency effect")


def _lacking(missing: Sequence[str]) -> str:
    return wrapping(f"not known: {', '.join(missing)}") if missing else NONE


@admin.register(Holding)
class HoldingAdmin(TotalsAdmin):
    """Inventory with its cost and its worth now, in the reporting currency."""

    list_display = (
        *(
            "asset",
            "account",
            "strategy",
            "in_suspense",
            "quantity",
            "average_cost",
            "known_cost",
            "value",
            "unrealised",
        ),
        *("realised_pnl", "currency_effect", "dust", "lacking", "updated_at"),
    )
    list_select_related = ("account", "strategy")
    list_filter = (
        by_condition("standing", "standing", {"held": ("held", ~Q(quantity=0)), "none": ("nothing", Q(quantity=0))}),
        by_condition(
            "dust", "too little to sell", {"yes": ("dust", Q(is_dust=True)), "no": ("no dust", Q(is_dust=False))}
        ),
        *("account", "account__mode", "strategy", "in_suspense"),
    )
    link_filters = ("asset", "asset__exact")
    search_fields = ("asset", "account__name")
    search_help_text = "asset or account"
    ordering = ("account__name", "asset", "strategy__name")
    small = True

    def get_urls(self) -> list[Any]:
        """Beside the list and the pages: what we own over all exchanges."""
        view = self.admin_site.admin_view(self.owned_view)
        return [path("owned/", view, name="positions_holding_owned"), *super().get_urls()]

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]  # django-unfold has no types
        """With what is too little to be sold."""
        return with_dust(super().get_queryset(request))

    def prepare(self, rows: Sequence[Holding]) -> None:
        """Value them."""
        for row, shown in zip(rows, show_holdings(rows), strict=True):
            row.shown = shown  # type: ignore[attr-defined]

    def totals(self, rows: QuerySet[Holding]) -> Table:
        """In the reporting currency, per mode."""
        shown = show_holdings(list(rows.select_related("account", "strategy")))
        return Table(
            "Totals",
            ["mode", *_MONEY, "missing"],
            [
                (
                    badge(sums.mode),
                    *map(cut, (sums.cost, sums.value, sums.unrealised_pnl, sums.realised_pnl, sums.currency_effect)),
                    _lacking(sums.missing),
                )
                for sums in sum_holdings(shown, "all")
            ],
        )

    @admin.display(description="cost")
    def known_cost(self, row: Holding) -> str:
        """Fees included; nothing while a rate is missing."""
        return cut(_shown(row).cost)

    @admin.display(description="value")
    def value(self, row: Holding) -> str:
        """Quantity at the bid."""
        return cut(_shown(row).value)

    @admin.display(description="unrealised")
    def unrealised(self, row: Holding) -> str:
        """Value less cost."""
        return cut(_shown(row).unrealised)

    @admin.display(description="dust")
    def dust(self, row: Holding) -> str:
        """Whether every pair of it asks for more."""
        return "dust" if _shown(row).dust else NONE

    @admin.display(description="missing")
    def lacking(self, row: Holding) -> str:
        """Why a number is not there."""
        return _lacking(_shown(row).missing)

    def owned_view(self, request: HttpRequest) -> HttpResponse:
        """Everything by asset over the exchanges, per mode, the most valuable first."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = Holding.objects.select_related("account", "strategy").exclude(quantity=0)
        shown = show_holdings(list(rows.order_by("id")))
        modes = sorted({one.row.account.mode for one in shown})
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": self.media,
            "title": "What we own",
            "heading": "What we own",
            "back": reverse("admin:positions_holding_changelist"),
            "sections": [_owned([one for one in shown if one.row.account.mode == mode], mode) for mode in modes]
            or [Facts("Nothing", [("holdings", "No account holds anything yet.")])],
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, self.record_template, context)


def _shown(row: Any) -> ShownHolding:
    if not hasattr(row, "shown"):
        row.shown = show_holdings([row])[0]
    shown: ShownHolding = row.shown
    return shown


def _owned(shown: Sequence[ShownHolding], mode: str) -> Table:
    exchanges = sorted({one.row.account.exchange for one in shown})
    at: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for one in shown:
        at[one.row.asset, one.row.account.exchange] += one.row.quantity
    (everything,) = sum_holdings(shown, "all")
    sums = sorted(sum_holdings(shown, "asset"), key=lambda row: (row.value is None, -(row.value or Decimal(0))))
    lines: list[Sequence[object]] = [
        (
            str(row.group["asset"]),
            cut(row.quantity),
            *(cut(at.get((str(row.group["asset"]), exchange))) for exchange in exchanges),
            cut(row.average_cost),
            cut(row.cost),
            cut(row.value),
            NONE if row.share is None else f"{plain(row.share)} %",
            cut(row.unrealised_pnl),
            cut(row.realised_pnl),
            _lacking(row.missing),
        )
        for row in sums
    ]
    whole = (everything.cost, everything.value)
    rest = (everything.unrealised_pnl, everything.realised_pnl)
    blank = [""] * (len(exchanges) + 2)
    share = NONE if everything.share is None else "100 %"
    lines.append(("all", *blank, *map(cut, whole), share, *map(cut, rest), _lacking(everything.missing)))
    return Table(
        f"{mode}, in {settings.EXEC_REPORTING_CURRENCY}",
        [
            "asset",
            "quantity",
            *exchanges,
            "average cost",
            "cost",
            "value",
            "share",
            "unrealised",
            "realised",
            "missing",
        ],
        lines,
        note="Quantities are what the ledger has at the exchanges; values at the bid."
        " A sum of which a part is not known is not known.",
    )


@admin.register(Position)
class PositionAdmin(TotalsAdmin):
    """The trader's view, in the quote asset of each pair."""

    list_display = (
        *("instrument", "account", "strategy", "net_quantity", "average_price", "realised_pnl", "unrealised", "fees"),
        *("after_fees", "confidence_badge", "fill_count", "last_trade_at", "last_trade_id"),
    )
    list_select_related = ("account", "instrument", "strategy")
    list_filter = (
        by_condition(
            "standing", "standing", {"open": ("open", ~Q(net_quantity=0)), "flat": ("flat", Q(net_quantity=0))}
        ),
        *("account", "account__mode", "strategy"),
    )
    search_fields = ("instrument__symbol", "account__name")
    search_help_text = "symbol or account"
    ordering = ("account__name", "instrument__symbol", "strategy__name")
    small = True

    def prepare(self, rows: Sequence[Position]) -> None:
        """Price them."""
        for row, shown in zip(rows, show_positions(rows), strict=True):
            row.shown = shown  # type: ignore[attr-defined]

    def totals(self, rows: QuerySet[Position]) -> Table:
        """In the reporting currency, per mode."""
        shown = show_positions(list(rows.select_related("account", "instrument", "strategy")))
        return Table(
            "Totals",
            ["mode", "realised", "unrealised", "fees", "PnL before fees", "PnL after fees", "missing"],
            [
                (
                    badge(row.mode),
                    *map(cut, (row.realised_pnl, row.unrealised_pnl, row.fees, row.before_fees, row.after_fees)),
                    _lacking(row.missing),
                )
                for row in total_positions(shown, "all")
            ],
            note="In the reporting currency, every quote asset at its mark.",
        )

    @admin.display(description="unrealised")
    def unrealised(self, row: Position) -> str:
        """At the side where it could be closed."""
        return cut(_priced(row).unrealised)

    @admin.display(description="fees")
    def fees(self, row: Position) -> str:
        """All of them, in the quote asset."""
        return cut(_priced(row).fees)

    @admin.display(description="PnL after fees")
    def after_fees(self, row: Position) -> str:
        """Realised and unrealised less fees."""
        return cut(_priced(row).after_fees)

    @admin.display(description="confidence")
    def confidence_badge(self, row: Position) -> str:
        """What the numbers rest on."""
        tone = {"confirmed": "green", "provisional": "amber", "disputed": "red"}[row.confidence]
        return badge(row.confidence, tone)


def _priced(row: Any) -> ShownPosition:
    if not hasattr(row, "shown"):
        row.shown = show_positions([row])[0]
    shown: ShownPosition = row.shown
    return shown


@admin.register(RealisedPnl)
class RealisedPnlAdmin(TotalsAdmin):
    """What each disposal realised, in the reporting currency."""

    list_display = (
        *("at", "asset", "account", "strategy", "instrument", "role", "quantity", "proceeds", "cost", "realised"),
        *("currency_effect", "is_pending", "fact"),
    )
    list_select_related = ("account", "strategy", "instrument")
    list_filter = (by_time("at", "time"), "account", "strategy", "role", "is_pending")
    link_filters = ("asset", "asset__exact")
    search_fields = ("fill_id", "posting_id")
    search_help_text = "fill id or posting id"

    @admin.display(description="fact")
    def fact(self, row: RealisedPnl) -> str:
        """The fill or posting that disposed of it."""
        if row.fill_id is not None:
            return link("positions_fill", row.fill_id, "fill")
        return link("positions_posting", row.posting_id, "posting")

    def totals(self, rows: QuerySet[RealisedPnl]) -> Table:
        """Per mode."""
        columns = {f"sum_{name}": Sum(name) for name in ("proceeds", "cost", "realised", "currency_effect")}
        found = rows.order_by().values("account__mode").annotate(**columns)
        return Table(
            "Totals",
            ["mode", "proceeds", "cost", "realised", "of it currency effect"],
            [
                (badge(mode), *map(cut, sums))
                for mode, *sums in found.order_by("account__mode").values_list("account__mode", *columns)
            ],
        )
