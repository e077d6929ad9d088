"""The paper exchange in the admin: what it keeps of each account, and what was taken of its books. All read-only.

Orders and trades here are the exchange's side; ours are among the orders and fills of the engine.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from exchanges.models import PaperAccount, PaperBalance, PaperBook, PaperFlow, PaperOrder, PaperTrade, PublicPrint
from exchanges.paper.engine import MODEL
from exchanges.paper.pit import OPEN
from exchanges.paper.terms import rates_of, volume_of
from execution_project.common import clock
from execution_project.common.admin_values import NONE, Facts, Section, Table, amount, badge, link, link_to
from execution_project.common.money import plain
from execution_project.common.read_only_admin import ReadOnlyAdmin, show

_ROWS = 100


class _PaperPage(ReadOnlyAdmin):
    """A page of the paper exchange wears the mode's colour."""

    def badges(self, row: Any) -> list[str]:
        """The mode, and where the row stands."""
        return [badge("paper"), *super().badges(row)]


@admin.register(PaperAccount)
class PaperAccountAdmin(_PaperPage):
    """On what terms the paper exchange serves each account."""

    small = True
    ordering = ("account__name",)
    list_display = ("account", "maker_rate", "taker_rate", "tax_rate", "bnb_fees", "submit_ms", "cancel_ms", "seed")
    list_select_related = ("account",)
    search_fields = ("account__name",)
    search_help_text = "account"

    def heading(self, row: PaperAccount) -> str:
        """By the account's name."""
        return f"Paper exchange of {row.account.name}"

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]  # django-unfold has no types
        """With the account that lists and pages name."""
        return super().get_queryset(request).select_related("account")

    def sections(self, request: HttpRequest, row: PaperAccount) -> list[Section]:
        """Terms, balances, open orders, and what was taken of each book."""
        name = row.account.name
        orders = PaperOrder.objects.filter(account=row.account, status__in=OPEN).select_related("instrument")
        books = (
            PaperBook.objects.filter(account=row.account).select_related("instrument").order_by("instrument__symbol")
        )
        balances = PaperBalance.objects.filter(account=row.account).order_by("asset")
        return [
            *super().sections(request, row),
            Facts(
                "Changing this",
                [
                    ("model of fills", MODEL),
                    ("terms and faults", f"manage.py set_paper_terms {name} --reason …"),
                    ("money", f"manage.py paper_deposit {name} ASSET AMOUNT --reason …"),
                ],
            ),
            *_tiers(row),
            Table(
                "Balances",
                ["asset", "free", "locked"],
                [(each.asset, amount(each.free), amount(each.locked)) for each in balances[:_ROWS]],
                empty="Nothing was brought in yet.",
            ),
            Table(
                "Open orders",
                ["number", "instrument", "side", "type", "quantity", "executed", "price", "in front of it", "locked"],
                [_open_order(each) for each in orders.order_by("-number")[:_ROWS]],
                empty="No order is open.",
            ),
            Table(
                "Books",
                ["instrument", "last price", "levels taken of"],
                [
                    (
                        link("exchanges_paperbook", each.pk, each.instrument.symbol),
                        amount(each.last_price),
                        len([level for level in [*each.bids, *each.asks] if level[1] != level[2]]),
                    )
                    for each in books[:_ROWS]
                ],
                empty="It has not looked at any book yet.",
            ),
        ]


def _tiers(row: PaperAccount) -> list[Section]:
    steps = row.tiers.get("steps", [])
    if not steps:
        return []
    asset, now = row.tiers["asset"], clock.now()
    rates = rates_of(row, row.account, asset, now)
    return [
        Table(
            "Fee tiers",
            [f"from volume of 30 days in {asset}", "maker", "taker"],
            [(volume, maker, taker) for volume, maker, taker in steps],
            empty="None.",
        ),
        Facts(
            "Tier of now",
            [
                ("volume of 30 days", amount(volume_of(row.account, asset, now), asset)),
                ("maker and taker", f"{plain(rates.maker)}, {plain(rates.taker)}"),
            ],
        ),
    ]


def _open_order(row: PaperOrder) -> list[object]:
    return [
        link("exchanges_paperorder", row.pk, f"#{row.number}"),
        link_to(row.instrument),
        badge(row.side),
        row.type,
        amount(row.quantity),
        amount(row.executed),
        amount(row.price),
        amount(row.ahead),
        amount(row.locked),
    ]


@admin.register(PaperBook)
class PaperBookAdmin(_PaperPage):
    """What each account was shown of a book, and what it took."""

    list_display = ("account", "instrument", "last_price", "last_print")
    list_select_related = ("account", "instrument")
    list_filter = ("account",)
    search_fields = ("instrument__symbol",)
    search_help_text = "symbol"

    def get_queryset(self, request: HttpRequest):  # type: ignore[no-untyped-def]  # django-unfold has no types
        """With what lists and pages name."""
        return super().get_queryset(request).select_related("account", "instrument")

    def heading(self, row: PaperBook) -> str:
        """By account and pair."""
        return f"{row.instrument.symbol} as {row.account.name} sees it"

    def sections(self, request: HttpRequest, row: PaperBook) -> list[Section]:
        """Level by level: shown, taken by the account, and left for it until the market shows another size."""
        return [
            Facts(
                "Book",
                [
                    ("account", link_to(row.account)),
                    ("instrument", link_to(row.instrument)),
                    ("last price", amount(row.last_price)),
                    ("last public trade matched", row.last_print or NONE),
                ],
            ),
            _levels("Asks", row.asks),
            _levels("Bids", row.bids),
        ]


def _levels(title: str, levels: list[list[str]]) -> Table:
    return Table(
        title,
        ["price", "shown", "taken", "left"],
        [(price, shown, plain(Decimal(shown) - Decimal(left)), left) for price, shown, left in levels],
        empty="Nothing is shown.",
    )


show(
    PaperOrder,
    *("account", "number", "instrument", "side", "type", "quantity", "executed", "price", "status", "placed_at"),
    filters=("account", "status"),
)
show(
    PaperTrade,
    *("account", "number", "instrument", "price", "quantity", "quote_quantity", "is_maker", "model", "traded_at"),
    filters=("account",),
)
show(
    PaperBalance,
    *("account", "asset", "free", "locked"),
    search=("asset", "account__name"),
    hint="asset or account",
    filters=("account",),
    ordering=("account__name", "asset"),
    small=True,
)
show(PaperFlow, "at", "account", "asset", "amount", "reason", "actor", filters=("account",))
show(
    PublicPrint,
    *("traded_at", "instrument", "price", "quantity", "aggressor", "trade_id"),
    search=("instrument__symbol",),
    hint="symbol",
)
