"""Profit and loss of a period, by time, strategy, instrument, asset or account, in the reporting currency.

``realised`` is the sum of what every disposal realised, fees included: they are in costs and proceeds. It is shown in
its parts: local profit of trading, the currency effect (what spending TRY or USDT realised), income (airdrops and
rebates), what transfers between own accounts cost, and the rest (withdrawals, dust, explained differences). Fees are
told beside it and are not to be subtracted again. What is held is valued only where a period reaches to now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.contrib.postgres.aggregates import ArrayAgg
from django.db.models import (
    Case,
    Count,
    DecimalField,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Concat, NullIf, Round, Trunc

from execution_project.common import clock
from execution_project.common.clock import rfc3339
from execution_project.common.money import DECIMAL_PLACES
from execution_project.common.problems import Problem
from positions.aggregates import plus
from positions.models import Book, BookedRate, FillCorrection, Holding, Inventory, LedgerEntry, PostingKind, RealisedPnl
from positions.moments import moment_at
from positions.shown import ZERO, ShownHolding, show_holdings

PERIODS = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=31),
}
"""Periods begin at full units of UTC, weeks on Monday; the length is the longest that one may have."""
BY = (*PERIODS, "strategy", "instrument", "asset", "account")
DEFAULT_SPAN = timedelta(days=30)
LONGEST_SPAN = {
    "hour": timedelta(days=62),
    "day": timedelta(days=1830),
    **dict.fromkeys(("week", "month", "strategy", "instrument", "asset", "account"), timedelta(days=3660)),
}
"""A longer period is refused: all its rows are summed before the first page is answered."""
NO_INSTRUMENT = "unrealised of an instrument: holdings are of assets"

# Member of the group → column of RealisedPnl, column of LedgerEntry.
_COLUMNS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "strategy": {"strategy": ("strategy__name", "fill__strategy__name")},
    "instrument": {
        "exchange": ("account__exchange", "account__exchange"),
        "symbol": ("instrument__symbol", "fill__instrument__symbol"),
    },
    "asset": {"asset": ("asset", "asset")},
    "account": {"account": ("account__name", "account__name")},
}
_MONEY: DecimalField[Any, Any] = DecimalField(max_digits=100, decimal_places=DECIMAL_PLACES)
_INCOME = Q(posting__kind__in=[PostingKind.AIRDROP, PostingKind.REBATE])
_MOVED = Q(posting__kind=PostingKind.OWN_TRANSFER)


@dataclass(frozen=True, slots=True)
class Scope:
    """What is asked for: a period [start, end), and whose; ``accounts`` and ``strategies`` None for all.

    ``reaches_now``: what is held now is the end of the period.
    """

    start: datetime
    end: datetime
    by: str
    mode: str | None = None
    account: str | None = None
    strategy: str | None = None
    accounts: Sequence[str] | None = None
    strategies: Sequence[str] | None = None
    reaches_now: bool = False

    def narrow(self, rows: QuerySet[Any], strategy: str = "strategy__name") -> QuerySet[Any]:
        """The rows of this scope, whatever their time."""
        wanted: dict[str, Any] = {
            "account__mode": self.mode,
            "account__name": self.account,
            strategy: self.strategy,
            "account__name__in": self.accounts,
            f"{strategy}__in": self.strategies,
        }
        return rows.filter(**{lookup: value for lookup, value in wanted.items() if value is not None})


@dataclass(slots=True)
class Profit:
    """One row: whose or of when, in one mode. Money in the reporting currency.

    ``restating``: some of it is being folded anew, and what it realised is not known until that is done.
    ``fees`` None while a fee's rate is missing. ``unrealised`` None where it is not known or does not belong
    (``missing`` says why it is not known). ``pending``: facts that wait for a rate; they realised nothing yet.
    """

    group: dict[str, str | None]
    mode: str
    local: Decimal = ZERO
    currency_effect: Decimal = ZERO
    income: Decimal = ZERO
    transfer_costs: Decimal = ZERO
    other: Decimal = ZERO
    fees: Decimal | None = ZERO
    unrealised: Decimal | None = None
    pending: int = 0
    missing: list[str] = field(default_factory=list)
    restating: bool = False

    @property
    def realised(self) -> Decimal | None:
        """All that was realised, after fees; None while some of it is folded anew."""
        parts = self.local + self.currency_effect + self.income + self.transfer_costs + self.other
        return None if self.restating else parts

    def add(self, row: Profit) -> None:
        """Take another row's money in."""
        for name in ("local", "currency_effect", "income", "transfer_costs", "other", "pending"):
            setattr(self, name, getattr(self, name) + getattr(row, name))
        self.fees = plus(self.fees, row.fees)
        self.restating = self.restating or row.restating
        self.missing += [word for word in row.missing if word not in self.missing and word != NO_INSTRUMENT]


@dataclass(frozen=True, slots=True)
class Profits:
    """The rows, sorted, and their totals per mode."""

    rows: list[Profit]
    totals: list[Profit]


def period_of(start: datetime | None, end: datetime | None, by: str = "day") -> tuple[datetime, datetime, bool]:
    """The period asked for, up to now and of 30 days unless said otherwise, and whether it reaches to now.

    Raises ``Problem`` (400) for one that ends before it begins, or is longer than ``by`` allows.
    """
    now = clock.now()
    reaches_now = (end is None or end >= now) and (start is None or start <= now)
    end = end or now
    start = start or end - DEFAULT_SPAN
    if start >= end:
        raise Problem(400, "INVALID_PARAMETER", f"from: it takes a time before to, which is {rfc3339(end)}.")
    if end - start > LONGEST_SPAN[by]:
        longest = f"by {by} a period has at most {LONGEST_SPAN[by].days} days."
        raise Problem(400, "INVALID_PARAMETER", f"from: {longest} Ask for a shorter one, or by another member.")
    return start, end, reaches_now


def profits(scope: Scope) -> Profits:
    """The profits of a scope: five statements and one per mode, however many rows there are to sum."""
    found: dict[tuple[Any, ...], Profit] = {}

    def of(group: dict[str, str | None], mode: str) -> Profit:
        key = (mode, *((value is None, value or "") for value in group.values()))
        return found.setdefault(key, Profit(group, mode))

    anew = restating_in(scope)
    for row in _realised(scope, anew):
        profit = of(_group(scope.by, row), row["account__mode"])
        profit.currency_effect = row["effect"] or ZERO
        profit.income, profit.transfer_costs = row["income"] or ZERO, row["moved"] or ZERO
        profit.local = (row["traded"] or ZERO) - profit.currency_effect
        profit.other = row["total"] - (row["traded"] or ZERO) - profit.income - profit.transfer_costs
        profit.pending = row["waiting"]
        if row.get("anew"):
            profit.restating = True
            profit.missing += [word_of_restating(name) for name in sorted(row["anew"])]
    for row in _fees(scope):
        profit = of(_group(scope.by, row), row["account__mode"])
        profit.fees = None if row["lacking"] else row["total"] or ZERO
        if row["lacking"]:
            profit.missing.append(f"rates of {row['lacking']} fees")
    whole: dict[str, Decimal | None] = {}
    words: dict[str, list[str]] = {}
    if scope.reaches_now:
        whole, words = _unrealised(scope, of)
    rows = [found[key] for key in sorted(found)]
    totals: dict[str, Profit] = {}
    for profit in rows:
        totals.setdefault(profit.mode, Profit({}, profit.mode)).add(profit)
    for mode, amount in whole.items():
        total = totals.setdefault(mode, Profit({}, mode))
        total.unrealised = amount
        total.missing += [word for word in words[mode] if word not in total.missing]
    for inventory in anew:
        # A late fact may realise what no row is of yet.
        total = totals.setdefault(inventory.account.mode, Profit({}, inventory.account.mode))
        total.restating = True
        word = word_of_restating(f"{inventory.asset}@{inventory.account.exchange}")
        total.missing += [] if word in total.missing else [word]
    return Profits(rows, [totals[mode] for mode in sorted(totals)])


def word_of_restating(name: str) -> str:
    """What ``missing`` says of an asset at an exchange that is being folded anew."""
    return f"restating: {name}"


def restating_in(scope: Scope) -> list[Inventory]:
    """What is being folded anew and has facts of the scope's period still before it; of a strategy, whatever of its
    accounts and assets it holds or held."""
    waiting = Inventory.objects.filter(restating=True, restate_after__lt=moment_at(scope.end))
    waiting = waiting.select_related("account").order_by("account__name", "asset")
    if scope.strategy is None and scope.strategies is None:
        return list(scope.narrow(waiting))
    of_scope = set(scope.narrow(Holding.objects.all()).values_list("account_id", "asset").distinct())
    return [row for row in waiting if (row.account_id, row.asset) in of_scope]


def _columns(by: str, side: int) -> dict[str, Any]:
    if by in PERIODS:
        return {"period": Trunc("at" if side == 0 else "effective_at", by, tzinfo=UTC)}
    return {f"g_{member}": F(columns[side]) for member, columns in _COLUMNS[by].items()}


def _group(by: str, row: Mapping[str, Any]) -> dict[str, str | None]:
    if by in PERIODS:
        return {"period": rfc3339(row["period"])}
    return {member: row[f"g_{member}"] for member in _COLUMNS[by]}


def _realised(scope: Scope, anew: Sequence[Inventory]) -> Iterable[dict[str, Any]]:
    """``anew`` of a row: names of what is being folded anew and has disposals in it."""
    touched: dict[str, Any] = {}
    if anew:
        pieces = [Q(account=row.account_id, asset=row.asset, moment__gt=row.restate_after) for row in anew]
        name = Concat("asset", Value("@"), "account__exchange")
        touched["anew"] = ArrayAgg(name, distinct=True, filter=reduce(or_, pieces), default=Value([]))
    rows = scope.narrow(_within(RealisedPnl.objects.all(), scope, "at"))
    columns = _columns(scope.by, 0)
    found: Iterable[dict[str, Any]] = (
        rows.order_by()
        .annotate(**columns)
        .values(*columns, "account__mode")
        .annotate(
            total=Sum("realised"),
            traded=Sum("realised", filter=Q(posting__isnull=True)),
            effect=Sum("currency_effect"),
            income=Sum("realised", filter=_INCOME),
            moved=Sum("realised", filter=_MOVED),
            waiting=Count("pk", filter=Q(is_pending=True)),
            **touched,
        )
    )
    return found


def _fees(scope: Scope) -> Iterable[dict[str, Any]]:
    """Fees and taxes of fills, each at the rate of its fill; what a correction took back is nothing."""
    entries = LedgerEntry.objects.filter(book__in=[Book.FEES, Book.TAX], fill__isnull=False)
    entries = scope.narrow(_within(entries, scope, "effective_at"), "fill__strategy__name")
    columns = _columns(scope.by, 1)
    found: Iterable[dict[str, Any]] = (
        entries.order_by()
        .annotate(**columns, worth=worth_of_fee())
        .values(*columns, "account__mode")
        .annotate(total=Sum("worth"), lacking=Count("pk", filter=Q(worth__isnull=True)))
    )
    return found


def worth_of_fee() -> Any:
    """A fee's leg in the reporting currency: the same rule as ``positions.statements`` has, as SQL.

    A base fee at the price of its fill, every other by the booked rates; null while a rate is missing.
    """
    currency = settings.EXEC_REPORTING_CURRENCY
    base, quote = "fill__instrument__base_asset", "fill__instrument__quote_asset"
    rates = BookedRate.objects.filter(fill=OuterRef("fill"), currency=currency)
    own = Subquery(rates.filter(asset=OuterRef("asset")).values("price")[:1], output_field=_MONEY)
    of_quote = Subquery(rates.filter(asset=OuterRef(quote)).values("price")[:1], output_field=_MONEY)
    corrected = FillCorrection.objects.filter(fill=OuterRef("fill"), kind="correction").order_by("-id")
    price = Coalesce(Subquery(corrected.values("price")[:1], output_field=_MONEY), F("fill__price"))
    worth = Case(
        When(asset=currency, then=F("amount")),
        When(Q(asset=F(base)) & Q(**{quote: currency}), then=F("amount") * price),
        When(asset=F(base), then=F("amount") * price * of_quote),
        When(Q(asset=F(quote)) & Q(**{base: currency}), then=F("amount") / NullIf(price, ZERO)),
        When(asset=F(quote), then=F("amount") * of_quote),
        default=F("amount") * own,
        output_field=_MONEY,
    )
    return Round(ExpressionWrapper(worth, output_field=_MONEY), precision=DECIMAL_PLACES)


def _within(rows: QuerySet[Any], scope: Scope, column: str) -> QuerySet[Any]:
    return rows.filter(**{f"{column}__gte": scope.start, f"{column}__lt": scope.end})


def held_in(scope: Scope) -> list[ShownHolding]:
    """What the scope holds now, with its marks."""
    rows = scope.narrow(Holding.objects.select_related("account", "strategy")).order_by("id")
    return show_holdings(list(rows))


def _unrealised(scope: Scope, of: Any) -> tuple[dict[str, Decimal | None], dict[str, list[str]]]:
    """Give the rows that reach to now what their holdings are worth beyond cost; returns the sum and what it lacks."""
    whole: dict[str, Decimal | None] = {}
    words: dict[str, list[str]] = {}
    now = {"period": rfc3339(_begin(scope.by, clock.now()))} if scope.by in PERIODS else None
    begun: set[int] = set()
    for shown in held_in(scope):
        row, mode = shown.row, shown.row.account.mode
        whole[mode] = plus(whole.get(mode, ZERO), shown.unrealised)
        lacks = words.setdefault(mode, [])
        lacks += [word for word in shown.missing if word not in lacks]
        if scope.by == "instrument":
            continue
        group = (
            now
            or {
                "strategy": {"strategy": None if row.strategy is None else row.strategy.name},
                "asset": {"asset": row.asset},
                "account": {"account": row.account.name},
            }[scope.by]
        )
        profit = of(group, mode)
        profit.unrealised = plus(profit.unrealised if id(profit) in begun else ZERO, shown.unrealised)
        begun.add(id(profit))
        profit.missing += [word for word in shown.missing if word not in profit.missing]
    return whole, words


def _begin(by: str, at: datetime) -> datetime:
    """The begin of the period that a moment is in."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if by == "hour":
        return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if by == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if by == "month" else day
