"""The outside in the admin: accounts with write-only credentials, instruments, prices, balances, clocks, pauses."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from exchanges.accounts import AccountRefused, add_account, replace_credentials, set_market_as_limit_ioc
from exchanges.connections import WrongHost, host_of
from exchanges.models import (
    Account,
    AccountFreshness,
    Balance,
    Depth,
    Exchange,
    HostClock,
    HostPause,
    Instrument,
    Mode,
    PaperAccount,
    Quote,
    StreamState,
)
from exchanges.paper import admin as paper_admin  # noqa: F401  its pages are registered with these
from execution_project.common.admin_forms import SELECT, TEXT, SecretField, form_page
from execution_project.common.admin_values import (
    NONE,
    Button,
    Facts,
    Section,
    Table,
    amount,
    anchor,
    badge,
    field_value,
    joined,
    link_to,
    moment,
)
from execution_project.common.problems import Problem
from execution_project.common.read_only_admin import ReadOnlyAdmin, actor_of, may, show
from execution_project.common.rights import Right

_KEYS_OF_FILE = "A private key (PEM) has several lines: give it to the command instead."


class CredentialsForm(forms.Form):
    """A key and its secret, both written and never read."""

    key = SecretField(label="API key", max_length=4096, required=False)
    secret = SecretField(label="API secret", max_length=4096, required=False, help_text=_KEYS_OF_FILE)


_SENT_AS = {False: "MARKET", True: "LIMIT IOC"}


class MarketOrdersForm(forms.Form):
    """How MARKET orders are sent, and why."""

    sent_as = forms.ChoiceField(choices=[(name, name) for name in _SENT_AS.values()], widget=SELECT())
    reason = forms.CharField(max_length=256, widget=TEXT())


class AccountForm(CredentialsForm):
    """What an account is made of. Exchange and mode are final."""

    field_order = ("name", "exchange", "mode", "rest_url", "ws_url", "key", "secret")
    name = forms.CharField(max_length=64, widget=TEXT(), help_text="As orders name it; final.")
    exchange = forms.ChoiceField(choices=Exchange.choices, widget=SELECT())
    mode = forms.ChoiceField(
        choices=Mode.choices,
        initial=Mode.SANDBOX,
        widget=SELECT(),
        help_text="Live moves real money. Final, like the exchange.",
    )
    rest_url = forms.CharField(
        label="REST address",
        max_length=200,
        required=False,
        widget=TEXT(),
        help_text="A live host for a live account and for no other; empty for a paper account.",
    )
    ws_url = forms.CharField(
        label="Stream address", max_length=200, required=False, widget=TEXT(), help_text="Empty: no private stream."
    )


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Accounts; of the API key only its last four characters, of the secret nothing."""

    small = True
    ordering = ("name",)
    list_display = ("name", "exchange", "mode_badge", "rest_url", "key_tail", "books", "created_at")
    list_filter = ("exchange", "mode")
    search_fields = ("name", "id")
    search_help_text = "name"
    hidden = ("api_key_sealed", "api_secret_sealed")

    @admin.display(description="mode", ordering="mode")
    def mode_badge(self, row: Account) -> str:
        """Live in red."""
        return badge(row.mode)

    @admin.display(description="key")
    def key_tail(self, row: Account) -> str:
        """The last four characters of the API key."""
        return f"…{row.api_key_tail}" if row.api_key_tail else NONE

    @admin.display(description="books opened", ordering="books_opened_at")
    def books(self, row: Account) -> str:
        """Since when the books follow the exchange."""
        return moment(row.books_opened_at) if row.books_opened_at else badge("not open", "amber")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may manage accounts."""
        return may(request, Right.MANAGE_ACCOUNTS)

    def get_urls(self) -> list[Any]:
        """Beside the list and the pages: replacing credentials, and how MARKET orders are sent."""
        credentials = self.admin_site.admin_view(self.credentials_view)
        market_orders = self.admin_site.admin_view(self.market_orders_view)
        return [
            path("<int:account_id>/credentials/", credentials, name="exchanges_account_credentials"),
            path("<int:account_id>/market-orders/", market_orders, name="exchanges_account_market_orders"),
            *super().get_urls(),
        ]

    @method_decorator(sensitive_post_parameters("key", "secret"))
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Make an account."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = AccountForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                account = add_account(**form.cleaned_data, by=actor_of(request, "admin: add account"))
            except AccountRefused as refused:
                form.add_error(refused.field, str(refused))
            except WrongHost as wrong:
                ws_url = form.cleaned_data["ws_url"]
                form.add_error("ws_url" if ws_url and f"reach {ws_url}" in str(wrong) else "rest_url", str(wrong))
            else:
                messages.success(request, f"{account.name} is there. Its books are not open yet: run open_books.")
                return HttpResponseRedirect(reverse("admin:exchanges_account_change", args=[account.pk]))
        return form_page(
            self,
            request,
            form,
            title="Add account",
            submit="Add account",
            back=reverse("admin:exchanges_account_changelist"),
            explanation=["Name, exchange and mode never change. Key and secret are sealed and cannot be shown again."],
        )

    @method_decorator(sensitive_post_parameters("key", "secret"))
    def credentials_view(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Put another key and secret in place of the old ones."""
        if not may(request, Right.MANAGE_ACCOUNTS):
            raise PermissionDenied
        account = Account.objects.filter(pk=account_id).first()
        if account is None:
            raise Http404
        form = CredentialsForm(request.POST or None)
        page = reverse("admin:exchanges_account_change", args=[account.pk])
        if request.method == "POST" and form.is_valid():
            try:
                replace_credentials(account, **form.cleaned_data, by=actor_of(request, "admin: replace credentials"))
            except AccountRefused as refused:
                form.add_error(refused.field, str(refused))
            except Problem as problem:
                form.add_error(None, problem.detail)
            else:
                messages.success(request, f"The credentials of {account.name} are replaced.")
                return HttpResponseRedirect(page)
        return form_page(
            self,
            request,
            form,
            title=f"Replace the credentials of {account.name}",
            submit="Replace credentials",
            back=page,
            explanation=[
                "The new key must belong to the same account at the exchange: the books follow that account.",
                "From the next request on the new key is used. Withdraw the old one at the exchange afterwards.",
            ],
        )

    def market_orders_view(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Say how the account's MARKET orders are sent."""
        if not may(request, Right.MANAGE_ACCOUNTS):
            raise PermissionDenied
        account = Account.objects.filter(pk=account_id).first()
        if account is None:
            raise Http404
        form = MarketOrdersForm(request.POST or None, initial={"sent_as": _SENT_AS[account.market_as_limit_ioc]})
        page = reverse("admin:exchanges_account_change", args=[account.pk])
        if request.method == "POST" and form.is_valid():
            on, by = form.cleaned_data["sent_as"] == _SENT_AS[True], actor_of(request, "admin: market orders")
            try:
                set_market_as_limit_ioc(account, on, reason=form.cleaned_data["reason"], by=by)
            except Problem as problem:
                form.add_error(None, problem.detail)
            else:
                messages.success(request, f"MARKET orders of {account.name} are sent as {_SENT_AS[on]} from now on.")
                return HttpResponseRedirect(page)
        return form_page(
            self,
            request,
            form,
            title=f"MARKET orders of {account.name}",
            submit="Save",
            back=page,
            explanation=[
                "As LIMIT IOC they reach at most 0.5 % behind the best price; what finds nothing there expires.",
                "They then take quantity and no quote_quantity. Orders accepted before are sent as they were decided.",
            ],
        )

    def buttons(self, request: HttpRequest, row: Account) -> list[Button]:
        """What may be done about an account, each on a page that asks first."""
        scope = urlencode({"kind": "account", "key": row.name})
        buttons = []
        if may(request, Right.SYNC):
            buttons.append(Button("Sync", reverse("admin:act_sync", args=[row.pk])))
        if row.mode != Mode.PAPER and may(request, Right.MANAGE_ACCOUNTS):
            buttons.append(Button("Replace credentials", reverse("admin:exchanges_account_credentials", args=[row.pk])))
        if row.exchange == Exchange.BINANCE and may(request, Right.MANAGE_ACCOUNTS):
            buttons.append(Button("Market orders", reverse("admin:exchanges_account_market_orders", args=[row.pk])))
        if may(request, Right.START):
            buttons.append(Button("Start", f"{reverse('admin:act_start')}?{scope}"))
        if may(request, Right.HALT):
            buttons.append(Button("Halt", f"{reverse('admin:act_halt')}?{scope}", "danger"))
        return buttons

    def sections(self, request: HttpRequest, row: Account) -> list[Section]:
        """The account, its host, and what the exchange last reported."""
        facts = [
            (str(field.verbose_name), field_value(row, field.name))
            for field in self.model._meta.concrete_fields
            if field.name not in {*self.hidden, "api_key_tail"}
        ]
        orders = f"{reverse('admin:orders_order_changelist')}?account__id__exact={row.pk}"
        fills = f"{reverse('admin:positions_fill_changelist')}?account__id__exact={row.pk}"
        events = f"{reverse('admin:common_event_changelist')}?q={row.name}"
        return [
            Facts(
                "Account",
                [
                    *facts,
                    ("API key", self.key_tail(row)),
                    ("lists", joined([anchor(orders, "orders"), anchor(fills, "fills"), anchor(events, "events")])),
                    *_paper(row),
                ],
            ),
            *self._host(row),
            Table(
                "Balances as reported",
                ["asset", "free", "locked", "as of"],
                [
                    (balance.asset, amount(balance.free), amount(balance.locked), moment(balance.as_of))
                    for balance in Balance.objects.filter(account=row).order_by("asset")[:100]
                ],
                empty="The exchange has not reported any balance yet.",
            ),
        ]

    def _host(self, row: Account) -> list[Section]:
        host = host_of(row)
        offset = HostClock.objects.filter(host=host).first()
        pause = HostPause.objects.filter(host=host).first()
        return [
            Facts(
                "Host",
                [
                    ("host", host),
                    ("clock offset", f"{offset.offset_ms} ms, sampled {moment(offset.sampled_at)}" if offset else NONE),
                    ("round trip", f"{offset.round_trip_ms} ms" if offset else NONE),
                    ("paused until", f"{moment(pause.until)}: {pause.reason}" if pause else NONE),
                ],
            )
        ]


def _paper(row: Account) -> list[tuple[str, object]]:
    kept = PaperAccount.objects.filter(account=row).first()
    return [] if kept is None else [("paper exchange", link_to(kept))]


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    """Tradable pairs as the exchanges show them."""

    small = True
    ordering = ("symbol", "exchange", "mode")
    list_display = ("symbol", "exchange", "mode", "trading", "base_asset", "quote_asset", "status", "synced_at")
    list_filter = ("exchange", "mode", "is_trading")
    search_fields = ("symbol", "base_asset", "quote_asset")
    search_help_text = "symbol or asset"

    @admin.display(description="trading", ordering="is_trading")
    def trading(self, row: Instrument) -> str:
        """Whether orders are taken."""
        return badge("trading" if row.is_trading else "not_trading")

    def sections(self, request: HttpRequest, row: Instrument) -> list[Section]:
        """Its values, the last quote, its filters."""
        quote = Quote.objects.filter(instrument=row).first()
        orders = f"{reverse('admin:orders_order_changelist')}?instrument__id__exact={row.pk}"
        fills = f"{reverse('admin:positions_fill_changelist')}?instrument__id__exact={row.pk}"
        price = NONE
        if quote is not None:
            price = f"{amount(quote.bid)} / {amount(quote.ask)}, confirmed {moment(quote.confirmed_at)}"
        head = Facts(
            "Market", [("bid / ask", price), ("lists", joined([anchor(orders, "orders"), anchor(fills, "fills")]))]
        )
        return [head, *super().sections(request, row)]

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> Any:
        """Symbols and assets are written in capitals everywhere."""
        return super().get_search_results(request, queryset, search_term.upper())


show(
    Quote,
    *("instrument", "bid", "ask", "confirmed_at"),
    search=("instrument__symbol",),
    hint="symbol",
    filters=("instrument__exchange",),
    ordering=("-confirmed_at",),
    small=True,
)
show(
    Depth,
    *("instrument", "confirmed_at"),
    search=("instrument__symbol",),
    hint="symbol",
    ordering=("-confirmed_at",),
    small=True,
)
show(
    Balance,
    *("account", "asset", "free", "locked", "as_of"),
    search=("asset", "account__name"),
    hint="asset or account",
    filters=("account",),
    ordering=("account__name", "asset"),
    small=True,
)
show(HostClock, "host", "offset_ms", "round_trip_ms", "sampled_at", ordering=("host",), small=True)
show(HostPause, "host", "until", "banned", "reason", ordering=("-until",), small=True)
show(
    StreamState,
    *("kind", "subject", "exchange", "connected_since", "last_message_at", "reconnects", "gaps", "last_error"),
    *("written_at",),
    filters=("kind", "exchange"),
    ordering=("kind", "subject"),
    small=True,
)
show(
    AccountFreshness,
    *("account", "orders_at", "trades_at", "balances_at", "blocked_by"),
    ordering=("account__name",),
    small=True,
)
