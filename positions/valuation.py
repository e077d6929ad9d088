"""What the books are worth at one moment: amounts times marks, complete or with a list of what is missing.

Equity is what the ledger says is at the exchange, locked in orders or free, plus what is under way between own
accounts. A strategy's equity is the worth of its own holdings.

*Flows* are what came in (positive) or went out without being profit or loss: opening balances, deposits, withdrawals,
and transfers that nobody has classified yet. A transfer between own accounts is a flow of each account and none of all
together. For a strategy the flow is the cost of what was handed to it: cost of its holdings less what it realised. So
what its equity moves by beyond flows is exactly its profit and loss in the books.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from typing import Any

from django.db import connection

from exchanges.models import Account
from execution_project.common.clock import rfc3339
from execution_project.common.money import CONTEXT, plain, plain_or_none, round_down
from positions.conversion import Side
from positions.marks import Rate, rates_by_quotes, read_quotes
from positions.models import BookedRate, PendingRate, Posting, PostingKind

ZERO = Decimal(0)
TRANSIT = "transit"
"""Stands where an exchange does for what is under way between two of them; it is marked at any exchange."""
CAPITAL = "capital"
CAPITAL_KEY = ("", CAPITAL)
"""The one flow of a strategy, in the reporting currency."""
LOOKED_BACK = 100
"""So many postings at the most are looked through for those that made a flow."""
EXTERNAL = (PostingKind.OPENING, PostingKind.TRANSFER, PostingKind.DEPOSIT, PostingKind.WITHDRAWAL)

# One statement, so that holdings and what came in are of one moment. A reversed posting and its reversal are nothing.
# The fee of the network is an expense: the flow is what arrived at the other side, or left it.
_READ = """
SELECT 'held', h.account_id, h.strategy_id, h.asset, sum(h.quantity), sum(h.cost - h.realised_pnl), sum(h.pending),
coalesce(bool_or(i.restating), false)
FROM positions_holding h JOIN exchanges_account a ON a.id = h.account_id
LEFT JOIN positions_inventory i ON i.account_id = h.account_id AND i.asset = h.asset
WHERE a.mode = %(mode)s AND a.books_opened_at IS NOT NULL GROUP BY 2, 3, 4
UNION ALL
SELECT p.kind, p.account_id, NULL, p.asset, sum(p.amount + p.network_fee), 0, 0, false
FROM positions_posting p JOIN exchanges_account a ON a.id = p.account_id
WHERE a.mode = %(mode)s AND p.kind = ANY(%(kinds)s) AND p.reverses_id IS NULL
AND NOT EXISTS (SELECT 1 FROM positions_posting r WHERE r.reverses_id = p.id) GROUP BY 1, 2, 4
UNION ALL
SELECT 'ledger', NULL, NULL, '', coalesce(max(id), 0), 0, 0, false FROM positions_ledgerentry
"""

Key = tuple[str, str]
"""(exchange, asset)"""


def name_of(key: Key) -> str:
    """``ASSET@exchange``."""
    return f"{key[1]}@{key[0]}"


@dataclass(slots=True)
class Stock:
    """What a scope has, what ever came into it, and which costs are not known (strategies alone need them)."""

    amounts: dict[Key, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    flows: dict[Key, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unknown: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Books:
    """The stocks of a mode at one moment; ``ledger_id``: the last ledger entry there was."""

    everything: Stock
    accounts: dict[int, Stock]
    strategies: dict[int, Stock]
    ledger_id: int

    def keys(self) -> set[Key]:
        """Everything that is held anywhere, or ever came in."""
        return {key for _, _, stock in self.stocks() for key in (*stock.amounts, *stock.flows)}

    def stocks(self) -> Iterator[tuple[str, int | None, Stock]]:
        """Each scope's kind, the id of its account or strategy, and its stock."""
        yield "global", None, self.everything
        for account, stock in sorted(self.accounts.items()):
            yield "account", account, stock
        for strategy, stock in sorted(self.strategies.items()):
            yield "strategy", strategy, stock


@dataclass(frozen=True, slots=True)
class Line:
    """One asset at one exchange, and its mark or None."""

    exchange: str
    asset: str
    amount: Decimal
    rate: Rate | None

    @property
    def worth(self) -> Decimal | None:
        """In the reporting currency, rounded down to 18 decimals."""
        if self.rate is None:
            return None
        with localcontext(CONTEXT):
            return round_down(self.amount * self.rate.price)

    def document(self) -> dict[str, Any]:
        """As it is stored with a valuation: everything that the worth came from."""
        rate = self.rate
        return {
            "exchange": self.exchange,
            "asset": self.asset,
            "amount": plain(self.amount),
            "worth": plain_or_none(self.worth),
            "price": None if rate is None else plain(rate.price),
            "source": None if rate is None else rate.source,
            "path": None if rate is None else list(rate.path),
            "at": None if rate is None else rfc3339(rate.at),
            "age_ms": None if rate is None else rate.age // timedelta(milliseconds=1),
        }


@dataclass(frozen=True, slots=True)
class Value:
    """A valued stock. ``equity`` is None as long as anything is ``missing``: never a smaller number."""

    lines: tuple[Line, ...]
    missing: tuple[str, ...]
    equity: Decimal | None


def read_books(mode: str) -> Books:
    """Every account with open books of a mode, every strategy, and all of it together; one statement."""
    exchanges = dict(Account.objects.filter(mode=mode).values_list("id", "exchange"))
    everything, accounts, strategies = Stock(), defaultdict[int, Stock](Stock), defaultdict[int, Stock](Stock)
    ledger_id = 0
    with connection.cursor() as cursor:
        cursor.execute(_READ, {"mode": mode, "kinds": [*EXTERNAL, PostingKind.OWN_TRANSFER]})
        rows = cursor.fetchall()
    for kind, account, strategy, asset, amount, capital, pending, restating in rows:
        if kind == "ledger":
            ledger_id = int(amount)
            continue
        key = (exchanges[account], asset)
        if kind == "held":
            everything.amounts[key] += amount
            accounts[account].amounts[key] += amount
            if strategy is not None:
                _give(strategies[strategy], key, amount, capital, pending, restating)
            continue
        accounts[account].flows[key] += amount
        if kind == PostingKind.OWN_TRANSFER:
            everything.amounts[TRANSIT, asset] -= amount
        else:
            everything.flows[key] += amount
    return Books(everything, accounts, strategies, ledger_id)


def _give(stock: Stock, key: Key, amount: Decimal, capital: Decimal, pending: int, restating: bool) -> None:
    stock.amounts[key] += amount
    stock.flows[CAPITAL_KEY] += capital
    if pending:
        stock.unknown.add(f"cost of {name_of(key)}")
    if restating:
        # Quantities have moved already and costs have not: what was handed over is not their difference.
        stock.unknown.add(f"cost of {name_of(key)} restating")


def mark(mode: str, keys: Collection[Key], now: datetime, *, side: Side = "bid") -> dict[Key, Rate]:
    """The marks of now for these assets at these exchanges; one query. ``CAPITAL`` needs none."""
    quotes = read_quotes(mode, {asset for _, asset in keys}, now)
    wanted = defaultdict(set)
    for exchange, asset in keys:
        wanted[exchange].add(asset)
    return {
        (exchange, asset): rate
        for exchange, assets in wanted.items()
        for asset, rate in rates_by_quotes(quotes, exchange, assets, now, side=side).items()
    }


def value(stock: Stock, marks: Mapping[Key, Rate]) -> Value:
    """The stock at these marks. Nothing of an asset needs no mark."""
    lines = tuple(
        Line(*key, amount=amount, rate=marks.get(key)) for key, amount in sorted(stock.amounts.items()) if amount
    )
    missing = [name_of((line.exchange, line.asset)) for line in lines if line.rate is None]
    if missing or stock.unknown:
        return Value(lines, tuple(sorted({*missing, *stock.unknown})), None)
    return Value(lines, (), _worth({(line.exchange, line.asset): line.amount for line in lines}, marks))


def moved_between(before: Mapping[Key, Decimal], now: Mapping[Key, Decimal]) -> dict[Key, Decimal]:
    """What came in (positive) or went out between two totals of flows."""
    moved = {key: now.get(key, ZERO) - before.get(key, ZERO) for key in {*before, *now}}
    return {key: amount for key, amount in moved.items() if amount}


def value_of_flows(
    moved: Mapping[Key, Decimal], marks: Mapping[Key, Rate], known: Mapping[Key, Decimal]
) -> tuple[Decimal | None, tuple[str, ...]]:
    """What these flows are worth, at these marks or, without one, what is ``known`` of them by other means; None with
    the assets of which nothing is known."""
    marked = {key: amount for key, amount in moved.items() if key in marks or key[1] == CAPITAL}
    rest = moved.keys() - marked.keys()
    missing = tuple(sorted(name_of(key) for key in rest if key not in known))
    if missing:
        return None, missing
    return _worth(marked, marks) + sum((known[key] for key in rest), ZERO), ()


def value_by_postings(key: Key, amount: Decimal, *, mode: str, account_id: int | None, currency: str) -> Decimal | None:
    """What the last postings were booked at that together moved so much of an asset, in an account or all of a mode.

    By the value that each was given, else the rate that was booked with it; None when no last postings come to
    ``amount``, or the worth of one is not known.
    """
    kinds = [*EXTERNAL, PostingKind.OWN_TRANSFER] if account_id is not None else EXTERNAL
    rows = Posting.objects.filter(account__mode=mode, account__exchange=key[0], asset=key[1], kind__in=kinds)
    if account_id is not None:
        rows = rows.filter(account_id=account_id)
    rest, worth = amount, ZERO
    for row in rows.order_by("-posted_at", "-id")[:LOOKED_BACK]:
        flow = row.amount + row.network_fee
        rate = _booked(row, currency)
        if rate is None:
            return None
        rest -= flow
        with localcontext(CONTEXT):
            worth += round_down(flow * rate)
        if not rest:
            return worth
    return None


def looked_for(key: Key, mode: str) -> bool:
    """Whether the engine still looks for a rate of facts in this asset at this exchange."""
    waiting = PendingRate.objects.filter(account__mode=mode, account__exchange=key[0], asset=key[1])
    return waiting.filter(next_at__isnull=False).exists()


def _booked(row: Posting, currency: str) -> Decimal | None:
    if row.value is not None and row.currency == currency and row.amount:
        with localcontext(CONTEXT):
            price: Decimal = row.value / row.amount
        return price
    fact = row.reverses_id or row.pk
    return BookedRate.objects.filter(posting=fact, currency=currency).values_list("price", flat=True).first()


def _worth(amounts: Mapping[Key, Decimal], marks: Mapping[Key, Rate]) -> Decimal:
    with localcontext(CONTEXT):
        return round_down(
            sum((amount if key[1] == CAPITAL else amount * marks[key].price for key, amount in amounts.items()), ZERO)
        )
