"""The rate of each fact at its own moment, kept beside it as a fact.

A missing one is noted, looked for again, and never taken for zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.conf import settings
from django.db.models import Count, Max, Min

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.events import record
from execution_project.common.locking import Locks, ordered
from execution_project.common.money import plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.common.writing import insert_new
from positions import marks
from positions.facts import fill_facts, posting_facts
from positions.folding import fold_anew
from positions.marks import Rate
from positions.models import BookedRate, Fill, PendingRate, Posting
from positions.position_folding import fold_positions_anew
from positions.suspense import recheck_suspense

LOOK_AGAIN = timedelta(seconds=30)
LOOKED_FOR = timedelta(hours=1)
"""How long a missing rate is looked for by itself; marks of a moment that long ago no longer change."""
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """The assets whose rates one fact needs at its moment."""

    fact: Fill | Posting
    at: datetime
    assets: frozenset[str]


def find_rates(account: Account, wanted: Iterable[Wanted]) -> dict[tuple[UUID, str], Rate]:
    """The rates of facts, by fact and asset; what has none is not in the answer.

    Facts of the same second, and old ones of the same minute, are looked up together: by the beginning of it, so that
    the answer is the same whatever else is booked along.
    """
    old = clock.now() - 2 * marks.max_age()
    groups: dict[datetime, list[Wanted]] = defaultdict(list)
    for want in wanted:
        if want.assets:
            start = want.at.replace(microsecond=0)
            groups[start.replace(second=0) if want.at < old else start].append(want)
    found: dict[tuple[UUID, str], Rate] = {}
    for moment, members in sorted(groups.items()):
        assets = frozenset[str]().union(*(want.assets for want in members))
        rates = marks.rates_at(account.mode, account.exchange, assets, moment)
        for want in members:
            found |= {(want.fact.id, asset): rates[asset] for asset in want.assets if asset in rates}
    return found


def store_rates(account: Account, wanted: Iterable[Wanted]) -> dict[UUID, dict[str, Decimal]]:
    """Look up, keep and return the rates of new facts; what is missing is noted."""
    wanted = [want for want in wanted if want.assets]
    if not wanted:
        return {}
    found = find_rates(account, wanted)
    known: dict[UUID, dict[str, Decimal]] = defaultdict(dict)
    rows, missing = [], []
    now = clock.now()
    for want in wanted:
        for asset in sorted(want.assets):
            rate = found.get((want.fact.id, asset))
            if rate is None:
                missing.append(
                    PendingRate(account=account, asset=asset, at=want.at, next_at=now + LOOK_AGAIN, **_of(want.fact))
                )
                continue
            known[want.fact.id][asset] = rate.price
            rows.append(_row(want.fact, rate))
    BookedRate.objects.bulk_create(rows)
    PendingRate.objects.bulk_create(missing)
    return known


def look_again() -> int:
    """Look once more for rates that facts lack, and fold anew what got one; returns how many came."""
    now = clock.now()
    due = PendingRate.objects.filter(next_at__lte=now).order_by("next_at").select_related("account", "fill", "posting")
    by_account: dict[Account, list[PendingRate]] = defaultdict(list)
    for row in due[:AT_ONCE]:
        by_account[row.account].append(row)
    came = 0
    for account, rows in by_account.items():
        wants = [Wanted(_fact(row), row.at, frozenset({row.asset})) for row in rows]
        found = find_rates(account, wants)
        with ordered() as locks:
            came += _supply(locks, account, rows, found)
        for row in rows:
            again = now + LOOK_AGAIN if row.at > now - LOOKED_FOR else None
            PendingRate.objects.filter(pk=row.pk).update(next_at=again)
    return came


def give_rates(account: Account, asset: str, price: Decimal, *, reason: str, by: Actor) -> int:
    """Say what one unit of ``asset`` was worth, for all facts of an account that lack its rate; returns how many.

    ``price`` in the reporting currency, positive. Raises ``Problem``: 403, 400 for a price that is none, 404 when
    nothing lacks it. The numbers concerned are folded anew.
    """
    rows = check_given(account, asset, price, by=by)
    with ordered() as locks:
        source = f"given:{by.name}"[:64]
        found = {(_fact(row).id, asset): Rate(asset, price, row.at, source, (), timedelta(0)) for row in rows}
        given = _supply(locks, account, rows, found)
        evidence = {"account": account.name, "price": plain(price), "facts": given, "reason": reason}
        record("rate.given", "asset", asset, by, evidence=evidence)
    return given


def check_given(account: Account, asset: str, price: Decimal, *, by: Actor) -> list[PendingRate]:
    """What a rate would be given to; raises as ``give_rates``."""
    by.require(Right.RESOLVE)
    if price <= 0:
        raise Problem(400, "INVALID_PRICE", "A price is more than zero, in the reporting currency per unit.")
    rows = list(PendingRate.objects.filter(account=account, asset=asset).select_related("fill", "posting"))
    if not rows:
        raise Problem(404, "NO_RATE_MISSING", f"No fact of {account.name} lacks a rate of {asset}.")
    return rows


@dataclass(frozen=True, slots=True)
class Missing:
    """An asset whose rate facts of an account lack: how many, and when the first and the last of them happened."""

    asset: str
    facts: int
    first_at: datetime
    last_at: datetime


def missing_rates(account: Account) -> list[Missing]:
    """What facts of an account lack, by asset."""
    rows = PendingRate.objects.filter(account=account).values("asset").order_by("asset")
    found = rows.annotate(facts=Count("id"), first=Min("at"), last=Max("at"))
    return [Missing(row["asset"], row["facts"], row["first"], row["last"]) for row in found]


def _supply(locks: Locks, account: Account, rows: Iterable[PendingRate], found: Mapping[tuple[UUID, str], Rate]) -> int:
    """Store what was found for what is still lacking, and fold the holdings and positions concerned anew."""
    got = [row for row in rows if (_fact(row).id, row.asset) in found]
    new = insert_new([_row(_fact(row), found[_fact(row).id, row.asset]) for row in got])
    PendingRate.objects.filter(pk__in=[row.pk for row in got]).delete()
    if not new:
        return 0
    fills = fill_facts([row.fill for row in got if row.fill is not None])
    changed: dict[str, str] = {}
    for fact in fills:
        for move in fact.moves():
            changed[move.asset] = min(changed.get(move.asset, fact.moment), fact.moment)
    for posting in posting_facts([row.posting for row in got if row.posting is not None]):
        changed[posting.asset] = min(changed.get(posting.asset, posting.moment), posting.moment)
    fold_anew(locks, account, changed)
    keys: dict[tuple[int, int | None], str] = {}
    for fact in fills:
        key = (fact.instrument_id, fact.strategy_id)
        keys[key] = min(keys.get(key, fact.moment), fact.moment)
    if keys:
        fold_positions_anew(locks, account, keys)
    record(
        "rate.found",
        "account",
        account.name,
        engine("booking", "rates that facts lacked"),
        evidence={"facts": len(new), "assets": sorted({row.asset for row in got})},
    )
    recheck_suspense(account)
    return len(new)


def _fact(row: PendingRate) -> Fill | Posting:
    fact = row.fill or row.posting
    assert fact is not None  # noqa: S101  one of both, by how they are made
    return fact


def _of(fact: Fill | Posting) -> dict[str, Fill | Posting]:
    return {"fill" if isinstance(fact, Fill) else "posting": fact}


def _row(fact: Fill | Posting, rate: Rate) -> BookedRate:
    return BookedRate(
        **_of(fact),
        asset=rate.asset,
        currency=settings.EXEC_REPORTING_CURRENCY,
        price=rate.price,
        marked_at=rate.at,
        source=rate.source,
        path=list(rate.path),
        age_ms=rate.age // timedelta(milliseconds=1),
        stored_at=clock.now(),
    )
