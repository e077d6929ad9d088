"""The sidebar in the words of the house, and the style sheet and script of our own pages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

Entry = tuple[str, str, str]
"""Title, model and icon; what follows a slash is another page of the model than its list."""

GROUPS: list[tuple[str, list[Entry]]] = [
    (
        "Desk",
        [
            ("Orders", "orders.Order", "receipt_long"),
            ("Fills", "positions.Fill", "swap_horiz"),
            ("Positions", "positions.Position", "monitoring"),
            ("What we own", "positions.Holding/owned", "savings"),
            ("Holdings", "positions.Holding", "inventory_2"),
            ("Realised PnL", "positions.RealisedPnl", "trending_up"),
            ("Statements", "positions.Fill/statements", "summarize"),
            ("Balances", "exchanges.Balance", "account_balance_wallet"),
            ("Ledger", "positions.LedgerEntry", "menu_book"),
            ("Postings", "positions.Posting", "move_up"),
            ("Equity", "positions.EquitySeries", "show_chart"),
            ("Equity points", "positions.EquityPoint", "timeline"),
            ("Valuations", "positions.Valuation", "balance"),
            ("Marks", "positions.Mark", "sell"),
            ("Trade cursors", "positions.TradeCursor", "bookmark"),
        ],
    ),
    (
        "Risk",
        [
            ("Trading states", "risk.TradingState", "traffic"),
            ("Alerts", "risk.Alert", "notifications_active"),
            ("Kills", "risk.KillEpisode", "emergency_home"),
            ("Limits", "risk.Limit", "speed"),
            ("Decisions and breaches", "risk.Decision", "gavel"),
            ("Reservations", "risk.Reservation", "lock_clock"),
            ("Breaks", "orders.Break", "difference"),
            ("Circuits", "risk.Circuit", "electrical_services"),
            ("Pauses", "risk.Pause", "pause"),
            ("Approvals", "common.Approval", "approval"),
        ],
    ),
    (
        "Exchanges",
        [
            ("Accounts", "exchanges.Account", "account_balance"),
            ("Instruments", "exchanges.Instrument", "candlestick_chart"),
            ("Quotes", "exchanges.Quote", "price_change"),
            ("Order books", "exchanges.Depth", "stacks"),
            ("Streams", "exchanges.StreamState", "sensors"),
            ("Freshness", "exchanges.AccountFreshness", "update"),
            ("Host clocks", "exchanges.HostClock", "schedule"),
            ("Host pauses", "exchanges.HostPause", "pause_circle"),
        ],
    ),
    (
        "Paper exchange",
        [
            ("Terms", "exchanges.PaperAccount", "science"),
            ("Paper orders", "exchanges.PaperOrder", "receipt_long"),
            ("Paper trades", "exchanges.PaperTrade", "paid"),
            ("Paper balances", "exchanges.PaperBalance", "wallet"),
            ("Paper books", "exchanges.PaperBook", "stacks"),
            ("Paper flows", "exchanges.PaperFlow", "sync_alt"),
            ("Public trades", "exchanges.PublicPrint", "rss_feed"),
        ],
    ),
    (
        "Engine",
        [
            ("Events", "common.Event", "history"),
            ("Commands", "orders.Command", "outbox"),
            ("Attempts", "orders.Attempt", "send"),
            ("Exchange orders", "orders.ExchangeOrder", "tag"),
            ("Absence evidence", "orders.AbsenceEvidence", "search_off"),
            ("Queue beats", "common.QueueBeat", "ecg_heart"),
            ("Chores", "common.Chore", "cleaning_services"),
            ("Dead tasks", "common.DeadTask", "running_with_errors"),
            ("Queued tasks", "django_q.OrmQ", "queue"),
            ("Failed tasks", "django_q.Failure", "error"),
        ],
    ),
    (
        "People",
        [
            ("Users", "auth.User", "person"),
            ("Groups", "auth.Group", "group"),
            ("API keys", "common.ApiKey", "key"),
            ("Strategies", "common.Strategy", "psychology"),
            ("Idempotency keys", "common.IdempotencyKey", "fingerprint"),
        ],
    ),
]


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """The pages that this person may open; a group without any is left out."""
    overview = {"title": "Overview", "icon": "space_dashboard", "link": reverse("admin:index")}
    groups: list[dict[str, Any]] = [{"items": [overview]}]
    pages = {model._meta.label: page for model, page in admin.site._registry.items()}
    for title, entries in GROUPS:
        items = [_item(*entry) for entry in entries if _may_view(pages.get(entry[1].partition("/")[0]), request)]
        if items:
            groups.append({"title": title, "separator": True, "collapsible": False, "items": items})
    return groups


def _may_view(page: admin.ModelAdmin[Any] | None, request: HttpRequest) -> bool:
    return page is not None and page.has_view_permission(request)


def _item(title: str, label: str, icon: str) -> dict[str, Any]:
    app, _, name = label.lower().partition(".")
    model, _, page = name.partition("/")
    return {"title": title, "icon": icon, "link": reverse(f"admin:{app}_{model}_{page or 'changelist'}")}


def style(request: HttpRequest) -> str:
    """Of the bar, the desk and the acts."""
    return static("back_office/back_office.css")


def script(request: HttpRequest) -> str:
    """Keeps the bar and the desk fresh."""
    return static("back_office/live.js")


def favicon(request: HttpRequest) -> str:
    """Of every page."""
    return static("back_office/favicon.svg")
