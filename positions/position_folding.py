"""Positions from fills: the append path, late fills, and folding anew from a checkpoint; as ``positions.folding``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.events import record
from execution_project.common.locking import Locks, Rank
from execution_project.common.money import plain
from execution_project.common.writing import insert_new
from positions.accounting import PositionState, apply_fill
from positions.facts import FillFact, fills_after
from positions.folding import CHECKPOINT_EVERY, RESTATED_AT_ONCE
from positions.models import Position, PositionCheckpoint
from positions.moments import BEGINNING

Key = tuple[int, int | None]
"""Instrument and strategy."""
_AMOUNTS = (
    *("net_quantity", "cost", "realised_pnl", "fees_in_quote"),
    *("bought_quantity", "sold_quantity", "fees_valued"),
)
_COLUMNS = (
    *(*_AMOUNTS, "average_price", "fill_count", "last_trade_at", "last_trade_id", "moment"),
    *("pending", "restating", "restate_after", "restated_at", "updated_at"),
)


@dataclass(slots=True)
class PositionFolding:
    """A position on its way through fills, and the checkpoints that it leaves behind."""

    state: PositionState = field(default_factory=PositionState)
    count: int = 0
    moment: str = BEGINNING
    at: datetime | None = None
    trade_id: str = ""
    checkpoints: list[tuple[str, datetime, int, dict[str, Any]]] = field(default_factory=list)

    def add(self, fills: Iterable[FillFact]) -> None:
        """Fold fills in; they come in the order of their moments."""
        for fill in fills:
            self.state = apply_fill(
                self.state,
                side=fill.side,
                quantity=fill.quantity,
                quote_quantity=fill.quote_quantity,
                fee_in_quote=fill.fee_in_quote,
                fee_valued=fill.fee_valued,
            )
            self.count, self.moment, self.at, self.trade_id = self.count + 1, fill.moment, fill.at, fill.trade_id
            if self.count % CHECKPOINT_EVERY == 0:
                self.checkpoint()

    def checkpoint(self) -> None:
        """Keep the state as it is now."""
        if self.at is not None and (not self.checkpoints or self.checkpoints[-1][0] != self.moment):
            amounts: dict[str, Any] = {name: plain(getattr(self.state, name)) for name in _AMOUNTS}
            document = {**amounts, "pending": self.state.pending, "trade_id": self.trade_id}
            self.checkpoints.append((self.moment, self.at, self.count, document))


def state_of(row: Position) -> PositionState:
    """The stored numbers as a state to fold onto."""
    return PositionState(**{name: getattr(row, name) for name in _AMOUNTS}, pending=row.pending)


def fold_positions(locks: Locks, account: Account, fills: Sequence[FillFact]) -> None:
    """Move the positions of an account by new fills, whatever their moments."""
    by_key: dict[Key, list[FillFact]] = defaultdict(list)
    for fill in sorted(fills, key=lambda fill: fill.moment):
        by_key[fill.instrument_id, fill.strategy_id].append(fill)
    rows = _lock(locks, account, by_key)
    checkpoints: list[PositionCheckpoint] = []
    for row in rows:
        own = by_key[row.instrument_id, row.strategy_id]
        row.updated_at = clock.now()
        if row.restating or own[0].moment <= row.moment:
            _late(account, row, own)
            continue
        folding = PositionFolding(state_of(row), row.fill_count)
        folding.add(own)
        _store(row, folding)
        checkpoints += _kept(row, folding)
    PositionCheckpoint.objects.bulk_create(checkpoints, ignore_conflicts=True)
    Position.objects.bulk_update(rows, _COLUMNS)


def fold_positions_anew(locks: Locks, account: Account, changed: dict[Key, str]) -> None:
    """Fills of the past changed: by position the earliest moment from which it has to be folded anew."""
    rows = _lock(locks, account, changed)
    for row in rows:
        _mark_late(row, changed[row.instrument_id, row.strategy_id])
        if row.fill_count - _count_before(row) <= RESTATED_AT_ONCE:
            _restate(row, [], limit=None)
    Position.objects.bulk_update(rows, _COLUMNS)


def restate_position_piece(locks: Locks, position: Position, *, limit: int = 20_000) -> bool:
    """Fold one piece of a position that is being restated; returns whether more is left."""
    row = locks.rows(Rank.POSITIONS, Position.objects.filter(pk=position.pk))[0]
    if row.restating:
        _restate(row, [], limit=limit)
        row.save(update_fields=_COLUMNS)
    return bool(row.restating)


def position_folding_from(row: Position, moment: str) -> PositionFolding:
    """The fold as it stood at a kept checkpoint, or at the beginning."""
    if moment == BEGINNING:
        return PositionFolding()
    kept = _checkpoints(row).get(moment=moment)
    state = PositionState(**{name: Decimal(kept.state[name]) for name in _AMOUNTS}, pending=kept.state["pending"])
    return PositionFolding(state, kept.fill_count, kept.moment, kept.at, kept.state["trade_id"])


def _lock(locks: Locks, account: Account, keys: Iterable[Key]) -> list[Position]:
    wanted = Q()
    for instrument, strategy in keys:
        wanted |= Q(instrument_id=instrument, strategy_id=strategy)
    mine = Position.objects.filter(wanted, account=account)
    known = set(mine.values_list("instrument_id", "strategy_id"))
    now = clock.now()
    insert_new(
        [
            Position(account=account, instrument_id=instrument, strategy_id=strategy, updated_at=now)
            for instrument, strategy in sorted(keys, key=str)
            if (instrument, strategy) not in known
        ]
    )
    return locks.rows(Rank.POSITIONS, mine.all())


def _late(account: Account, row: Position, own: Sequence[FillFact]) -> None:
    began = not row.restating
    _mark_late(row, own[0].moment)
    row.fill_count += len(own)
    if row.fill_count - _count_before(row) <= RESTATED_AT_ONCE:
        _restate(row, own, limit=None)
        return
    # Sums need no order; average, cost and profit wait for the fold.
    moved = PositionState()
    for fill in own:
        moved = apply_fill(moved, side=fill.side, quantity=fill.quantity, quote_quantity=fill.quote_quantity)
        row.fees_in_quote += fill.fee_in_quote
    row.net_quantity += moved.net_quantity
    row.bought_quantity += moved.bought_quantity
    row.sold_quantity += moved.sold_quantity
    if began:
        record("position.restating", "position", row.pk, _BY, evidence={"late": own[0].moment})


def _mark_late(row: Position, moment: str) -> None:
    before = _checkpoints(row).filter(moment__lt=moment).order_by("-moment")
    after = before.values_list("moment", flat=True).first() or BEGINNING
    row.restate_after = min(row.restate_after, after) if row.restating else after
    row.restating = True
    _checkpoints(row).filter(moment__gt=row.restate_after).delete()


def _count_before(row: Position) -> int:
    return _checkpoints(row).filter(moment=row.restate_after).values_list("fill_count", flat=True).first() or 0


def _restate(row: Position, own: Sequence[FillFact], *, limit: int | None) -> None:
    folding = position_folding_from(row, row.restate_after)
    _checkpoints(row).filter(moment__gt=row.restate_after).delete()
    start = folding.count
    while True:
        fills, is_last = fills_after(row.account_id, row.instrument_id, row.strategy_id, folding.moment, folding.at)
        folding.add(fills)
        if is_last or (limit is not None and folding.count - start >= limit):
            break
    if not is_last:
        folding.checkpoint()
    PositionCheckpoint.objects.bulk_create(_kept(row, folding), ignore_conflicts=True, batch_size=2000)
    if not is_last:
        row.restate_after = folding.moment
        return
    before = row.realised_pnl
    _store(row, folding)
    row.restating, row.restate_after, row.restated_at = False, BEGINNING, clock.now()
    record(
        "position.restated",
        "position",
        row.pk,
        _BY,
        evidence={
            "trades": [fill.trade_id for fill in own],
            "realised_pnl": plain(row.realised_pnl),
            "realised_pnl_before": plain(before),
        },
    )


def _store(row: Position, folding: PositionFolding) -> None:
    state = folding.state
    row.net_quantity, row.cost, row.average_price = state.net_quantity, state.cost, state.average_price
    row.realised_pnl, row.pending = state.realised_pnl, state.pending
    row.fees_in_quote, row.fees_valued = state.fees_in_quote, state.fees_valued
    row.bought_quantity, row.sold_quantity = state.bought_quantity, state.sold_quantity
    row.fill_count, row.moment = folding.count, folding.moment
    row.last_trade_at, row.last_trade_id = folding.at, folding.trade_id
    row.updated_at = clock.now()


def _checkpoints(row: Position) -> Any:
    return PositionCheckpoint.objects.filter(
        account_id=row.account_id, instrument_id=row.instrument_id, strategy=row.strategy_id
    )


def _kept(row: Position, folding: PositionFolding) -> list[PositionCheckpoint]:
    return [
        PositionCheckpoint(
            account_id=row.account_id,
            instrument_id=row.instrument_id,
            strategy_id=row.strategy_id,
            moment=moment,
            at=at,
            fill_count=count,
            state=document,
        )
        for moment, at, count, document in folding.checkpoints
    ]


_BY = engine("booking", "a trade from before the last one")
