"""Facts of the books in the admin: fills, ledger entries, trade cursors. Holdings and the rest: ``books_admin``."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet, Sum
from django.http import HttpRequest

from exchanges.models import Account
from execution_project.common.admin_filters import by_time
from execution_project.common.admin_values import (
    NONE,
    Document,
    Facts,
    Section,
    Table,
    amount,
    badge,
    code,
    link,
    link_to,
    moment,
)
from execution_project.common.ids import read_client_order_id
from execution_project.common.read_only_admin import show
from positions import books_admin as books_admin  # its pages are registered with these
from positions import equity_admin as equity_admin
from positions import postings_admin as postings_admin
from positions.correction_admin import CorrectionPages, corrections_table
from positions.models import Fill, LedgerEntry, TradeCursor
from positions.totals_admin import TotalsAdmin


@admin.register(Fill)
class FillAdmin(CorrectionPages):
    """Trades at the exchange, as booked, the newest booked first."""

    list_display = (
        *("traded_at", "side_badge", "symbol", "quantity", "price", "quote_quantity", "fees_paid", "account"),
        *("trade_id", "order_id"),
    )
    list_select_related = ("account", "instrument")
    list_filter = (by_time("id", "time of booking"), "account", "strategy", "is_maker")
    link_filters = ("instrument__id__exact",)
    search_fields = ("id", "order_id", "trade_id", "exchange_order_id")
    search_help_text = "trade id, order id, client order id or exchange order id"

    @admin.display(description="side")
    def side_badge(self, row: Fill) -> str:
        """BUY or SELL."""
        return badge(row.side)

    @admin.display(description="symbol")
    def symbol(self, row: Fill) -> str:
        """As the exchange writes it."""
        return link("exchanges_instrument", row.instrument_id, row.instrument.symbol)

    @admin.display(description="fees")
    def fees_paid(self, row: Fill) -> str:
        """What was taken, in which asset."""
        return ", ".join(f"{fee.get('amount')} {fee.get('asset')}" for fee in row.fees) or NONE

    def search_conditions(self, text: str) -> list[Q]:
        """A client order id of ours names its order."""
        parts = read_client_order_id(text)
        return super().search_conditions(text) + ([] if parts is None else [Q(order_id=parts[1])])

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]  # django-unfold has no types
        """With what lists and pages name."""
        return super().get_queryset(request).select_related("account", "instrument", "strategy")

    def badges(self, row: Fill) -> list[str]:
        """Of which kind the account is."""
        return [badge(row.account.mode)]

    def sections(self, request: HttpRequest, row: Fill) -> list[Section]:
        """The trade, and what it moved."""
        base, quote = row.instrument.base_asset, row.instrument.quote_asset
        legs = LedgerEntry.objects.filter(fill=row).order_by("id")[:50]
        return [
            Facts(
                "Trade",
                [
                    ("order", NONE if row.order_id is None else link("orders_order", row.order_id, row.order_id)),
                    ("account", link_to(row.account)),
                    ("instrument", link_to(row.instrument)),
                    ("strategy", link_to(row.strategy)),
                    ("trade id", code(row.trade_id)),
                    ("exchange order id", code(row.exchange_order_id)),
                    ("client order id", code(row.client_order_id)),
                    ("price", amount(row.price, quote)),
                    ("quantity", amount(row.quantity, base)),
                    ("value", amount(row.quote_quantity, quote)),
                    ("role", NONE if row.is_maker is None else "maker" if row.is_maker else "taker"),
                    ("traded", moment(row.traded_at)),
                    ("booked", moment(row.booked_at)),
                    ("heard from", row.source) if row.model is None else ("made up by", row.model),
                    ("id", code(str(row.id))),
                ],
            ),
            Table(
                "Ledger",
                ["asset", "amount", "book", "kind"],
                [
                    (leg.asset, link("positions_ledgerentry", leg.pk, amount(leg.amount)), leg.book, leg.kind)
                    for leg in legs
                ],
            ),
            Document("Fees", row.fees),
            *([corrections_table(row)] if row.corrections.exists() else []),
        ]


@admin.register(LedgerEntry)
class LedgerEntryAdmin(TotalsAdmin):
    """Legs, the newest posted first. A fact's legs sum to zero per asset."""

    list_display = ("posted_at", "effective_at", "account", "asset", "book", "amount", "kind", "reference", "fact")
    list_select_related = ("account",)
    list_filter = (by_time("posted_at", "time of posting"), "account", "book")
    link_filters = ("asset", "asset__exact")
    search_fields = ("fill_id", "fill__order_id", "fill__trade_id", "posting_id", "asset")
    search_help_text = "fill id, order id, trade id, posting id or asset"

    @admin.display(description="fact")
    def fact(self, row: LedgerEntry) -> str:
        """The fill or the posting that it is a leg of."""
        if row.posting_id:
            return link("positions_posting", row.posting_id, f"posting {row.kind}")
        return link("positions_fill", row.fill_id, f"fill {row.reference}") if row.fill_id else NONE

    def totals(self, rows: QuerySet[LedgerEntry]) -> Table:
        """Per mode, asset and book."""
        found = rows.order_by().values("account__mode", "asset", "book").annotate(total=Sum("amount"))
        return Table(
            "Totals",
            ["mode", "asset", "book", "amount"],
            [
                (badge(row["account__mode"]), row["asset"], row["book"], amount(row["total"]))
                for row in found.order_by("account__mode", "asset", "book")
            ],
        )

    def search_conditions(self, text: str) -> list[Q]:
        """An asset is looked for account by account, as the index has it."""
        found = []
        for condition in super().search_conditions(text):
            if condition.children[0][0] == "asset":  # type: ignore[index]
                condition &= Q(account__in=list(Account.objects.values_list("pk", flat=True)))
            found.append(condition)
        return found


show(
    TradeCursor,
    *("account", "instrument", "opened_after_trade_id", "last_trade_id", "updated_at"),
    search=("instrument__symbol", "account__name"),
    hint="symbol or account",
    filters=("account",),
    ordering=("account__name", "instrument__symbol"),
    small=True,
)
