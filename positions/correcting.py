"""Taking a fill back or changing it because the exchange did: reversing legs, a correction beside the fill, and numbers
folded anew. Two persons, because profit moves. Carried out with the order that it filled: ``orders.correcting``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from exchanges.reports import Fee
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import explains, request_approval
from execution_project.common.events import record
from execution_project.common.locking import Locks
from execution_project.common.models import Approval
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions.accounting import reversed_legs
from positions.booking import entry_of
from positions.facts import FillFact, fill_facts
from positions.folding import fold_anew, lock_inventories
from positions.models import BookedRate, Fill, FillCorrection, LedgerEntry, PendingRate
from positions.position_folding import fold_positions_anew
from positions.rates import Wanted, store_rates
from positions.suspense import recheck_suspense

CORRECT_FILL = "correct_fill"
_FEE_KINDS = ("fee", "tax")
_LONGEST_ASSET = 24


@dataclass(frozen=True, slots=True)
class Corrected:
    """A fill as the exchange has it now; quantities of zero: it never was (a bust)."""

    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    fees: tuple[Fee, ...]


def bust(fill: Fill) -> Corrected:
    """The fill as taken back whole."""
    return Corrected(fill.price, Decimal(0), Decimal(0), ())


def fill_of(fill_id: UUID) -> Fill:
    """A booked fill; raises ``Problem`` (404)."""
    fill = Fill.objects.select_related("account", "instrument").filter(id=fill_id).first()
    if fill is None:
        raise Problem(404, "UNKNOWN_FILL", f"There is no fill {fill_id}.")
    return fill


def as_it_stands(fill: Fill) -> Corrected:
    """The fill with all corrections so far."""
    stands = fill_facts([fill])[0]
    return Corrected(stands.price, stands.quantity, stands.quote_quantity, stands.fees)


def fee_of(text: str) -> Fee:
    """A fee as people write it, ``ASSET=AMOUNT`` or ``ASSET=AMOUNT:tax``; raises ``ValueError`` with a sentence.

    ``AMOUNT`` in units of the asset, positive when it was paid.
    """
    asset, equals, rest = text.partition("=")
    amount, colon, kind = rest.partition(":")
    if not equals or not 1 <= len(asset) <= _LONGEST_ASSET or (kind if colon else "fee") not in _FEE_KINDS:
        raise ValueError(f"{text!r}: write a fee as ASSET=AMOUNT or ASSET=AMOUNT:tax, such as BNB=0.001.")
    try:
        return Fee(asset, parse_decimal(amount), kind or "fee")
    except NotPlainDecimal as error:
        raise ValueError(f"{text!r}: {error}") from error


def fee_text(fee: Fee) -> str:
    """A fee as ``fee_of`` reads it."""
    return f"{fee.asset}={plain(fee.amount)}{':tax' if fee.kind == 'tax' else ''}"


def propose_correction(fill: Fill, to: Corrected, *, reason: str, by: Actor) -> Approval:
    """Ask for a second person's word. Raises ``Problem``: 403, 400 for a short reason or values that no fill has, 409
    when nothing would change."""
    by.require(Right.RESOLVE)
    if not 10 <= len(reason.strip()) <= 400:
        raise Problem(400, "INVALID_REASON", "reason: say in 10 to 400 characters what the exchange took back.")
    leaves_something = bool(to.fees or to.quote_quantity)
    if min(to.quantity, to.quote_quantity) < 0 or to.price <= 0 or (to.quantity == 0 and leaves_something):
        wanted = "A corrected fill has a price and a quantity; one that was taken back has no quantities and no fees."
        raise Problem(400, "INVALID_CORRECTION", wanted)
    stands = as_it_stands(fill)
    if stands == to:
        raise Problem(409, "NOTHING_CHANGES", "The fill stands like this already.")
    parameters = {**_as_parameters(to), "stood": _as_parameters(stands)}
    return request_approval(CORRECT_FILL, str(fill.id), reason=reason.strip(), by=by, parameters=parameters)


@dataclass(frozen=True, slots=True)
class Change:
    """By how much a fill became more in base and in quote; negative: less."""

    quantity: Decimal
    quote_quantity: Decimal


def correct_fill(
    locks: Locks,
    fill: Fill,
    to: Corrected,
    *,
    reason: str,
    approval_id: UUID | None,
    by: Actor,
    stood: Corrected | None = None,
) -> Change:
    """Store the correction with its legs, and fold what rests on the fill anew.

    ``stood``: the fill as whoever proposed saw it; None: as it is now. Raises ``Problem`` (409) when another correction
    was stored meanwhile.
    """
    stood = stood or as_it_stands(fill)
    # Two corrections of one fill wait for each other here, or both would take the same legs back.
    pair = fill.instrument
    fees = {fee.asset for fee in (*stood.fees, *to.fees)}
    lock_inventories(locks, fill.account, {pair.base_asset, pair.quote_asset, *fees})
    before = fill_facts([fill])[0]
    if as_it_stands(fill) != stood:
        problem = "The fill was corrected since this was proposed: look at it and propose anew."
        raise Problem(409, "FILL_CHANGED", problem)
    FillCorrection.objects.create(
        fill=fill,
        kind="correction" if to.quantity else "bust",
        price=to.price,
        quantity=to.quantity,
        quote_quantity=to.quote_quantity,
        fees=[{"asset": fee.asset, "amount": plain(fee.amount), "kind": fee.kind} for fee in to.fees],
        reason=reason[:400],
        corrected_by=by.name,
        approval_id=approval_id,
        corrected_at=clock.now(),
    )
    known = set(BookedRate.objects.filter(fill=fill).values_list("asset", flat=True))
    known |= set(PendingRate.objects.filter(fill=fill).values_list("asset", flat=True))
    after = fill_facts([fill])[0]
    PendingRate.objects.filter(fill=fill).exclude(asset__in=after.needs()).delete()
    lacking = frozenset(after.needs()) - known
    store_rates(fill.account, [Wanted(fill, fill.traded_at, lacking)])
    after = fill_facts([fill])[0]
    legs = [*reversed_legs(before.legs()), *after.legs()]
    LedgerEntry.objects.bulk_create(entry_of(after, leg, "correction") for leg in legs)
    assets = {move.asset for fact in (before, after) for move in fact.moves()}
    fold_anew(locks, fill.account, dict.fromkeys(assets, after.moment))
    fold_positions_anew(locks, fill.account, {(fill.instrument_id, fill.strategy_id): after.moment})
    record(
        "fill.corrected" if to.quantity else "fill.busted",
        "fill",
        fill.id,
        by,
        evidence={"trade": fill.trade_id, "reason": reason, "was": _numbers(before), "is": _numbers(after)},
    )
    recheck_suspense(fill.account)
    return Change(after.quantity - before.quantity, after.quote_quantity - before.quote_quantity)


def wanted_of(approval: Approval) -> Corrected:
    """What a proposal says that its fill is."""
    return _of_parameters(approval.parameters)


def stood_of(approval: Approval) -> Corrected:
    """The fill as it was when this was proposed."""
    return _of_parameters(approval.parameters["stood"])


@explains(CORRECT_FILL)
def what_a_correction_does(approval: Approval) -> Sequence[str]:
    """What approving would do as things stand, in sentences."""
    try:
        fill = fill_of(UUID(approval.subject))
    except Problem as problem:
        return [f"Nothing: {problem.detail}"]
    now, becomes = _words(fill, as_it_stands(fill)), _words(fill, wanted_of(approval))
    which = f"The fill {fill.trade_id} on {fill.account.name}, {fill.side} {now},"
    sentences = [f"{which} becomes {becomes} in ledger, holdings and positions."]
    if fill.order_id is not None:
        sentences.append("Its order counts it likewise: filled quantity, reservation and status follow.")
    return sentences


def _words(fill: Fill, as_: Corrected) -> str:
    if not as_.quantity:
        return "nothing"
    pair = fill.instrument
    paid = ", ".join(fee_text(fee) for fee in as_.fees) or "none"
    quantity, quote = plain(as_.quantity), plain(as_.quote_quantity)
    return f"{quantity} {pair.base_asset} at {plain(as_.price)} for {quote} {pair.quote_asset} (fees {paid})"


def _numbers(fact: FillFact) -> dict[str, Any]:
    return {"price": plain(fact.price), "quantity": plain(fact.quantity), "quote_quantity": plain(fact.quote_quantity)}


def _as_parameters(to: Corrected) -> dict[str, Any]:
    return {
        "price": plain(to.price),
        "quantity": plain(to.quantity),
        "quote_quantity": plain(to.quote_quantity),
        "fees": [[fee.asset, plain(fee.amount), fee.kind] for fee in to.fees],
    }


def _of_parameters(parameters: Mapping[str, Any]) -> Corrected:
    fees = tuple(Fee(asset, parse_decimal(amount), kind) for asset, amount, kind in parameters["fees"])
    price, quantity, quote = (parse_decimal(parameters[name]) for name in ("price", "quantity", "quote_quantity"))
    return Corrected(price, quantity, quote, fees)
