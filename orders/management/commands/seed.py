"""``manage.py seed``: what a first start needs, made once; a later start finds it and changes nothing."""

from __future__ import annotations

import base64
import json
import secrets
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError

from exchanges.accounts import add_account
from exchanges.models import Account, Exchange, Instrument, Mode
from exchanges.syncing import sync_instruments, sync_quotes
from execution_project.common.actors import Actor
from execution_project.common.api_keys import create_api_key
from execution_project.common.models import ApiKey, ApiKeyUse, Strategy
from execution_project.common.rights import EVERYTHING
from positions.opening import open_books
from positions.paper_deposits import deposit
from risk.limits import newest, tighten_or_set

ACCOUNT = "sim-binance"
ACCOUNTS = {ACCOUNT: Exchange.BINANCE, "sim-btcturk": Exchange.BTCTURK}
PAPER_ACCOUNT = "paper-binance"
STREAM_PATHS = {Exchange.BINANCE: "/ws-api/v3", Exchange.BTCTURK: "/ws"}
STRATEGY = "demo"
API_KEY_NAME = "first"
ACCOUNT_LIMITS = {
    "max_order_notional": "25000",
    "max_working_orders": "200",
    "max_order_rate_1s": "50",
    "max_drawdown": "0.1",
    "max_daily_loss_fraction": "0.02",
}
# Whoever tries the engine out repeats orders and meets their own: that warns, what costs money blocks.
LIMITS = (
    ("price_collar", "0.05", "BLOCK"),
    ("passive_collar", "0.5", "WARN"),
    ("max_asset_exposure", "3000000", "BLOCK"),
    ("max_gross_exposure", "5000000", "BLOCK"),
    ("max_turnover_1h", "20000000", "BLOCK"),
    ("duplicate_window", "5", "WARN"),
    ("self_match", "0", "WARN"),
    ("max_range_1m", "0.05", "WARN"),
)
# Monitors warn here: whoever rehearses an incident wants to see what they would say, and go on.
MONITORED = (
    ("max_rejects_60s", "20"),
    ("max_unknown_60s", "5"),
    ("max_losing_closes_1h", "50"),
)
# What is spent on fees by somebody who buys and sells for fun is much of what so small a strategy owns.
STRATEGY_LIMITS = (("max_drawdown", "0.05", "WARN"), ("max_repeated_executions", "1000", "WARN"))
# A host of its own for each exchange, as in earnest: a pause or a ban of the one does not hold up the other.
HOSTS = {Exchange.BINANCE: "127.0.0.1", Exchange.BTCTURK: "localhost"}
BALANCES = {
    Exchange.BINANCE: {"USDT": "1000000", "BTC": "10", "ETH": "100", "BNB": "100"},
    Exchange.BTCTURK: {"TRY": "40000000", "USDT": "100000", "BTC": "10", "ETH": "100"},
}
BY = Actor("command:seed", "first start", rights=EVERYTHING)


class Command(BaseCommand):
    """Simulator account, instruments, open books, limits, strategy, admin login and API key."""

    help = "Seed a development installation against the exchange simulator (idempotent)."

    def handle(self, *args: Any, **options: Any) -> None:
        """Make what is missing; write the welcome text with login and key beside the database."""
        if settings.EXEC_ENV == "production":
            raise CommandError("Seeding is for development: a production installation is set up by its operators.")
        Strategy.objects.get_or_create(name=STRATEGY)
        for name, exchange in ACCOUNTS.items():
            self._seed_account(self._account(name, exchange))
        if settings.EXEC_PAPER_MARKET == Mode.SANDBOX:
            self._seed_account(self._paper_account())
        for mode in sorted(set(Account.objects.values_list("mode", flat=True))):
            for control, value, enforcement in LIMITS:
                self._seed_limit(control, mode, "global", "", value, enforcement)
            for control, value, enforcement in STRATEGY_LIMITS:
                self._seed_limit(control, mode, "strategy", STRATEGY, value, enforcement)
        run = Path(settings.EXEC_DATA_DIR) / "run"
        run.mkdir(parents=True, exist_ok=True)
        api_key = self._secret(run / "api-key", self._new_api_key)
        password = self._secret(run / "admin-password", self._new_admin)
        self._welcome(run / "welcome.txt", api_key, password)
        names = ", ".join(Account.objects.order_by("name").values_list("name", flat=True))
        self.stdout.write(f"Seeded: accounts {names}, {Instrument.objects.count()} instruments.")

    def _seed_account(self, account: Account) -> None:
        """Instruments, quotes, a limit and open books."""
        sync_instruments(account)
        sync_quotes(account)
        for control, value in ACCOUNT_LIMITS.items():
            self._seed_limit(control, account.mode, "account", account.name, value)
        for control, value in MONITORED:
            self._seed_limit(control, account.mode, "account", account.name, value, "WARN")
        if account.books_opened_at is None:
            open_books(account, by=BY)

    def _paper_account(self) -> Account:
        """A paper account in the simulator's market, with the same money as its simulator account."""
        account = Account.objects.filter(name=PAPER_ACCOUNT).first()
        if account is not None:
            return account
        account = add_account(PAPER_ACCOUNT, exchange=Exchange.BINANCE, mode=Mode.PAPER, by=BY)
        sync_instruments(account)
        for asset, amount in BALANCES[Exchange.BINANCE].items():
            deposit(account, asset, Decimal(amount), reason="a start on paper", by=BY)
        return account

    def _seed_limit(
        self, control: str, mode: str, kind: str, key: str, value: str, enforcement: str | None = None
    ) -> None:
        if newest(control, mode, kind, key) is None:
            why = "a sensible start for the simulator"
            tighten_or_set(control, mode, kind, key, Decimal(value), reason=why, by=BY, enforcement=enforcement)

    def _account(self, name: str, exchange: Exchange) -> Account:
        """The simulator account, its twin at the simulator, and the URLs on which the simulator listens this time."""
        url = f"http://{HOSTS[exchange]}:{settings.EXEC_SIMULATOR_PORT}"
        ws_url = f"ws://{HOSTS[exchange]}:{settings.EXEC_SIMULATOR_PORT}{STREAM_PATHS[exchange]}"
        account = Account.objects.filter(name=name).first()
        if account is None:
            # Base64 is what BTCTurk's secrets are in; Binance takes any text.
            key, secret = secrets.token_hex(32), base64.b64encode(secrets.token_bytes(32)).decode()
            self._make_simulator_account(url, name, exchange, key, secret)
            return add_account(
                name,
                exchange=exchange,
                mode=Mode.SANDBOX,
                rest_url=url,
                ws_url=ws_url,
                key=key,
                secret=secret,
                by=BY,
            )
        if (account.rest_url, account.ws_url) != (url, ws_url):
            account.rest_url, account.ws_url = url, ws_url
            account.save(update_fields=["rest_url", "ws_url"])
        return account

    def _make_simulator_account(self, url: str, name: str, exchange: Exchange, key: str, secret: str) -> None:
        whole = {
            "exchange": exchange.value,
            "name": name,
            "api_key": key,
            "api_secret": secret,
            "balances": BALANCES[exchange],
        }
        request = urllib.request.Request(  # noqa: S310  the simulator on loopback
            f"{url}/sim/accounts",
            data=json.dumps(whole).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            urllib.request.urlopen(request, timeout=10).close()  # noqa: S310  the same
        except OSError as error:
            raise CommandError(f"The exchange simulator at {url} does not answer: {error}") from error

    def _secret(self, path: Path, make: Any) -> str:
        """A secret made at first start and kept readable for this user only, so that every start can show it."""
        if path.is_file() and (kept := path.read_text(encoding="utf-8").strip()):
            return kept
        text: str = make()
        path.touch(mode=0o600)
        path.write_text(text + "\n", encoding="utf-8")
        return text

    def _new_api_key(self) -> str:
        ApiKeyUse.objects.filter(key__name=API_KEY_NAME).delete()
        ApiKey.objects.filter(name=API_KEY_NAME).delete()
        return create_api_key(API_KEY_NAME, ["read", "trade", "operate"], by=BY)[1]

    def _new_admin(self) -> str:
        password = secrets.token_urlsafe(15)
        users = get_user_model().objects
        user = users.filter(username="admin").first() or users.create_superuser("admin")
        user.set_password(password)
        user.save()
        return password

    def _welcome(self, path: Path, api_key: str, password: str) -> None:
        base = f"http://{settings.EXEC_HOST}:{settings.EXEC_PORT}"
        first = {"account": ACCOUNT, "symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
        lines = [
            f"  API      {base}/api/exec/",
            f"  Admin    {base}/admin/    login admin, password {password}",
            f"  API key  {api_key}",
            "",
            "  A first order:",
            "",
            f"    curl -s '{base}/api/exec/order?wait=5' \\",
            f"      -H 'Authorization: Bearer {api_key}' \\",
            "      -H 'Idempotency-Key: first-1' -H 'Content-Type: application/json' \\",
            f"      -d '{json.dumps(first)}'",
            "",
            f"    curl -s {base}/api/exec/positions -H 'Authorization: Bearer {api_key}'",
            "",
        ]
        path.touch(mode=0o600)
        path.write_text("\n".join(lines), encoding="utf-8")
