"""How much of each limit is used now: the same sums as the controls make, without an order. Reads without locks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Q, Sum

from exchanges.models import Quote
from execution_project.common import clock
from execution_project.common.money import CONTEXT, round_up
from positions.models import Holding
from risk.controls.catalogue import CATALOGUE, OF_EXPOSURE, OF_LOSS, OF_RATE, OF_TURNOVER
from risk.controls.losing import loss_of
from risk.equity import equity_of
from risk.exposure import exposure_of, gross, live_orders, net, risky_assets, standing_at
from risk.facts import Held, Live, Losses, Mark, mark_of
from risk.inputs import CASH_ASSETS
from risk.intent import scope_name
from risk.limits import in_force
from risk.losses import losses_of
from risk.models import Limit, Reservation
from risk.ramp import in_part, ramps_of
from risk.reading import marks_of
from risk.windows import COUNTED

OF_ONE_ORDER = frozenset(
    name for name in CATALOGUE if name not in {*OF_EXPOSURE, *OF_LOSS, *OF_RATE, *OF_TURNOVER, "max_working_orders"}
)
"""Limits that look at one order alone, and those of monitors: nothing uses them up here."""

_COUNTED = """
SELECT q.pk, n.value, n.increasing
  FROM unnest(%(keys)s::bigint[], %(widths)s::interval[], %(kinds)s::text[], %(scopes)s::text[])
         AS q(pk, width, scope_kind, scope_key)
  $COUNTED""".replace("$COUNTED", COUNTED)


@dataclass(frozen=True, slots=True)
class Usage:
    """A limit that counts, with what is used of it; ``used`` None where nothing adds up, or it is not known.

    ``allowed``: what counts of its value, which a ramp may cut down; None when it is switched off.
    """

    limit: Limit
    used: Decimal | None
    subject: str = ""
    allowed: Decimal | None = None

    @property
    def headroom(self) -> Decimal | None:
        """What is left; negative when facts went beyond the limit."""
        return None if self.used is None or self.allowed is None else self.allowed - self.used

    @property
    def why_not_known(self) -> str:
        """Why ``used`` is None: ``off``, ``one_order`` (looks at one order alone), ``monitor`` (watches behaviour),
        ``no_price``; empty: it is known."""
        if self.used is not None:
            return ""
        if self.limit.value is None:
            return "off"
        if CATALOGUE[self.limit.control].monitor:
            return "monitor"
        return "one_order" if self.limit.control in OF_ONE_ORDER else "no_price"

    @property
    def share(self) -> Decimal | None:
        """Used part of the limit, four decimals; None without a bound above zero."""
        if self.used is None or not self.allowed:
            return None
        with localcontext(CONTEXT):
            return round_up(self.used / self.allowed, Decimal("0.0001"))


@dataclass(frozen=True, slots=True)
class Standing:
    """What is held and live in one mode now, with prices, equity and what was lost of it."""

    mode: str
    now: datetime
    reporting_currency: str
    held: tuple[Held, ...]
    live: tuple[Live, ...]
    marks: tuple[Mark, ...]
    equity: Decimal | None
    losses: tuple[Losses, ...] = ()

    def mark(self, asset: str) -> Decimal | None:
        """Reporting currency per unit, None when no price of at most 60 s tells."""
        return Decimal(1) if asset == self.reporting_currency else mark_of(self.marks, asset, self.now)


def usage_of(mode: str, only: Q | None = None) -> list[Usage]:
    """Every limit of a mode that counts now, with its usage, in the order of the table of limits; ``only`` of these.

    How many queries it takes does not depend on how many limits there are.
    """
    names = list(CATALOGUE)
    rows = [row for row in in_force().filter(only or Q(), mode=mode) if row.control in CATALOGUE]
    if not rows:
        return []
    rows.sort(key=lambda row: (names.index(row.control), row.scope_kind, row.scope_key))
    book = read_standing(mode)
    counted = _counted(rows, book)
    ramps = ramps_of((row.control, _scope(row), row.value, row.enforcement) for row in rows)
    usages = [Usage(row, counted[row.pk]) if row.pk in counted else _usage(row, book) for row in rows]
    return [replace(usage, allowed=_allowed(usage.limit, ramps)) for usage in usages]


def _scope(row: Limit) -> str:
    return scope_name(row.scope_kind, row.scope_key)


def _allowed(row: Limit, ramps: Mapping[str, Decimal]) -> Decimal | None:
    return None if row.value is None else in_part(row.control, _scope(row), row.value, ramps)


def read_standing(mode: str) -> Standing:
    """Holdings, live orders and prices of a mode as they are now."""
    held = Holding.objects.filter(account__mode=mode).exclude(quantity=0)
    live = (
        Reservation.objects.filter(Q(live=True) | Q(exposure__gt=0), mode=mode)
        .values("exchange", "account_name", "strategy", "symbol", "side", "gained_asset")
        .annotate(value=Sum("exposure"), count=Count("order_id", distinct=True, filter=Q(live=True)))
    )
    holdings = tuple(
        Held(*row)
        for row in held.values_list("account__exchange", "account__name", F("strategy__name"), "asset", "quantity")
    )
    currency = settings.EXEC_REPORTING_CURRENCY
    quotes = Quote.objects.filter(
        instrument__mode=mode,
        instrument__base_asset__in={row.asset for row in holdings} | {currency},
        instrument__quote_asset__in=CASH_ASSETS | {currency},
        bid__gt=0,
        bid__lt=F("ask"),
    ).select_related("instrument")
    priced = [
        [
            *(quote.instrument.exchange, quote.instrument.symbol, quote.instrument.base_asset),
            *(quote.instrument.quote_asset, quote.bid, quote.ask, quote.confirmed_at.isoformat()),
        ]
        for quote in quotes
    ]
    return Standing(
        mode=mode,
        now=clock.now(),
        reporting_currency=currency,
        held=tuple(Held(row.exchange, row.account, row.strategy or "", row.asset, row.quantity) for row in holdings),
        live=tuple(
            Live(
                *(row["exchange"], row["account_name"], row["strategy"], row["symbol"], row["side"]),
                *(row["gained_asset"], row["value"], row["count"]),
            )
            for row in live
        ),
        marks=marks_of(priced, currency),
        equity=equity_of(mode),
        losses=losses_of(mode),
    )


def _usage(row: Limit, book: Standing) -> Usage:
    scope, name = scope_name(row.scope_kind, row.scope_key), row.control
    if row.value is None or name in OF_ONE_ORDER:
        return Usage(row, None)
    if name in {"max_asset_exposure", "max_concentration"}:
        subject, used = _largest(book, scope)
        return Usage(row, used if name == "max_asset_exposure" else _share(used, book), subject)
    if name == "max_gross_exposure":
        return Usage(row, gross(book, scope))
    if name == "max_net_exposure":
        return Usage(row, net(book, scope))
    if name in {"max_exchange_exposure", "max_exchange_share"}:
        used = standing_at(book, scope)
        return Usage(row, used if name == "max_exchange_exposure" else _share(used, book))
    if name == "max_currency_exposure":
        return Usage(row, exposure_of(book, scope, row.scope_key), row.scope_key)
    if name in OF_LOSS:
        return Usage(row, loss_of(name, scope, book.losses, book.now))
    return Usage(row, Decimal(live_orders(book, scope)))


def _counted(rows: Sequence[Limit], book: Standing) -> dict[int, Decimal]:
    """By the limit's key: decisions, or the value accepted, within its window; of decisions those that increase
    exposure. One statement."""
    windows = {
        row.pk: window
        for row in rows
        if row.value is not None and (window := CATALOGUE[row.control].window) is not None
    }
    if not windows:
        return {}
    counted = [row for row in rows if row.pk in windows]
    with connection.cursor() as cursor:
        cursor.execute(
            _COUNTED,
            {
                "mode": book.mode,
                "now": book.now,
                "keys": [row.pk for row in counted],
                "widths": [windows[row.pk] for row in counted],
                "kinds": [row.scope_kind for row in counted],
                "scopes": [row.scope_key for row in counted],
            },
        )
        found = {key: (value, increasing) for key, value, increasing in cursor.fetchall()}
    return {row.pk: Decimal(found[row.pk][row.control in OF_RATE]) for row in counted}


def _largest(book: Standing, scope: str) -> tuple[str, Decimal | None]:
    """The asset that uses most of a limit per asset, and how much; an unpriced one is not known and comes first."""
    kind, _, key = scope.partition(":")
    found = {asset: exposure_of(book, scope, asset) for asset in ([key] if kind == "asset" else risky_assets(book))}
    missing = [asset for asset, value in found.items() if value is None]
    if missing:
        return missing[0], None
    known = [(asset, value) for asset, value in found.items() if value is not None]
    return max(known, key=lambda pair: pair[1], default=("", Decimal(0)))


def _share(value: Decimal | None, book: Standing) -> Decimal | None:
    if value is None or book.equity is None or book.equity <= 0:
        return None
    with localcontext(CONTEXT):
        return round_up(value / book.equity)
