"""Before a latch is lifted: books compared, data fresh, and what is held all the same, said in words."""

from __future__ import annotations

from django.db.models import Max, Sum

from exchanges.models import Account, Instrument, Quote
from execution_project.common import clock
from execution_project.common.money import plain
from positions.models import Holding
from risk.inputs import CASH_ASSETS, MAX_QUOTE_AGE, Reconciled
from risk.kill_episodes import must_hold_to_lift
from risk.models import Flatten, FlattenStatus, KillEpisode, ScopeKind

HOLDINGS_NAMED = 10


@must_hold_to_lift
def no_running_flatten(episode: KillEpisode) -> list[str]:
    """A flatten of the kill that still sells."""
    running = Flatten.objects.filter(episode=episode, status=FlattenStatus.RUNNING)
    return ["A flatten of this kill still runs: wait for its verdict, or kill again to end it."] if running else []


@must_hold_to_lift
def books_and_data(episode: KillEpisode) -> list[str]:
    """Accounts of the kill whose books were not compared in time or are blocked, or whose prices are old."""
    now = clock.now()
    wrong: list[str] = []
    accounts = Account.objects.filter(killsweep__episode=episode, books_opened_at__isnull=False)
    for account in accounts.select_related("freshness").order_by("name"):
        row = getattr(account, "freshness", None)
        seen = Reconciled(row.orders_at, row.trades_at, row.balances_at, row.blocked_by) if row else Reconciled()
        if stale := seen.stale_parts(now):
            wrong.append(f"{account.name} was not compared with the exchange in time ({', '.join(stale)}).")
        if seen.blocked_by:
            wrong.append(f"{account.name} has an open break: {seen.blocked_by}.")
        quotes = Quote.objects.filter(instrument__exchange=account.exchange, instrument__mode=account.mode)
        newest = quotes.aggregate(newest=Max("confirmed_at"))["newest"]
        if newest is None or now - newest > MAX_QUOTE_AGE:
            wrong.append(f"No price of {account.exchange} is younger than {MAX_QUOTE_AGE.total_seconds():.0f} s.")
    return wrong


def what_is_not_flat(kind: str, key: str) -> list[str]:
    """What the books hold in a scope besides cash, in one sentence; at most ten assets are named."""
    rows = Holding.objects.exclude(asset__in=CASH_ASSETS)
    fields = {
        ScopeKind.EXCHANGE.value: "account__exchange",
        ScopeKind.ACCOUNT.value: "account__name",
        ScopeKind.STRATEGY.value: "strategy__name",
    }
    if kind in fields:
        rows = rows.filter(**{fields[kind]: key})
    elif kind == ScopeKind.SYMBOL:
        rows = rows.filter(asset__in=_base_assets(key))
    totals = rows.values("account__name", "asset").annotate(total=Sum("quantity")).exclude(total=0)
    named = [f"{row['account__name']} {plain(row['total'])} {row['asset']}" for row in totals.order_by("account__name")]
    if not named:
        return ["It is flat: nothing but cash is held."]
    more = len(named) - HOLDINGS_NAMED
    return [f"Not flat: {', '.join(named[:HOLDINGS_NAMED])}{f' and {more} more' if more > 0 else ''}."]


def _base_assets(symbol: str) -> list[str]:
    return list(Instrument.objects.filter(symbol=symbol).values_list("base_asset", flat=True))
