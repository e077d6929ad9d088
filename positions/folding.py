"""Holdings from facts: the append path, late facts, and folding anew from a checkpoint.

A fact after the last one is folded onto the stored numbers. A late one moves the quantities at once, for they are sums,
and the rest is folded anew from the checkpoint before it: at once when that is short, else piece by piece by
``restate_due``. Everything here happens under the lock of the inventories concerned.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.events import record
from execution_project.common.locking import Locks, Rank
from execution_project.common.money import plain
from execution_project.common.writing import insert_new
from positions.costing import CURRENCIES, ZERO, Holder, InventoryState
from positions.facts import Step, steps_after
from positions.models import Allocation, Holding, HoldingCheckpoint, Inventory, RealisedPnl
from positions.moments import BEGINNING, moment_at
from positions.suspense import check_suspense

CHECKPOINT_EVERY = 500
RESTATED_AT_ONCE = 2000
"""A late fact with no more facts than these after its checkpoint is restated in its own transaction."""
PIECE = 1000
"""A piece ends with the page in which it reaches so many facts, so it is one page: whoever waits for the lock of the
inventory must get it well within their ``lock_timeout``."""
_HOLDING = ("quantity", "cost", "average_cost", "realised_pnl", "currency_effect", "pending", "updated_at")
_INVENTORY = ("moment", "fact_count", "restating", "restate_after", "restated_at", "updated_at")


@dataclass(slots=True)
class Folding:
    """A state on its way through facts, and the rows that it leaves behind."""

    account_id: int
    asset: str
    state: InventoryState
    count: int = 0
    moment: str = BEGINNING
    at: datetime | None = None
    realised: list[RealisedPnl] = field(default_factory=list)
    taken: list[Allocation] = field(default_factory=list)
    checkpoints: list[HoldingCheckpoint] = field(default_factory=list)

    def add(self, steps: Iterable[Step]) -> None:
        """Fold steps in; they come in the order of their moments."""
        for step in steps:
            self._add(step)

    def _add(self, step: Step) -> None:
        outcome = self.state.apply(step.move, step.strategy_id)
        where = {"account_id": self.account_id, "asset": self.asset, "at": step.at, "moment": step.moment}
        paid = step.move.role == "quote" and self.asset in CURRENCIES
        for disposal in outcome.disposals:
            self.realised.append(
                RealisedPnl(
                    **where,
                    strategy_id=disposal.strategy,
                    fill_id=step.fill_id,
                    posting_id=step.posting_id,
                    instrument_id=step.instrument_id,
                    role=step.move.role,
                    quantity=disposal.quantity,
                    proceeds=disposal.proceeds,
                    cost=disposal.cost,
                    realised=disposal.realised,
                    currency_effect=disposal.realised if paid else ZERO,
                    is_pending=disposal.is_pending,
                )
            )
        if outcome.taken is not None and step.fill_id is not None:
            taken = outcome.taken
            self.taken.append(
                Allocation(
                    **where,
                    strategy_id=taken.strategy,
                    fill_id=step.fill_id,
                    quantity=taken.quantity,
                    cost=taken.cost,
                )
            )
        self.count, self.moment, self.at = self.count + 1, step.moment, step.at
        if self.count % CHECKPOINT_EVERY == 0:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Keep the state as it is now."""
        if self.at is not None and (not self.checkpoints or self.checkpoints[-1].moment != self.moment):
            self.checkpoints.append(
                HoldingCheckpoint(
                    account_id=self.account_id,
                    asset=self.asset,
                    moment=self.moment,
                    at=self.at,
                    fact_count=self.count,
                    state=self.state.as_document(),
                )
            )


def lock_inventories(locks: Locks, account: Account, assets: Iterable[str]) -> dict[str, Inventory]:
    """Lock the holdings of these assets, by asset; made where there are none yet."""
    wanted = sorted(set(assets))
    known = set(Inventory.objects.filter(account=account, asset__in=wanted).values_list("asset", flat=True))
    now = clock.now()
    insert_new([Inventory(account=account, asset=asset, updated_at=now) for asset in wanted if asset not in known])
    rows = locks.rows(Rank.HOLDINGS, Inventory.objects.filter(account=account, asset__in=wanted))
    return {row.asset: row for row in rows}


def fold_in(locks: Locks, account: Account, steps: Sequence[Step]) -> None:
    """Move the holdings of an account by new facts, whatever their moments; a constant number of statements while they
    are the latest ones."""
    by_asset: dict[str, list[Step]] = defaultdict(list)
    for step in sorted(steps, key=lambda step: step.moment):
        by_asset[step.move.asset].append(step)
    if not by_asset:
        return
    inventories = lock_inventories(locks, account, by_asset)
    stored = _Stored.read(account, inventories)
    done: list[Folding] = []
    for asset, own in by_asset.items():
        row = inventories[asset]
        row.updated_at = clock.now()
        if row.restating or own[0].moment <= row.moment:
            _late(account, row, own, stored)
            continue
        folding = Folding(account.pk, asset, stored.state(asset), row.fact_count)
        folding.add(own)
        row.fact_count, row.moment = folding.count, folding.moment
        done.append(folding)
    for folding in done:
        stored.take(folding.asset, folding.state)
    _write(done)
    stored.save()
    Inventory.objects.bulk_update(inventories.values(), _INVENTORY)
    stored.tell_oversold()


def fold_anew(locks: Locks, account: Account, changed: dict[str, str]) -> None:
    """Facts of the past changed: by asset the earliest moment from which its holdings have to be folded anew."""
    inventories = lock_inventories(locks, account, changed)
    stored = _Stored.read(account, inventories)
    for asset, row in inventories.items():
        _mark_late(row, changed[asset])
        if row.fact_count - _count_before(row) <= RESTATED_AT_ONCE:
            _restate(account, row, stored, limit=None)
    stored.save()
    Inventory.objects.bulk_update(inventories.values(), _INVENTORY)
    stored.tell_oversold()


def restate_piece(locks: Locks, account: Account, asset: str, *, limit: int = PIECE) -> bool:
    """Fold one piece of an inventory that is being restated: whole pages until about ``limit`` facts; returns whether
    more is left."""
    row = lock_inventories(locks, account, [asset])[asset]
    if not row.restating:
        return False
    stored = _Stored.read(account, {asset: row})
    _restate(account, row, stored, limit=limit)
    stored.save()
    row.save()
    stored.tell_oversold()
    return bool(row.restating)


def _late(account: Account, row: Inventory, own: Sequence[Step], stored: _Stored) -> None:
    began = not row.restating
    _mark_late(row, own[0].moment)
    row.fact_count += len(own)
    if row.fact_count - _count_before(row) <= RESTATED_AT_ONCE:
        _restate(account, row, stored, limit=None)
        return
    for step in own:
        stored.add_quantity(row.asset, step.strategy_id, step.move.quantity)
    if began:
        _record(account, row, "holding.restating", {"late": own[0].moment})


def _mark_late(row: Inventory, moment: str) -> None:
    before = HoldingCheckpoint.objects.filter(account_id=row.account_id, asset=row.asset, moment__lt=moment)
    after = before.order_by("-moment").values_list("moment", flat=True).first() or BEGINNING
    row.restate_after = min(row.restate_after, after) if row.restating else after
    row.restating = True
    # What was kept after it rests on facts that have changed.
    HoldingCheckpoint.objects.filter(account_id=row.account_id, asset=row.asset, moment__gt=row.restate_after).delete()


def _count_before(row: Inventory) -> int:
    kept = HoldingCheckpoint.objects.filter(account_id=row.account_id, asset=row.asset, moment=row.restate_after)
    return kept.values_list("fact_count", flat=True).first() or 0


def _restate(account: Account, row: Inventory, stored: _Stored, *, limit: int | None) -> None:
    """Fold from the checkpoint on which the row waits; ``limit``: about so many facts now."""
    folding = folding_from(account.pk, row.asset, row.restate_after)
    start = folding.count
    while True:
        page = steps_after(account.pk, row.asset, folding.moment, folding.at)
        folding.add(page.steps)
        if page.is_last or (limit is not None and folding.count - start >= limit):
            break
    now = clock.now()
    # What lies behind the piece stays until its own piece replaces it, so that no sum ever lacks the rest.
    replaced = {"moment__gt": row.restate_after, **({} if page.is_last else {"moment__lte": folding.moment})}
    for model in (RealisedPnl, Allocation, HoldingCheckpoint):
        model.objects.filter(account=account, asset=row.asset, **replaced).delete()
    if not page.is_last:
        folding.checkpoint()
        row.restate_after = folding.moment
        _write([folding])
        return
    _write([folding])
    before = stored.realised(row.asset)
    stored.take(row.asset, folding.state)
    row.moment, row.fact_count = folding.moment, folding.count
    row.restating, row.restate_after, row.restated_at, row.updated_at = False, BEGINNING, now, now
    after = sum((holder.realised for holder in folding.state.holders.values()), ZERO)
    _record(
        account,
        row,
        "holding.restated",
        {"facts": folding.count - start, "realised_pnl": plain(after), "realised_pnl_before": plain(before)},
    )


def folding_from(account_id: int, asset: str, moment: str) -> Folding:
    """The fold as it stood at a kept checkpoint, or at the beginning."""
    if moment == BEGINNING:
        return Folding(account_id, asset, InventoryState())
    kept = HoldingCheckpoint.objects.get(account_id=account_id, asset=asset, moment=moment)
    return Folding(account_id, asset, InventoryState.of_document(kept.state), kept.fact_count, kept.moment, kept.at)


def state_at(account_id: int, asset: str, at: datetime, inventory: Inventory | None) -> InventoryState:
    """All holdings of an asset in one account after every fact up to a time, folded from the checkpoint before it."""
    limit = moment_at(at)
    if inventory is not None and inventory.restating:
        # Checkpoints behind a late fact are of before it.
        limit = min(limit, inventory.restate_after)
    kept = HoldingCheckpoint.objects.filter(account_id=account_id, asset=asset, moment__lte=limit)
    moment = kept.order_by("-moment").values_list("moment", flat=True).first() or BEGINNING
    folding = folding_from(account_id, asset, moment)
    while True:
        page = steps_after(account_id, asset, folding.moment, folding.at, until=at)
        folding.add(page.steps)
        if page.is_last:
            return folding.state
        # Only the state is wanted; what the fold would store must not pile up.
        for rows in (folding.realised, folding.taken, folding.checkpoints):
            rows.clear()


def _record(account: Account, row: Inventory, kind: str, evidence: dict[str, object]) -> None:
    by = engine("booking", "a fact from before the last one")
    record(kind, "holding", f"{account.name}:{row.asset}", by, evidence={"account": account.name, **evidence})


def _write(foldings: Sequence[Folding]) -> None:
    RealisedPnl.objects.bulk_create([row for folding in foldings for row in folding.realised], batch_size=2000)
    Allocation.objects.bulk_create([row for folding in foldings for row in folding.taken], batch_size=2000)
    HoldingCheckpoint.objects.bulk_create(
        [row for folding in foldings for row in folding.checkpoints], ignore_conflicts=True, batch_size=2000
    )


class _Stored:
    """The holding rows of some assets of an account, read once and written once."""

    def __init__(self, account: Account, rows: Iterable[Holding]) -> None:
        self._account = account
        self._rows = {(row.asset, row.strategy_id, row.in_suspense): row for row in rows}
        self._touched: dict[tuple[str, int | None, bool], Holding] = {}
        self._suspended_before = {asset: row.quantity for (asset, _, suspended), row in self._rows.items() if suspended}

    @classmethod
    def read(cls, account: Account, assets: Iterable[str]) -> _Stored:
        """Under the lock of their inventories."""
        return cls(account, Holding.objects.filter(account=account, asset__in=list(assets)))

    def state(self, asset: str) -> InventoryState:
        """The stored numbers as a state to fold onto."""
        state = InventoryState()
        for (of, strategy, suspended), row in self._rows.items():
            if of != asset:
                continue
            holder = Holder(row.quantity, row.cost, row.realised_pnl, row.currency_effect, row.pending)
            if suspended:
                state.suspense = holder
            else:
                state.holders[strategy] = holder
        return state

    def realised(self, asset: str) -> Decimal:
        """What is stored as realised of an asset."""
        return sum((row.realised_pnl for (of, _, _), row in self._rows.items() if of == asset), ZERO)

    def take(self, asset: str, state: InventoryState) -> None:
        """Store a state instead; a holding that it does not know becomes zero."""
        for of, strategy, suspended in list(self._rows):
            if of == asset and not suspended:
                state.holders.setdefault(strategy, Holder())
        for strategy, holder in state.holders.items():
            self._put(asset, strategy, False, holder)
        if state.suspense != Holder() or (asset, None, True) in self._rows:
            self._put(asset, None, True, state.suspense)

    def add_quantity(self, asset: str, strategy: int | None, quantity: Decimal) -> None:
        """Move a quantity alone: what it cost waits for the fold."""
        row = self._row(asset, strategy, False)
        row.quantity += quantity
        row.updated_at = clock.now()

    def save(self) -> None:
        """Insert and update what changed."""
        rows = list(self._touched.values())
        Holding.objects.bulk_create([row for row in rows if row.pk is None])
        Holding.objects.bulk_update([row for row in rows if row.pk is not None], _HOLDING)

    def tell_oversold(self) -> None:
        """Record what was sold beyond everything held, when that grew."""
        for (asset, _, suspended), row in self._touched.items():
            before = self._suspended_before.get(asset, ZERO)
            if suspended and row.quantity < before:
                record(
                    "holding.oversold",
                    "holding",
                    f"{self._account.name}:{asset}",
                    engine("booking", "sold beyond everything held"),
                    evidence={
                        "account": self._account.name,
                        "asset": asset,
                        "in_suspense": plain(-row.quantity),
                        "before": plain(-before),
                    },
                )
                check_suspense(self._account)

    def _put(self, asset: str, strategy: int | None, suspended: bool, holder: Holder) -> None:
        row = self._row(asset, strategy, suspended)
        row.quantity, row.cost, row.average_cost = holder.quantity, holder.cost, holder.average
        row.realised_pnl, row.currency_effect, row.pending = holder.realised, holder.currency_effect, holder.pending
        row.updated_at = clock.now()

    def _row(self, asset: str, strategy: int | None, suspended: bool) -> Holding:
        key = (asset, strategy, suspended)
        if key not in self._rows:
            self._rows[key] = Holding(
                account=self._account, asset=asset, strategy_id=strategy, in_suspense=suspended, updated_at=clock.now()
            )
            # Defaults of the columns are whole numbers until they were stored once.
            self._rows[key].quantity = ZERO
        self._touched[key] = self._rows[key]
        return self._rows[key]
