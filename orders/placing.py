"""Placing: one request becomes one order with its decision, and when accepted its reservation, submit command and
queue row, all in one transaction.

Everything that needs no lock is read first. Then: idempotency row, trading state (shared), exposure row; one read;
evaluate; one writing statement; commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet

from exchanges.capabilities import CAPABILITIES
from exchanges.filters import round_price, round_quantity
from exchanges.models import Account, Instrument
from execution_project.common import clock, ids
from execution_project.common.actors import Actor
from execution_project.common.doorbell import notify_after_commit, queue_row
from execution_project.common.events import event
from execution_project.common.installation import prefix
from execution_project.common.locking import ordered
from execution_project.common.models import IdempotencyKey, Strategy
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from execution_project.common.writing import insert_together
from orders.intents import build_intent
from orders.lifecycle import OrderStatus
from orders.models import Command, CommandKind, ExchangeOrder, Order
from orders.queues import submit_queue
from orders.reserving import facts_of
from risk.flattens import flatten_seq_of
from risk.gate import Verdict, clipped, decide, reservation_row, says_when_busy
from risk.intent import Intent, lock_names
from risk.models import Decision, Exposure
from risk.overriding import Override
from risk.protection import protected
from risk.reading import read_inputs, read_prices_of, read_surroundings

DEFAULT_VALID_FOR = {"MARKET": timedelta(seconds=10)}
LIMIT_VALID_FOR = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for. Quantities in base, ``quote_quantity`` in quote asset, ``valid_for`` in seconds.

    ``round``: bring quantity and prices onto the exchange's grid instead of refusing what is off it. ``kill_id``: the
    kill of whose confirmed flatten this is a chunk; no client can name one.
    """

    account: str
    symbol: str
    side: str
    type: str
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: str | None = None
    strategy: str | None = None
    reduce_only: bool = False
    valid_for: int | None = None
    round: bool = False
    kill_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """The order that stands for a request, its decision, and whether the request came before."""

    order: Order
    decision: Decision
    replayed: bool


def place(
    request: OrderRequest,
    *,
    idempotency_key: str,
    body_hash: str,
    account: Account,
    by: Actor,
    override: Override | None = None,
) -> Placed:
    """Decide on a request and store the outcome. The same key with the same body returns the first outcome.

    ``override``: what two persons let through for this one placement; it is spent with it.

    Raises ``Problem``: 400 for a request that can never be an order, 422 ``IDEMPOTENCY_KEY_REUSED`` for another body
    under a used key, 503 ``RISK_BUSY`` when the exposure lock cannot be had in time (nothing is stored then).
    """
    by.require(Right.PLACE)
    earlier = IdempotencyKey.objects.filter(principal=by.name, key=idempotency_key).first()
    if earlier is not None:
        return _replay(earlier, body_hash)
    intent, instrument, strategy = _intent(request, account)
    prices, surroundings = read_prices_of(instrument), read_surroundings(intent)
    intent = protected(intent, prices.instrument, clock.now())
    mark = prefix()
    with says_when_busy(), ordered() as locks:
        now = clock.now()
        earlier = locks.idempotency(by.name, idempotency_key, body_hash, intent.order_id, now)
        if earlier is not None:
            return _replay(earlier, body_hash)
        if override is not None:
            override.spend()
        locks.share_trading_state(lock_names(intent.scopes))
        locks.exposure(Exposure, intent.mode)
        inputs, gate_seq = read_inputs(intent, prices, surroundings)
        verdict = decide(clipped(inputs), gate_seq, by=by, override=override)
        order = _write(
            request, verdict.inputs.intent, instrument, strategy, verdict, mark, idempotency_key, account, by
        )
    return Placed(order, verdict.decision, replayed=False)


def rehearse(request: OrderRequest, *, account: Account, by: Actor) -> Verdict:
    """The decision that the request would get now, without reserving or storing anything (``validate_only``)."""
    by.require(Right.PLACE)
    intent, instrument, _ = _intent(request, account)
    prices = read_prices_of(instrument)
    intent = protected(intent, prices.instrument, clock.now())
    inputs, gate_seq = read_inputs(intent, prices, read_surroundings(intent))
    return decide(clipped(inputs), gate_seq, by=by)


def _replay(earlier: IdempotencyKey, body_hash: str) -> Placed:
    if earlier.body_hash != body_hash:
        raise Problem(
            422,
            "IDEMPOTENCY_KEY_REUSED",
            "This Idempotency-Key was used with another body. Use a new key for a new order.",
        )
    order = Order.objects.select_related("account", "instrument", "strategy").get(id=earlier.resource_id)
    if order.decision_id is None:
        raise LookupError(f"order {order.id} was found at the exchange; no key stands for it")
    return Placed(order, Decision.objects.get(id=order.decision_id), replayed=True)


def _refuse(code: str, detail: str, pointer: str) -> Problem:
    return Problem(400, code, detail, errors=[{"pointer": pointer, "code": code, "detail": detail}])


def _unknown_strategy(name: str) -> Problem:
    return _refuse("UNKNOWN_STRATEGY", f"There is no strategy {name!r} for this key.", "/strategy")


def _intent(request: OrderRequest, account: Account) -> tuple[Intent, Instrument, Strategy | None]:
    _check_shape(request)
    instrument = Instrument.objects.filter(exchange=account.exchange, mode=account.mode, symbol=request.symbol).first()
    if instrument is None:
        raise _refuse("UNKNOWN_SYMBOL", f"{account.exchange} has no {request.symbol} for {account.mode}.", "/symbol")
    strategy = registered_strategy(request.strategy)
    capabilities = CAPABILITIES.get(account.exchange)
    times = None if capabilities is None else capabilities.order_types.get(request.type)
    if capabilities is None or times is None:
        why = "" if capabilities is None else capabilities.refusals.get(request.type, "")
        detail = f"{request.type} orders are not supported on {account.exchange}. {why}".strip()
        raise _refuse("NOT_SUPPORTED", detail, "/type")
    if request.time_in_force not in times:
        raise _refuse(
            "NOT_SUPPORTED",
            f"{request.type} on {account.exchange} takes time_in_force {sorted(t or 'none' for t in times)}.",
            "/time_in_force",
        )
    if request.quote_quantity is not None and (
        request.side not in capabilities.quote_quantity_sides or not instrument.quote_quantity_allowed
    ):
        raise _refuse("NOT_SUPPORTED", f"{request.symbol} takes no quote_quantity on this side.", "/quote_quantity")
    if (
        request.type == "MARKET"
        and request.quote_quantity is None
        and request.side in capabilities.quote_quantity_only_sides
    ):
        raise _refuse(
            "NOT_SUPPORTED", f"A MARKET {request.side} on {account.exchange} is sized by quote_quantity.", "/quantity"
        )
    if request.type == "MARKET" and account.market_as_limit_ioc and request.quote_quantity is not None:
        detail = f"{account.name} sends MARKET orders as LIMIT IOC, which takes quantity and no quote_quantity."
        raise _refuse("NOT_SUPPORTED", detail, "/quote_quantity")
    if request.round:
        request = _rounded(request, instrument)
    flatten_seq = flatten_seq_of(request.kill_id)
    intent = build_intent(
        order_id=ids.uuid7(),
        account=account,
        instrument=instrument,
        strategy=strategy,
        side=request.side,
        type_=request.type,
        quantity=request.quantity,
        quote_quantity=request.quote_quantity,
        price=request.price,
        stop_price=request.stop_price,
        reduce_only=request.reduce_only,
        flatten_seq=flatten_seq,
        flatten_over=request.kill_id is not None and flatten_seq is None,
    )
    return intent, instrument, strategy


def _check_shape(request: OrderRequest) -> None:
    if (request.quantity is None) == (request.quote_quantity is None):
        raise _refuse("ONE_QUANTITY", "Give either quantity or quote_quantity, not both and not neither.", "/quantity")
    if request.stop_price is not None and request.type != "STOP_LOSS_LIMIT":
        raise _refuse("UNEXPECTED_FIELD", f"{request.type} orders take no stop_price.", "/stop_price")
    if request.stop_price is None and request.type == "STOP_LOSS_LIMIT":
        raise _refuse("MISSING_FIELD", "A STOP_LOSS_LIMIT order needs a stop_price.", "/stop_price")
    if request.type == "MARKET":
        if request.price is not None:
            raise _refuse("UNEXPECTED_FIELD", "A MARKET order has no price.", "/price")
        if request.time_in_force is not None:
            raise _refuse("UNEXPECTED_FIELD", "A MARKET order has no time_in_force.", "/time_in_force")
        return
    if request.quote_quantity is not None:
        raise _refuse("UNEXPECTED_FIELD", "Only MARKET orders take quote_quantity.", "/quote_quantity")
    if request.price is None:
        raise _refuse("MISSING_FIELD", f"A {request.type} order needs a price.", "/price")
    if request.type == "LIMIT_MAKER" and request.time_in_force is not None:
        raise _refuse("UNEXPECTED_FIELD", "A LIMIT_MAKER order has no time_in_force.", "/time_in_force")
    if request.type != "LIMIT_MAKER" and request.time_in_force is None:
        raise _refuse(
            "MISSING_FIELD", f"A {request.type} order needs time_in_force: GTC, IOC or FOK.", "/time_in_force"
        )


def _rounded(request: OrderRequest, instrument: Instrument) -> OrderRequest:
    """Onto the grid, never to the client's disadvantage: less quantity, a buy's price down, a sale's price up."""
    quantity = request.quantity
    if quantity is not None:
        quantity = round_quantity(instrument.filters, quantity, market=request.type == "MARKET")
        if quantity == 0:
            raise _refuse("ROUNDED_TO_ZERO", "Rounded down to the exchange's step nothing is left.", "/quantity")
    prices: dict[str, Decimal | None] = {"price": request.price, "stop_price": request.stop_price}
    for name, given in prices.items():
        if given is not None:
            prices[name] = round_price(instrument.filters, request.side, given)
            if prices[name] == 0:
                raise _refuse("ROUNDED_TO_ZERO", "Rounded down to the exchange's tick nothing is left.", f"/{name}")
    return replace(request, quantity=quantity, price=prices["price"], stop_price=prices["stop_price"])


def _write(
    request: OrderRequest,
    intent: Intent,
    instrument: Instrument,
    strategy: Strategy | None,
    verdict: Verdict,
    mark: str,
    idempotency_key: str,
    account: Account,
    by: Actor,
) -> Order:
    """The one writing statement: order, decision and event; when accepted also exchange order, reservation, command and
    queue row."""
    now = verdict.inputs.now
    valid_for = (
        timedelta(seconds=request.valid_for)
        if request.valid_for is not None
        else DEFAULT_VALID_FOR.get(request.type, LIMIT_VALID_FOR)
    )
    first_breach = verdict.breaches[0] if verdict.breaches else None
    status = OrderStatus.PENDING if verdict.accepted else OrderStatus.DENIED
    order = Order(
        id=intent.order_id,
        account=account,
        instrument=instrument,
        strategy=strategy,
        side=request.side,
        type=request.type,
        quantity=intent.quantity,
        quote_quantity=intent.quote_quantity,
        price=intent.price,
        stop_price=intent.stop_price,
        time_in_force=request.time_in_force,
        protection_price=intent.protection_price,
        reduce_only=request.reduce_only,
        kill_id=request.kill_id,
        valid_until=now + valid_for,
        status=status,
        reason=first_breach["code"] if first_breach else "",
        detail=first_breach["detail"][:512] if first_breach else "",
        gate_seq=verdict.gate_seq,
        decision_id=verdict.decision.id,
        idempotency_key=idempotency_key,
        created_by=by.name,
        created_at=now,
        updated_at=now,
    )
    happened = event(
        "order.accepted" if verdict.accepted else "order.denied",
        "order",
        order.id,
        by,
        to_status=status.value,
        evidence={
            "decision": str(verdict.decision.id),
            "breaches": [breach["code"] for breach in verdict.breaches],
            "warnings": [warning["code"] for warning in verdict.warnings],
        },
    )
    if not verdict.accepted:
        insert_together(order, verdict.decision, happened)
        return order
    exchange_order = ExchangeOrder(
        order=order,
        generation=0,
        client_order_id=ids.client_order_id(mark, order.id, 0),
        quantity=order.quantity,
        quote_quantity=order.quote_quantity,
        price=intent.sent_price,
        reserve_price=verdict.reserve_price,
        exposure_price=verdict.exposure_price,
        fee_in_quote_rate=intent.fee_in_quote_rate,
        created_at=now,
    )
    command = Command(
        order=order,
        exchange_order=exchange_order,
        kind=CommandKind.SUBMIT,
        rung_at=now,
        requested_by=by.name,
        created_at=now,
    )
    reservation = reservation_row(exchange_order.id, intent, facts_of(order, exchange_order))
    queue = submit_queue(account.exchange)
    doorbell = queue_row(queue, "orders.tasks.submit", str(command.id))
    insert_together(order, verdict.decision, exchange_order, reservation, command, doorbell, happened)
    notify_after_commit(queue)
    return order


def account_for(name: str, may_see: bool) -> Account:
    """The account of this name, or ``Problem`` 404 when there is none or the client does not reach it."""
    account = Account.objects.filter(name=name).first() if may_see else None
    if account is None:
        raise Problem(404, "UNKNOWN_ACCOUNT", f"There is no account {name!r} for this key.")
    return account


def strategy_for(name: str | None, allowed: list[str] | None) -> str | None:
    """The strategy that a client's order is for: as named, else the only one of ``allowed`` (None = any, or none).

    Raises ``Problem`` 400 for one that the client does not reach, and when it has to name one of several.
    """
    if allowed is None or name in allowed:
        return name
    if name is not None:
        raise _unknown_strategy(name)
    if len(allowed) == 1:
        return allowed[0]
    listed = ", ".join(allowed) or "none is left"
    raise _refuse("MISSING_FIELD", f"This key trades for its own strategies only; name one ({listed}).", "/strategy")


def registered_strategy(name: str | None) -> Strategy | None:
    """The strategy of this name, None for none; ``Problem`` 400 when it is not registered."""
    if name is None:
        return None
    strategy = Strategy.objects.filter(name=name).first()
    if strategy is None:
        raise _unknown_strategy(name)
    return strategy


def order_of(order_id: UUID, among: QuerySet[Order]) -> Order:
    """The order, or ``Problem`` 404 when it is not ``among`` those that the client reaches."""
    order = among.select_related("account", "instrument", "strategy").filter(id=order_id).first()
    if order is None:
        raise Problem(404, "UNKNOWN_ORDER", "There is no such order for this key.")
    return order
