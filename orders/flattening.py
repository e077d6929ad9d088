"""Flattening a killed scope: everything but cash is sold in chunks, after the kill is verified and a list confirmed.

Order is always: halt, end the orders, then, asked for by itself, sell. A chunk is a limit order at the bid less
``EXIT``, of no more than a share of the visible book, and passes the gate like any order that reduces; nothing is sold
on stale prices. A resumable job keyed by flatten and account.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Sum

from exchanges.capabilities import CAPABILITIES
from exchanges.connections import WrongHost
from exchanges.filters import check_order, round_price, round_quantity
from exchanges.models import Account, Balance, Depth, Instrument, Quote
from exchanges.reports import ReadFailed
from exchanges.syncing import sync_balances
from execution_project.common import clock
from execution_project.common.actors import Actor, engine
from execution_project.common.chores import ring_chore
from execution_project.common.events import record
from execution_project.common.locking import ordered
from execution_project.common.models import Event
from execution_project.common.money import CONTEXT, plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from orders.canceling import request_cancel
from orders.lifecycle import ENDED, OrderStatus
from orders.models import ExchangeOrder, Order
from orders.placing import OrderRequest, place
from orders.queues import probe_queue
from positions.models import Holding
from risk.boot_halt import BOOT, halted_for_boot_since
from risk.inputs import CASH_ASSETS, MAX_QUOTE_AGE
from risk.intent import lock_names, scope_name, scopes_of
from risk.models import (
    Flatten,
    FlattenItem,
    FlattenState,
    FlattenStatus,
    KillEpisode,
    KillVerdict,
    Reservation,
    ScopeKind,
    State,
)
from risk.trading_state import next_gate_seq

ZERO = Decimal(0)
EXIT = Decimal("0.01")
"""How far below the best bid a chunk may sell: half of what a collar of 2 % leaves to everybody (§1, control 5)."""
SHARE = Decimal("0.25")
"""Of the visible bids down to that price, at most, in one chunk: the sale must not become the market."""
RESTS_AT_MOST = timedelta(seconds=1)
"""Where there is no immediate-or-cancel, a chunk is canceled after that long."""
GIVES_UP_AFTER = timedelta(minutes=2)
"""Without anything sold, and with something to sell."""
SMALL = {"LOT_SIZE", "NOTIONAL", "MIN_NOTIONAL"}


@dataclass(frozen=True, slots=True)
class Planned:
    """One holding that a flatten would sell; ``symbol`` empty where no listed pair leads to cash."""

    account: Account
    strategy_id: int | None
    strategy: str | None
    asset: str
    symbol: str
    quantity: Decimal

    def as_json(self) -> dict[str, str | None]:
        """As it is shown, and as it is confirmed."""
        return {
            "account": self.account.name,
            "strategy": self.strategy,
            "asset": self.asset,
            "symbol": self.symbol,
            "quantity": plain(self.quantity),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a flatten of this kill would sell. ``confirm`` stands for exactly this scope and list."""

    scope: str
    items: tuple[Planned, ...]
    confirm: str


def plan_flatten(episode: KillEpisode) -> Plan:
    """What would be sold, as things stand. Raises ``Problem``: 409 while the kill is not verified, when a flatten runs
    already, or when nothing but cash is held."""
    if episode.ended_at is not None or episode.stage != State.HALTED:
        raise Problem(409, "KILL_OVER", "That kill is lifted, in part or whole: kill again before you flatten.")
    if Flatten.objects.filter(episode=episode, status=FlattenStatus.RUNNING).exists():
        raise Problem(409, "FLATTEN_RUNNING", "A flatten of this kill runs already.")
    if episode.verdict != KillVerdict.VERIFIED:
        detail = f"The kill is {episode.verdict}: what still works may fill. Flatten when it is VERIFIED."
        raise Problem(409, "KILL_NOT_VERIFIED", detail, members={"unproven": episode.unproven})
    items = tuple(_planned(row) for row in _holdings(episode))
    if not items:
        raise Problem(409, "NOTHING_TO_FLATTEN", "Nothing but cash is held in this scope.")
    scope = scope_name(episode.scope_kind, episode.scope_key)
    shown = json.dumps([str(episode.id), scope, [item.as_json() for item in items]])
    return Plan(scope, items, hashlib.sha256(shown.encode()).hexdigest()[:16])


def _holdings(episode: KillEpisode) -> Sequence[Holding]:
    rows = Holding.objects.filter(quantity__gt=0, account__books_opened_at__isnull=False)
    rows = rows.exclude(asset__in=CASH_ASSETS).select_related("account", "strategy")
    kind, key = episode.scope_kind, episode.scope_key
    if kind == ScopeKind.SYMBOL:
        pairs = Instrument.objects.filter(symbol=key).values_list("exchange", "mode", "base_asset")
        wanted = Q(pk__in=[])
        for exchange, mode, base in pairs:
            wanted |= Q(account__exchange=exchange, account__mode=mode, asset=base)
        rows = rows.filter(wanted)
    elif kind != ScopeKind.GLOBAL:
        field = {"exchange": "account__exchange", "account": "account__name", "strategy": "strategy__name"}[kind]
        rows = rows.filter(**{field: key})
    return list(rows.order_by("account__name", "asset", "strategy_id"))


def _planned(row: Holding) -> Planned:
    strategy = None if row.strategy is None else row.strategy.name
    symbol = _way_to_cash(row.account, row.asset)
    return Planned(row.account, row.strategy_id, strategy, row.asset, symbol, row.quantity)


def _way_to_cash(account: Account, asset: str) -> str:
    """The pair to sell an asset in: listed, trading, quoted in cash; the one with the freshest price."""
    pairs = Instrument.objects.filter(
        exchange=account.exchange, mode=account.mode, base_asset=asset, quote_asset__in=CASH_ASSETS, is_trading=True
    )
    by_age = pairs.order_by(F("quote__confirmed_at").desc(nulls_last=True), "-quote_asset", "symbol")
    return by_age.values_list("symbol", flat=True).first() or ""


def confirm_flatten(episode: KillEpisode, *, confirm: str, reason: str, by: Actor) -> Flatten:
    """The second step: begin to sell exactly what was shown.

    Raises ``Problem``: as ``plan_flatten``, 409 ``FLATTEN_CHANGED`` when the list is not the one that was shown, 403
    without the right.
    """
    by.require(Right.KILL)
    now = clock.now()
    with ordered() as locks:
        locks.own_trading_state(scope_name(episode.scope_kind, episode.scope_key))
        episode = KillEpisode.objects.get(id=episode.id)
        plan = plan_flatten(episode)
        if plan.confirm != confirm:
            detail = "What would be sold is not what was shown: look at the list again."
            raise Problem(409, "FLATTEN_CHANGED", detail)
        flatten = Flatten.objects.create(
            episode=episode,
            confirmed_seq=next_gate_seq(),
            confirmed_by=by.name,
            confirmed_at=now,
            reason=reason[:256],
        )
        FlattenItem.objects.bulk_create(
            FlattenItem(
                flatten=flatten,
                account=item.account,
                strategy_id=item.strategy_id,
                asset=item.asset,
                symbol=item.symbol,
                quantity=item.quantity,
                left=item.quantity,
                state=FlattenState.SELLING if item.symbol else FlattenState.LEFT,
                why="" if item.symbol else "no listed pair leads to cash",
                moved_at=now,
            )
            for item in plan.items
        )
        evidence = {"scope": plan.scope, "items": [item.as_json() for item in plan.items], "reason": reason}
        record("flatten.confirmed", "kill", episode.id, by, to_status=flatten.status, evidence=evidence)
    ring_flattens()
    return flatten


def ring_flattens() -> int:
    """Go on with every flatten that runs, account by account, and end those that are done; returns how many rang."""
    rung = 0
    for flatten in Flatten.objects.filter(status=FlattenStatus.RUNNING).select_related("episode"):
        selling = flatten.items.filter(state=FlattenState.SELLING)
        for account_id, exchange in selling.values_list("account_id", "account__exchange").distinct():
            queue, task = probe_queue(exchange), "orders.tasks.flatten_account"
            rung += ring_chore(queue, f"flatten:{flatten.id}:{account_id}", task, str(flatten.id), account_id)
        if not selling.exists():
            _end(flatten)
    return rung


def flatten_step(flatten_id: UUID, account_id: int) -> None:
    """One step on one account: each holding's last chunk is looked at, and the next placed. Calls the exchange."""
    flatten = Flatten.objects.select_related("episode").get(id=flatten_id)
    if flatten.status != FlattenStatus.RUNNING:
        return
    items = list(
        flatten.items.filter(account_id=account_id, state=FlattenState.SELLING)
        .select_related("account", "strategy")
        .order_by("asset", "id")
    )
    if not items:
        return
    by = engine("flattener", f"flatten of kill {flatten.episode_id}")
    if flatten.episode.ended_at is not None or flatten.episode.stage != State.HALTED:
        for item in items:
            _leave(flatten, item, "its kill is lifted", by)
        return
    if halted_for_boot_since(items[0].account.name) is not None:
        for item in items:
            item.moved_at = clock.now()  # the time of a start does not count
    try:
        sync_balances(items[0].account)
    except (ReadFailed, WrongHost) as error:
        for item in items:
            _wait(flatten, item, f"balances could not be read: {error}", by)
        return
    for item in items:
        _sell(flatten, item, by)


def _sell(flatten: Flatten, item: FlattenItem, by: Actor) -> None:
    instrument = Instrument.objects.filter(
        exchange=item.account.exchange, mode=item.account.mode, symbol=item.symbol
    ).first()
    if instrument is None:
        _leave(flatten, item, "its pair is not listed any more", by)
        return
    chunks = _chunks(flatten, item)
    live = list(chunks.exclude(status__in=[*ENDED]))
    for order in live:
        if order.status in {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED} and (
            clock.now() - order.created_at >= RESTS_AT_MOST
        ):
            request_cancel(order.id, by=by, reason="a chunk of a flatten rests")
    if live or _unbooked(chunks):
        _wait(flatten, item, "its last chunk has not ended", by)
        return
    last = chunks.order_by("-id").first()
    if last is not None and last.reason == "TRADING_HALTED" and not _stopped_by_a_start_alone(flatten, item):
        _leave(flatten, item, f"outranked by a newer halt: {last.detail}", by)
        return
    if halted_for_boot_since(item.account.name) is not None:
        _wait(flatten, item, "the engine has started: the books are compared first", by)
        return
    holding, sellable = _what_is_there(item)
    with localcontext(CONTEXT):
        unsold = max(item.quantity - _sold(chunks), ZERO)
    if holding <= 0:
        item.left = ZERO
        _end_item(item, FlattenState.SOLD, "")
        return
    if unsold == 0:
        item.left = holding
        _leave(flatten, item, f"all that was confirmed is sold; {plain(holding)} came since", by)
        return
    wanted, sellable = min(holding, unsold), min(sellable, unsold)
    if wanted < item.left:
        item.left, item.moved_at = wanted, clock.now()
    quantity = round_quantity(instrument.filters, sellable, market=False)
    quote = Quote.objects.filter(instrument=instrument).first()
    depth = Depth.objects.filter(instrument=instrument).first()
    stale = _stale(quote, depth)
    if stale or quote is None or depth is None or quote.bid is None:
        _wait(flatten, item, stale, by)
        return
    with localcontext(CONTEXT):
        price = round_price(instrument.filters, "SELL", quote.bid * (1 - EXIT))
    if _is_small(instrument, quantity, price):
        if sellable < wanted:
            _wait(flatten, item, "what is held is not free at the exchange yet", by)
        else:
            _end_item(item, FlattenState.DUST, f"{plain(sellable)} is less than the exchange takes")
        return
    chunk = _chunk(instrument, quantity, price, depth)
    if chunk == 0:
        _wait(flatten, item, "the book is too thin for the least that the exchange takes", by)
        return
    if last is not None and clock.now() - item.moved_at > GIVES_UP_AFTER:
        _wait(flatten, item, "no chunk was taken", by)
        return
    item.chunks += 1
    item.save(update_fields=["chunks", "left", "moved_at"])
    _place(flatten, item, instrument, chunk, price, by)


def _chunks(flatten: Flatten, item: FlattenItem) -> QuerySet[Order]:
    """The orders that this flatten placed for a holding."""
    return Order.objects.filter(
        kill_id=flatten.episode_id,
        account=item.account,
        instrument__symbol=item.symbol,
        strategy=item.strategy,
        created_at__gte=flatten.confirmed_at,
    )


def _unbooked(chunks: QuerySet[Order]) -> bool:
    return ExchangeOrder.objects.filter(order__in=chunks, cumulative_quantity__gt=F("booked_quantity")).exists()


def _sold(chunks: QuerySet[Order]) -> Decimal:
    sold = ExchangeOrder.objects.filter(order__in=chunks).aggregate(total=Sum("cumulative_quantity"))["total"]
    return sold or ZERO


def _stopped_by_a_start_alone(flatten: Flatten, item: FlattenItem) -> bool:
    """Whether no halt but that of a start came over the holding's scopes since the flatten was confirmed."""
    scopes = scopes_of(
        exchange=item.account.exchange,
        account=item.account.name,
        strategy=None if item.strategy is None else item.strategy.name,
        symbol=item.symbol,
    )
    halts = Event.objects.filter(
        kind="trading.halted", subject_type="scope", subject_id__in=lock_names(scopes), at__gte=flatten.confirmed_at
    )
    return halts.filter(actor=BOOT).exists() and not halts.exclude(actor=BOOT).exists()


def _what_is_there(item: FlattenItem) -> tuple[Decimal, Decimal]:
    """(what the books hold for this strategy, how much of it may be sold now): no more than ledger and exchange have of
    the asset beside other live orders."""
    rows = Holding.objects.filter(account=item.account, asset=item.asset)
    holding = rows.filter(strategy=item.strategy).aggregate(total=Sum("quantity"))["total"] or ZERO
    total = rows.aggregate(total=Sum("quantity"))["total"] or ZERO
    balance = Balance.objects.filter(account=item.account, asset=item.asset).first()
    free = ZERO if balance is None else balance.free
    reserved = Reservation.objects.filter(account_name=item.account.name, asset=item.asset, amount__gt=0)
    others = reserved.aggregate(total=Sum("amount"))["total"] or ZERO
    return holding, max(min(holding, total - others, free), ZERO)


def _stale(quote: Quote | None, depth: Depth | None) -> str:
    """Why nothing is sold at these prices, or nothing."""
    now = clock.now()
    if quote is None or quote.bid is None or now - quote.confirmed_at > MAX_QUOTE_AGE:
        return f"no price of the last {MAX_QUOTE_AGE.total_seconds():.0f} s"
    if depth is None or not depth.bids or now - depth.confirmed_at > MAX_QUOTE_AGE:
        return f"no book of the last {MAX_QUOTE_AGE.total_seconds():.0f} s"
    return ""


def _is_small(instrument: Instrument, quantity: Decimal, price: Decimal) -> bool:
    """Whether the exchange takes no order of so little."""
    breaches = check_order(
        instrument.filters,
        type_="LIMIT",
        quantity=quantity,
        quote_quantity=None,
        price=price,
        base_precision=instrument.base_precision,
        quote_precision=instrument.quote_precision,
        reference_price=price,
    )
    return quantity == 0 or any(breach.name in SMALL and "below" in breach.detail for breach in breaches)


def _chunk(instrument: Instrument, quantity: Decimal, price: Decimal, depth: Depth) -> Decimal:
    """How much the next order sells: a share of the visible bids, all of a rest that would be dust; zero: wait."""
    filters = instrument.filters
    with localcontext(CONTEXT):
        visible = sum((Decimal(size) for at, size in depth.bids if Decimal(at) >= price), ZERO)
        most = Decimal(str(filters.get("LOT_SIZE", {}).get("maxQty", 0))) or quantity
        chunk = round_quantity(filters, min(quantity, visible * SHARE, most), market=False)
        rest = quantity - chunk
        if (
            rest > 0
            and quantity <= min(visible, most)
            and (_is_small(instrument, rest, price) or _is_small(instrument, chunk, price))
        ):
            chunk = quantity
    return ZERO if _is_small(instrument, chunk, price) else chunk


def _place(
    flatten: Flatten, item: FlattenItem, instrument: Instrument, chunk: Decimal, price: Decimal, by: Actor
) -> None:
    """One chunk through the gate; its key makes it the same order however often this step is repeated."""
    limits = CAPABILITIES[item.account.exchange].order_types["LIMIT"]
    request = OrderRequest(
        account=item.account.name,
        symbol=instrument.symbol,
        side="SELL",
        type="LIMIT",
        quantity=chunk,
        price=price,
        time_in_force="IOC" if "IOC" in limits else "GTC",
        strategy=None if item.strategy is None else item.strategy.name,
        reduce_only=True,
        kill_id=flatten.episode_id,
    )
    key = f"flatten:{item.id}:{item.chunks}"
    try:
        placed = place(request, idempotency_key=key, body_hash=key, account=item.account, by=by)
    except Problem as problem:
        _wait(flatten, item, f"{problem.code}: {problem.detail}", by)
        return
    if placed.order.status == OrderStatus.DENIED:
        _wait(flatten, item, f"{placed.order.reason}: {placed.order.detail}", by)


def _wait(flatten: Flatten, item: FlattenItem, why: str, by: Actor) -> None:
    """Nothing was placed; for too long, and the rest is given up."""
    if clock.now() - item.moved_at > GIVES_UP_AFTER:
        _leave(flatten, item, f"nothing sold for {GIVES_UP_AFTER.total_seconds():.0f} s: {why}", by)
        return
    item.why = why[:256]
    item.save(update_fields=["why", "left", "moved_at"])


def _leave(flatten: Flatten, item: FlattenItem, why: str, by: Actor) -> None:
    """Give up the rest, once its chunks have ended by the exchange's word: until then their end is asked for."""
    chunks = _chunks(flatten, item)
    live = list(chunks.exclude(status__in=[*ENDED]).values_list("id", flat=True))
    for order_id in live:
        request_cancel(order_id, by=by, reason="a flatten gives up")
    if live or _unbooked(chunks):
        item.why = f"its last chunk is to end: {why}"[:256]
        item.save(update_fields=["why", "left", "moved_at"])
        return
    _end_item(item, FlattenState.LEFT, why)


def _end_item(item: FlattenItem, state: FlattenState, why: str) -> None:
    item.state, item.why = state.value, why[:256]
    item.save(update_fields=["state", "why", "left", "moved_at"])


def _end(flatten: Flatten) -> None:
    """The verdict, once every holding's sale is over."""
    by = engine("flattener", "verdict")
    with ordered() as locks:
        locks.own_trading_state(scope_name(flatten.episode.scope_kind, flatten.episode.scope_key))
        stored = Flatten.objects.get(id=flatten.id)
        if stored.status != FlattenStatus.RUNNING:
            return
        items = list(stored.items.select_related("account", "strategy").order_by("id"))
        states = {item.state for item in items}
        if FlattenState.LEFT in states:
            verdict = FlattenStatus.NOT_FLAT
        else:
            verdict = FlattenStatus.FLAT_BUT_DUST if FlattenState.DUST in states else FlattenStatus.FLAT
        stored.status, stored.ended_at = verdict.value, clock.now()
        stored.save(update_fields=["status", "ended_at"])
        evidence: dict[str, Any] = {"left": [item_document(item) for item in items if item.left > 0]}
        record("flatten.ended", "kill", stored.episode_id, by, to_status=verdict.value, evidence=evidence)


def item_document(item: FlattenItem) -> dict[str, Any]:
    """One holding of a flatten as plain JSON."""
    return {
        "account": item.account.name,
        "strategy": None if item.strategy is None else item.strategy.name,
        "asset": item.asset,
        "symbol": item.symbol,
        "quantity": plain(item.quantity),
        "left": plain(item.left),
        "chunks": item.chunks,
        "state": item.state,
        "why": item.why,
    }
