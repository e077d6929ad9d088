"""On what terms the paper exchange serves an account: its row, its fees by tier, and the price of BNB."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django.db.models import Sum

from exchanges.models import Account, Exchange, Mode, PaperAccount, PaperTrade, Quote
from exchanges.paper.pricing import BNB, Rates
from execution_project.common.money import CONTEXT
from execution_project.common.writing import insert_new

TIER_WINDOW = timedelta(days=30)
BNB_PRICE_AGE = timedelta(seconds=60)
"""An older price of BNB is none: the fee then comes out of what is received."""
# What an account without tiers or special rates pays; the same as the simulator's, and settable per account.
DEFAULT_RATES: dict[str, Rates] = {
    Exchange.BINANCE.value: Rates(Decimal("0.001"), Decimal("0.001")),
    Exchange.BTCTURK.value: Rates(Decimal("0.0005"), Decimal("0.001"), Decimal("0.2")),
}


def new_row(account: Account) -> PaperAccount:
    """The unsaved row of an account with the default terms of the exchange that it imitates."""
    rates = DEFAULT_RATES[account.exchange]
    return PaperAccount(account=account, maker_rate=rates.maker, taker_rate=rates.taker, tax_rate=rates.tax)


def locked_row(account: Account) -> PaperAccount:
    """The account's row, locked for the caller's transaction."""
    found = PaperAccount.objects.select_for_update(no_key=True).filter(account=account).first()
    if found is None:
        insert_new([new_row(account)])
        found = PaperAccount.objects.select_for_update(no_key=True).get(account=account)
    return found


def rates_of(row: PaperAccount, account: Account, quote_asset: str, now: datetime) -> Rates:
    """The row's rates, or those of the highest tier that the volume of the last 30 days reaches.

    Volume is what was traded in the tiers' own quote asset, before ``now``.
    """
    steps = row.tiers.get("steps", [])
    if not steps or row.tiers.get("asset") != quote_asset:
        return Rates(row.maker_rate, row.taker_rate, row.tax_rate)
    traded = volume_of(account, quote_asset, now)
    reached = [step for step in steps if Decimal(step[0]) <= traded]
    if not reached:
        return Rates(row.maker_rate, row.taker_rate, row.tax_rate)
    return Rates(Decimal(reached[-1][1]), Decimal(reached[-1][2]), row.tax_rate)


def volume_of(account: Account, quote_asset: str, now: datetime) -> Decimal:
    """What the account traded against a quote asset in the 30 days before ``now``."""
    traded: Decimal | None = PaperTrade.objects.filter(
        account=account, instrument__quote_asset=quote_asset, traded_at__gt=now - TIER_WINDOW, traded_at__lte=now
    ).aggregate(total=Sum("quote_quantity"))["total"]
    return traded or Decimal(0)


def tiers_in_words(tiers: Mapping[str, Any]) -> str:
    """Stored tiers as a sentence would have them: ``from 100 USDT 0.0005 maker, 0.0008 taker; …``."""
    steps = [
        f"from {volume} {tiers['asset']} {maker} maker, {taker} taker"
        for volume, maker, taker in tiers.get("steps", [])
    ]
    return "; ".join(steps) or "none"


def reserve_rate(row: PaperAccount, quote_asset: str | None = None) -> Decimal:
    """What a buy that pays its fee in the quote asset may cost beyond price × quantity, as a fraction, whatever tier
    holds and whoever takes when it fills. Without ``quote_asset``: in any."""
    steps = row.tiers.get("steps", []) if quote_asset in {None, row.tiers.get("asset")} else []
    highest = max(row.maker_rate, row.taker_rate, *(Decimal(rate) for _, *rates in steps for rate in rates))
    rate: Decimal = highest * (1 + row.tax_rate)
    return rate


def value_in_bnb(asset: str, amount: Decimal, now: datetime) -> Decimal | None:
    """What an amount is worth in BNB at the middle of the paper market's quotes, directly or through USDT; None without
    young prices."""
    if asset == BNB:
        return amount
    with localcontext(CONTEXT):
        price = _mid(BNB, asset, now)
        if price is not None:
            return amount / price
        bnb, other = _mid(BNB, "USDT", now), _mid(asset, "USDT", now)
        return None if bnb is None or other is None else amount * other / bnb


def _mid(base: str, quote: str, now: datetime) -> Decimal | None:
    row = Quote.objects.filter(
        instrument__exchange=Exchange.BINANCE,
        instrument__mode=Mode.PAPER,
        instrument__base_asset=base,
        instrument__quote_asset=quote,
        confirmed_at__gte=now - BNB_PRICE_AGE,
    ).first()
    return None if row is None or not row.bid or not row.ask else (row.bid + row.ask) / 2


def row_of(account: Account) -> PaperAccount:
    """The account's row as it stands, without a lock; an unsaved one with the defaults when nothing was set yet."""
    return PaperAccount.objects.filter(account=account).first() or new_row(account)
