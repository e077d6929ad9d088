"""Taking a fill back or changing it because the exchange did: reversing legs, a correction beside the fill, and numbers
folded anew. Two persons, because profit moves. The order's own quantities stay what its exchange order reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from exchanges.reports import Fee
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.approvals import carries_out, explains, request_approval, use
from execution_project.common.events import record
from execution_project.common.locking import Locks, ordered
from execution_project.common.models import Approval
from execution_project.common.money import parse_decimal, plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right
from positions.accounting import reversed_legs
from positions.booking import entry_of
from positions.facts import FillFact, fill_facts
from positions.folding import fold_anew
from positions.models import BookedRate, Fill, FillCorrection, LedgerEntry, PendingRate
from positions.position_folding import fold_positions_anew
from positions.rates import Wanted, store_rates

CORRECT_FILL = "correct_fill"


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
    stands = fill_facts([fill])[0]
    if (stands.price, stands.quantity, stands.quote_quantity, stands.fees) == (
        to.price,
        to.quantity,
        to.quote_quantity,
        to.fees,
    ):
        raise Problem(409, "NOTHING_CHANGES", "The fill stands like this already.")
    return request_approval(CORRECT_FILL, str(fill.id), reason=reason.strip(), by=by, parameters=_as_parameters(to))


def correct_fill(locks: Locks, fill: Fill, to: Corrected, *, reason: str, approval_id: UUID | None, by: Actor) -> None:
    """Store the correction with its legs, and fold what rests on the fill anew."""
    before = fill_facts([fill])[0]
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


@carries_out(CORRECT_FILL)
def _correct_approved(approval: Approval, by: Actor) -> str:
    fill = Fill.objects.select_related("account").get(id=approval.subject)
    with ordered() as locks:
        to = _of_parameters(approval.parameters)
        correct_fill(locks, fill, to, reason=approval.reason, approval_id=approval.id, by=by)
        use(approval.id, CORRECT_FILL, approval.subject, by=by)
    return f"The fill {fill.trade_id} is {'corrected' if to.quantity else 'taken back'}."


@explains(CORRECT_FILL)
def _what_it_does(approval: Approval) -> Sequence[str]:
    fill = Fill.objects.select_related("account").filter(id=approval.subject).first()
    if fill is None:
        return ["Nothing: there is no such fill."]
    to = _of_parameters(approval.parameters)
    stands = fill_facts([fill])[0]
    now = f"{fill.side} {plain(stands.quantity)} at {plain(stands.price)}"
    becomes = f"{plain(to.quantity)} at {plain(to.price)}" if to.quantity else "nothing"
    return [
        f"The fill {fill.trade_id} on {fill.account.name}, {now}, becomes {becomes} in ledger, holdings and positions.",
        "The order keeps the quantities that its exchange order reported.",
    ]


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
