"""What assets are worth in the reporting currency: now by fresh quotes, in the past by the minutes that were kept.

A mark that is missing is missing: the key is absent, it is never zero and never an old price. TRY goes through USDTTRY
only while that quote is fresh, and another way, or none, when it is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings

from exchanges.models import Account, Quote
from execution_project.common import clock
from positions.conversion import PairQuote, Side, worth_of
from positions.models.equity import Mark

AHEAD = timedelta(seconds=5)
"""A quote confirmed further in the future is of a clock that ran ahead, and says nothing."""
HISTORY_REACH = timedelta(minutes=10)
MARKS_KEPT = timedelta(days=400)
# What others are converted through, and what fees are paid in: their minutes are kept held or not.
BRIDGES = ("BNB", "BTC", "ETH", "TRY", "USDT")
PRUNE_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Rate:
    """One unit of ``asset`` is worth ``price`` in the reporting currency.

    ``at``: of the oldest quote on the way; ``age``: how far that is from the moment asked for. ``source``: ``quote``,
    ``history`` or ``currency`` (the reporting currency itself). ``path``: pairs and sides, ``exchange:symbol:side``.
    """

    asset: str
    price: Decimal
    at: datetime
    source: str
    path: tuple[str, ...]
    age: timedelta


def max_age() -> timedelta:
    """How old a quote may be to count as a price (EXEC_MARK_MAX_AGE)."""
    return timedelta(seconds=settings.EXEC_MARK_MAX_AGE)


def rates_at(
    mode: str, exchange: str, assets: Collection[str], moment: datetime, *, side: Side = "bid"
) -> dict[str, Rate]:
    """The rates of ``assets`` at ``moment`` for accounts of one exchange and mode; what has none is not in the answer.

    Quotes that were confirmed within EXEC_MARK_MAX_AGE of the moment go first; else the minute kept last, at most ten
    minutes before it, of the same exchange if there is one. ``side``: ``bid`` for equity and cost, ``mid`` for display.
    """
    wanted = set(assets)
    known = [
        quote
        for quote in read_quotes(mode, wanted, clock.now())
        if quote.at <= moment + max_age() and quote.at >= moment - max_age()
    ]
    rates = rates_by_quotes(known, exchange, wanted, moment, side=side)
    if missing := wanted - rates.keys():
        rates |= _rates_by_history(mode, exchange, missing, moment, side)
    return rates


def rates_by_quotes(
    quotes: Iterable[PairQuote], exchange: str, assets: Collection[str], moment: datetime, *, side: Side = "bid"
) -> dict[str, Rate]:
    """The rates that these quotes give; ages are counted from ``moment``."""
    worths = worth_of(assets, settings.EXEC_REPORTING_CURRENCY, quotes, exchange=exchange, side=side)
    rates = {}
    for asset, worth in worths.items():
        at = moment if worth.at is None else worth.at
        source = "currency" if worth.at is None else "quote"
        rates[asset] = Rate(asset, worth.price, at, source, worth.path, abs(moment - at))
    return rates


def read_quotes(mode: str, assets: Collection[str], now: datetime) -> list[PairQuote]:
    """Usable quotes of a mode, at every exchange, between these assets and those that all are converted through.

    Usable: two sides, positive, not crossed, and confirmed within EXEC_MARK_MAX_AGE. One query.
    """
    known = {*assets, *BRIDGES, settings.EXEC_REPORTING_CURRENCY}
    rows = Quote.objects.filter(
        instrument__mode=mode,
        instrument__base_asset__in=known,
        instrument__quote_asset__in=known,
        bid__gt=0,
        ask__gt=0,
        confirmed_at__gte=now - max_age(),
        confirmed_at__lte=now + AHEAD,
    ).values_list(
        "instrument__exchange",
        "instrument__symbol",
        "instrument__base_asset",
        "instrument__quote_asset",
        "bid",
        "ask",
        "confirmed_at",
    )
    return [
        PairQuote(exchange, symbol, base, quote, bid, ask, at)
        for exchange, symbol, base, quote, bid, ask, at in rows
        if bid is not None and ask is not None and bid < ask
    ]


def _rates_by_history(
    mode: str, exchange: str, assets: Collection[str], moment: datetime, side: Side
) -> dict[str, Rate]:
    rows = Mark.objects.filter(
        mode=mode,
        asset__in=assets,
        currency=settings.EXEC_REPORTING_CURRENCY,
        at__lte=moment,
        at__gt=moment - HISTORY_REACH,
    )
    best: dict[str, Mark] = {}
    for row in rows:
        known = best.get(row.asset)
        if known is None or _closer(row, known, exchange):
            best[row.asset] = row
    return {
        asset: Rate(
            asset,
            row.bid if side == "bid" else row.mid,
            row.quoted_at,
            "history",
            tuple(row.path),
            moment - row.quoted_at,
        )
        for asset, row in best.items()
    }


def _closer(row: Mark, known: Mark, exchange: str) -> bool:
    return (row.exchange == exchange, row.at, row.exchange) > (known.exchange == exchange, known.at, known.exchange)


def keep_minute() -> int:
    """Store the marks of this minute, once, for what is held or traded; returns how many.

    The ticker calls it; a second call within the minute stores nothing.
    """
    now = clock.now()
    minute = now.replace(second=0, microsecond=0)
    if Mark.objects.filter(minute=minute).exists():
        return 0
    rows = []
    for mode, of_exchange in sorted(_marked_assets().items()):
        quotes = read_quotes(mode, {asset for assets in of_exchange.values() for asset in assets}, now)
        for exchange, assets in sorted(of_exchange.items()):
            bids = rates_by_quotes(quotes, exchange, assets, now)
            mids = rates_by_quotes(quotes, exchange, assets, now, side="mid")
            rows += [
                Mark(
                    mode=mode,
                    exchange=exchange,
                    asset=asset,
                    currency=settings.EXEC_REPORTING_CURRENCY,
                    minute=minute,
                    at=now,
                    bid=rate.price,
                    mid=mids[asset].price if asset in mids else rate.price,
                    quoted_at=rate.at,
                    path=list(rate.path),
                )
                for asset, rate in sorted(bids.items())
            ]
    Mark.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _marked_assets() -> dict[str, dict[str, set[str]]]:
    """Mode → exchange → what accounts there hold or have traded, and what everything is converted through.

    A holding's row outlives its quantity, so it tells what was traded as well.
    """
    found: dict[str, dict[str, set[str]]] = defaultdict(dict)
    accounts = Account.objects.filter(books_opened_at__isnull=False)
    for mode, exchange, asset in accounts.values_list("mode", "exchange", "holding__asset").distinct():
        assets = found[mode].setdefault(exchange, set(BRIDGES))
        if asset is not None:
            assets.add(asset)
    return found


def thin_marks() -> int:
    """Of days older than 400 days keep the marks of the first minute of each hour; returns how many rows went.

    One batch; the ticker calls it again.
    """
    old = Mark.objects.filter(minute__lt=clock.now() - MARKS_KEPT).exclude(minute__minute=0)
    batch = list(old.values_list("pk", flat=True)[:PRUNE_BATCH])
    return Mark.objects.filter(pk__in=batch).delete()[0]
