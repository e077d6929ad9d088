"""The gate: read, evaluate all controls, decide. Pure but for the two reads; the caller writes, under the same lock."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any

from django.conf import settings
from django.db import connection

from exchanges.models import Instrument, Quote
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.money import CONTEXT, plain, plain_or_none, round_down, round_up
from risk.controls import CONTROLS
from risk.controls.result import ControlOutcome
from risk.inputs import GateInputs, LimitVersion, Price, Reconciled, StateOfScope
from risk.intent import Intent, scope_name
from risk.models import Decision, Reservation
from risk.reservations import ReservationFacts, required


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices read before the lock: of the instrument, and of its quote asset in the reporting currency."""

    instrument: Price
    reporting: Price | None


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


def read_prices_of(instrument: Instrument) -> Prices:
    """What needs no lock: the instrument's quote, and its quote asset's in the reporting currency."""
    currency, quote_asset = settings.EXEC_REPORTING_CURRENCY, instrument.quote_asset
    listed = {"exchange": instrument.exchange, "mode": instrument.mode}
    pairs = Instrument.objects.filter(**listed)
    rate_pairs: dict[str, bool] = {}
    if quote_asset != currency:
        rate_pairs = dict.fromkeys(
            pairs.filter(base_asset=currency, quote_asset=quote_asset).values_list("symbol", flat=True), True
        )
        rate_pairs |= dict.fromkeys(
            pairs.filter(base_asset=quote_asset, quote_asset=currency).values_list("symbol", flat=True), False
        )
    quotes = Quote.objects.filter(
        instrument__exchange=instrument.exchange,
        instrument__mode=instrument.mode,
        instrument__symbol__in={instrument.symbol, *rate_pairs},
    ).select_related("instrument")
    by_symbol = {quote.instrument.symbol: quote for quote in quotes}

    def price(symbol: str) -> Price:
        quote = by_symbol.get(symbol)
        if quote is None:
            return Price(symbol, None, None, None)
        return Price(symbol, quote.bid, quote.ask, quote.confirmed_at)

    reporting = next(
        (_turned(price(symbol)) if inverse else price(symbol) for symbol, inverse in rate_pairs.items()), None
    )
    return Prices(price(instrument.symbol), reporting)


def _turned(price: Price) -> Price:
    """The pair seen from its other side: USDTTRY as the price of one TRY in USDT."""
    if not price.bid or not price.ask:
        return price
    with localcontext(CONTEXT):
        return Price(price.symbol, round_down(1 / price.ask), round_up(1 / price.bid), price.confirmed_at)


_READ_UNDER_LOCK = """
SELECT nextval('risk_gate_seq'),
  (SELECT coalesce(jsonb_agg(jsonb_build_array(s.scope_kind, s.scope_key, s.state, s.last_halt_seq)), '[]')
     FROM risk_tradingstate s
     JOIN unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(k, v) ON s.scope_kind = w.k AND s.scope_key = w.v),
  (SELECT coalesce(jsonb_agg(jsonb_build_array(l.control, l.scope_kind, l.scope_key, l.version, l.value::text)), '[]')
     FROM (SELECT DISTINCT ON (control, scope_kind, scope_key) control, scope_kind, scope_key, version, value
             FROM risk_limit r
             JOIN unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(k, v) ON r.scope_kind = w.k AND r.scope_key = w.v
            WHERE r.mode = %(mode)s
            ORDER BY control, scope_kind, scope_key, version DESC) l),
  (SELECT sum(h.quantity) FROM positions_holding h WHERE h.account_id = %(account_id)s AND h.asset = %(asset)s),
  b.free + b.locked,
  b.as_of,
  (SELECT coalesce(sum(e.amount), 0) FROM positions_ledgerentry e
    WHERE e.account_id = %(account_id)s AND e.asset = %(asset)s AND e.book = 'exchange' AND e.kind = 'fill'
      AND e.posted_at > b.as_of),
  (SELECT coalesce(sum(r.amount), 0) FROM risk_reservation r
    WHERE r.account_name = %(account)s AND r.asset = %(asset)s AND r.amount > 0),
  f.orders_at, f.trades_at, f.balances_at, coalesce(f.blocked_by, '')
FROM (SELECT 1) one
LEFT JOIN exchanges_balance b ON b.account_id = %(account_id)s AND b.asset = %(asset)s
LEFT JOIN exchanges_accountfreshness f ON f.account_id = %(account_id)s
"""


def read_inputs(intent: Intent, prices: Prices) -> tuple[GateInputs, int]:
    """The one read under the exposure lock: states, limits, funds, reservations and the gate's sequence number."""
    asset = intent.quote_asset if intent.side == "BUY" else intent.base_asset
    with connection.cursor() as cursor:
        cursor.execute(
            _READ_UNDER_LOCK,
            {
                "kinds": [kind for kind, _ in intent.scopes],
                "keys": [key for _, key in intent.scopes],
                "mode": intent.mode,
                "account_id": intent.account_id,
                "account": intent.account,
                "asset": asset,
            },
        )
        seq, states, limits, ledger, reported, as_of, since, reserved, *reconciled = cursor.fetchone()
    inputs = GateInputs(
        intent=intent,
        now=clock.now(),
        price=prices.instrument,
        reporting_price=prices.reporting,
        reporting_currency=settings.EXEC_REPORTING_CURRENCY,
        states=tuple(StateOfScope(scope_name(kind, key), state, halt) for kind, key, state, halt in _parsed(states)),
        limits=tuple(
            LimitVersion(control, scope_name(kind, key), version, None if value is None else Decimal(value))
            for control, kind, key, version, value in _parsed(limits)
        ),
        ledger_balance=ledger if ledger is not None else (Decimal(0) if intent.books_open else None),
        exchange_balance=None if reported is None else reported + since,
        balance_as_of=as_of,
        reserved=reserved,
        reconciled=Reconciled(*reconciled),
    )
    return inputs, int(seq)


def _parsed(value: Any) -> Any:
    return json.loads(value, parse_float=Decimal) if isinstance(value, str) else value


def decide(inputs: GateInputs, gate_seq: int, *, by: Actor) -> Verdict:
    """Run every control and report all breaches; the decision row is not saved yet."""
    results: list[dict[str, Any]] = []
    for evaluate in CONTROLS:
        started = time.perf_counter_ns()
        result = evaluate(inputs)
        results.append(result.as_json((time.perf_counter_ns() - started) // 1000))
    accepted = all(result["outcome"] != ControlOutcome.BREACH for result in results)
    decision = Decision(
        order_id=inputs.intent.order_id,
        accepted=accepted,
        results=results,
        inputs=_inputs_as_json(inputs),
        gate_seq=gate_seq,
        decided_at=inputs.now,
        actor=by.name,
    )
    return Verdict(accepted, decision, inputs, gate_seq)


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
    }


def reservation_row(exchange_order_id: Any, intent: Intent, facts: ReservationFacts) -> Reservation:
    """The unsaved reservation of an accepted order's exchange order."""
    amount, exposure = required(facts)
    return Reservation(
        exchange_order_id=exchange_order_id,
        order_id=intent.order_id,
        account_name=intent.account,
        mode=intent.mode,
        asset=intent.quote_asset if intent.side == "BUY" else intent.base_asset,
        amount=amount,
        exposure=exposure,
        updated_at=clock.now(),
    )
