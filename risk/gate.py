"""The gate: evaluate all controls and decide on what ``risk.reading`` read; the caller writes, under the same lock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

from django.db import OperationalError
from psycopg.errors import LockNotAvailable

from exchanges.filters import round_quantity
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.money import CONTEXT, WHOLE_DIGITS, plain, plain_or_none, round_up
from execution_project.common.problems import Problem
from risk.controls import CONTROLS
from risk.controls.catalogue import CATALOGUE
from risk.controls.result import ControlOutcome, ControlResult
from risk.inputs import GateInputs, Price
from risk.intent import Intent
from risk.models import Decision, DecisionKind, Reservation
from risk.overriding import Override
from risk.reservations import ReservationFacts, required

# What limits that are not set say; their names are kept, and nothing else of them.
SILENT = frozenset({ControlOutcome.NOT_SET, ControlOutcome.NOT_APPLICABLE})


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer, with the unsaved decision row and what must be reserved when it is accepted."""

    accepted: bool
    decision: Decision
    inputs: GateInputs
    gate_seq: int

    @property
    def breaches(self) -> list[dict[str, Any]]:
        """The results of all controls that deny."""
        return [result for result in self.decision.results if result["outcome"] == ControlOutcome.BREACH]

    @property
    def warnings(self) -> list[dict[str, Any]]:
        """The results of limits that are broken and only warn."""
        return [result for result in self.decision.results if result["outcome"] == ControlOutcome.WARNED]

    @property
    def reserve_price(self) -> Decimal:
        """Quote per base for the reservation of an accepted order."""
        return self.inputs.reserve_price or Decimal(0)

    @property
    def exposure_price(self) -> Decimal:
        """Reporting currency per base for the exposure of an accepted order."""
        unit, rate = self.inputs.unit_price, self.inputs.reporting_rate
        if unit is None or rate is None:
            return Decimal(0)
        with localcontext(CONTEXT):
            return round_up(unit * rate)


def clipped(inputs: GateInputs) -> GateInputs:
    """A reduce-only sale of more than is held beside pending exits, cut down to that on the exchange's step, so that it
    cannot flip. What leaves nothing stays as it is, and is denied."""
    intent, available = inputs.intent, inputs.available
    if not intent.reduce_only or intent.side != "SELL" or intent.quantity is None or available is None:
        return inputs
    if intent.quantity <= available or available <= 0:
        return inputs
    quantity = round_quantity(intent.filters, available, market=intent.type == "MARKET")
    if quantity <= 0:
        return inputs
    return replace(inputs, intent=replace(intent, quantity=quantity), clipped_from=intent.quantity)


def decide(inputs: GateInputs, gate_seq: int, *, by: Actor, override: Override | None = None) -> Verdict:
    """Run every control and report all breaches; the decision row is not saved yet.

    Limits that are not set are listed by name under ``inputs.not_set``, an override under ``inputs.override``.
    """
    results: list[dict[str, Any]] = []
    not_set: list[str] = []
    named = {limit.control for limit in inputs.limits if limit.value is not None}
    for evaluate in CONTROLS:
        started = time.perf_counter_ns()
        found = evaluate(inputs)
        took = (time.perf_counter_ns() - started) // 1000
        several = (found,) if isinstance(found, ControlResult) else found
        for seen in several:
            result = seen if override is None else override.applied(seen)
            if result.outcome in SILENT and result.control in CATALOGUE and result.control not in named:
                not_set.append(result.control)
            else:
                results.append(result.as_json(took))
    accepted = all(result["outcome"] != ControlOutcome.BREACH for result in results)
    intent = inputs.intent
    decision = Decision(
        order_id=intent.order_id,
        kind=DecisionKind.REPLACE if inputs.replaces else DecisionKind.ORDER,
        accepted=accepted,
        results=results,
        inputs={
            **_inputs_as_json(inputs),
            "not_set": not_set,
            **({} if override is None else {"override": override.as_json()}),
        },
        gate_seq=gate_seq,
        decided_at=inputs.now,
        actor=by.name,
        mode=intent.mode,
        exchange=intent.exchange,
        account_name=intent.account,
        strategy=intent.strategy or "",
        symbol=intent.symbol,
        side=intent.side,
        reducing=inputs.is_reducing,
        notional=storable(inputs.turnover),
        quantity=storable(inputs.base_gained),
        fingerprint=intent.fingerprint,
    )
    return Verdict(accepted, decision, inputs, gate_seq)


@contextmanager
def says_when_busy() -> Iterator[None]:
    """Around a transaction that decides: raises ``Problem`` (503 ``RISK_BUSY``) when a lock cannot be had in time."""
    try:
        yield
    except OperationalError as error:
        if not isinstance(error.__cause__, LockNotAvailable):
            raise
        raise Problem(
            503,
            "RISK_BUSY",
            "The risk gate is busy; nothing was accepted. Send the same request with the same key again.",
            headers={"Retry-After": "1"},
        ) from error


def storable(value: Decimal | None) -> Decimal | None:
    """The value, or None for one that no column holds: an absurd order is denied and recorded, not an error."""
    return None if value is None or value.adjusted() >= WHOLE_DIGITS else value


def _inputs_as_json(inputs: GateInputs) -> dict[str, Any]:
    def price(value: Price | None, now: datetime) -> dict[str, Any] | None:
        if value is None:
            return None
        age = None if value.confirmed_at is None else int((now - value.confirmed_at).total_seconds() * 1000)
        return {
            "symbol": value.symbol,
            "bid": plain_or_none(value.bid),
            "ask": plain_or_none(value.ask),
            "age_ms": age,
            "source": f"quote:{inputs.intent.exchange}",
        }

    return {
        "price": price(inputs.price, inputs.now),
        "reporting_price": price(inputs.reporting_price, inputs.now),
        "notional": plain_or_none(inputs.notional),
        "reported_notional": plain_or_none(inputs.reported_notional),
        "reporting_currency": inputs.reporting_currency,
        "is_reducing": inputs.is_reducing,
        "available": plain_or_none(inputs.available),
        "reserved": plain(inputs.reserved),
        "protection_price": plain_or_none(inputs.intent.protection_price),
        "clipped_from": plain_or_none(inputs.clipped_from),
    }


def reservation_row(exchange_order_id: Any, intent: Intent, facts: ReservationFacts) -> Reservation:
    """The unsaved reservation of an accepted order's exchange order."""
    amount, exposure = required(facts)
    return Reservation(
        exchange_order_id=exchange_order_id,
        order_id=intent.order_id,
        account_name=intent.account,
        mode=intent.mode,
        exchange=intent.exchange,
        strategy=intent.strategy or "",
        symbol=intent.symbol,
        side=intent.side,
        price=intent.sent_price,
        stop_price=intent.stop_price,
        asset=intent.quote_asset if intent.side == "BUY" else intent.base_asset,
        amount=amount,
        gained_asset=intent.base_asset if intent.side == "BUY" else intent.quote_asset,
        exposure=exposure,
        live=not facts.ended,
        updated_at=clock.now(),
    )
