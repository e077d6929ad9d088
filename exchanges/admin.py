"""The outside in the admin: accounts without their secrets, instruments, quotes, balances, clocks and pauses."""

from __future__ import annotations

from django.contrib import admin

from exchanges.models import Account, Balance, HostClock, HostPause, Instrument, Quote
from execution_project.common.read_only_admin import ReadOnlyAdmin, show

show(Instrument, "symbol", "exchange", "mode", "status", "is_trading", "synced_at", search=("symbol",))
show(Quote, "instrument", "bid", "ask", "confirmed_at")
show(Balance, "account", "asset", "free", "locked", "as_of", search=("asset",))
show(HostClock, "host", "offset_ms", "round_trip_ms", "sampled_at")
show(HostPause, "host", "until", "banned", "reason")


@admin.register(Account)
class AccountAdmin(ReadOnlyAdmin):
    """Accounts; of the API key only its last four characters."""

    list_display = ("name", "exchange", "mode", "rest_url", "api_key_tail", "books_opened_at")
    exclude = ("api_key_sealed", "api_secret_sealed")
