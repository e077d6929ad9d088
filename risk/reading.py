"""What the gate reads: before the lock all that needs none, under the exposure lock one statement.

What a limit needs is read only where that limit is set: the statement looks at the limits first.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import connection

from exchanges.models import Instrument, Quote
from execution_project.common import clock
from execution_project.common.money import CONTEXT, round_down, round_up
from risk.controls.catalogue import (
    AT_THE_GATE,
    OF_DEPTH,
    OF_EQUITY,
    OF_EXPOSURE,
    OF_LIVE_ORDERS,
    OF_LOSS,
    OF_TURNOVER,
)
from risk.facts import Counted, Depth, Held, Live, Losses, Mark, Paused, Prior, Resting
from risk.inputs import CASH_ASSETS, MAX_EQUITY_AGE, GateInputs, LimitVersion, Price, Reconciled, StateOfScope
from risk.intent import Intent, scope_name
from risk.losses import READ_LOSSES, losses_since, parsed_losses
from risk.ramp import ramped
from risk.windows import COUNTED


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices read before the lock: of the instrument, and of its quote asset in the reporting currency."""

    instrument: Price
    reporting: Price | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else is read before the lock, where a limit asks for it: the book, marks, equity, what was lost of it, and
    earlier orders."""

    depth: Depth | None = None
    marks: tuple[Mark, ...] = ()
    equity: Decimal | None = None
    losses: tuple[Losses, ...] = ()
    own_quantities: tuple[Decimal, ...] = ()


NOTHING_SEEN = Surroundings()


@dataclass(frozen=True, slots=True)
class Numbered:
    """A statement whose named parameters were numbered once, for the driver would do it again for every call."""

    text: str
    names: tuple[str, ...]

    @classmethod
    def of(cls, statement: str) -> Numbered:
        """From a statement with parameters as ``%(name)s``."""
        names = tuple(dict.fromkeys(_PARAMETER.findall(statement)))
        return cls(_PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", statement), names)


_PARAMETER = re.compile(r"%\((\w+)\)s")


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
        return Price(symbol, quote.bid, quote.ask, quote.confirmed_at, quote.before_mid, quote.before_at)

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


_READ_SURROUNDINGS = Numbered.of(
    """
WITH named AS MATERIALIZED (SELECT DISTINCT control FROM risk_limit WHERE mode = %(mode)s AND value IS NOT NULL)
SELECT
  CASE WHEN %(market_order)s::bool AND EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_depth)s::text[])) THEN
    (SELECT jsonb_build_array(d.bids, d.asks) FROM exchanges_depth d WHERE d.instrument_id = %(instrument_id)s) END,
  (SELECT d.confirmed_at FROM exchanges_depth d WHERE d.instrument_id = %(instrument_id)s),
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_equity)s::text[])) THEN
    (SELECT e.last_equity FROM positions_equityseries e
      WHERE e.mode = %(mode)s AND e.account_id IS NULL AND e.strategy_id IS NULL AND e.currency = %(currency)s
        AND e.last_at >= %(equity_since)s) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_marks)s::text[])) THEN
    (SELECT jsonb_agg(jsonb_build_array(
              i.exchange, i.symbol, i.base_asset, i.quote_asset, q.bid::text, q.ask::text, q.confirmed_at))
       FROM exchanges_quote q JOIN exchanges_instrument i ON i.id = q.instrument_id
      WHERE i.mode = %(mode)s AND i.quote_asset = ANY(%(quotes)s::text[]) AND q.bid > 0 AND q.bid < q.ask
        AND (i.base_asset = ANY(%(bases)s::text[])
             OR i.base_asset IN (SELECT h.asset FROM positions_holding h JOIN exchanges_account a ON a.id = h.account_id
                                  WHERE a.mode = %(mode)s AND h.quantity <> 0))) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_loss)s::text[])) THEN
    (SELECT jsonb_agg(to_jsonb(x)) FROM ($LOSSES) x) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = 'max_quantity_multiple') THEN
    (SELECT jsonb_agg(own.quantity::text)
       FROM (SELECT lately.quantity
               FROM (SELECT * FROM risk_decision WHERE account_name = %(account)s ORDER BY id DESC LIMIT %(looked_at)s)
                    lately
              WHERE lately.accepted AND lately.kind = 'order' AND lately.symbol = %(symbol)s
                AND lately.strategy = %(strategy)s AND lately.quantity IS NOT NULL
              ORDER BY lately.id DESC LIMIT %(own_orders)s) own) END
""".replace("$LOSSES", READ_LOSSES)
)
OWN_ORDERS, LOOKED_AT = 50, 500
"""So many of an account's own orders of the same pair and strategy, among so many of its newest decisions."""


def read_surroundings(intent: Intent) -> Surroundings:
    """What needs no lock besides the prices: nothing but one small question where no limit asks for more."""
    currency = settings.EXEC_REPORTING_CURRENCY
    levels, confirmed_at, equity, quotes, losses, own = _prepared(
        _READ_SURROUNDINGS,
        {
            "mode": intent.mode,
            "market_order": intent.type == "MARKET",
            "instrument_id": intent.instrument_id,
            "of_depth": list(OF_DEPTH),
            "of_equity": list(OF_EQUITY),
            "currency": currency,
            "equity_since": clock.now() - MAX_EQUITY_AGE,
            "of_marks": [*OF_EXPOSURE, "max_divergence"],
            "quotes": sorted({currency, *CASH_ASSETS}),
            "bases": sorted({intent.base_asset, intent.quote_asset, currency}),
            "of_loss": list(OF_LOSS),
            "modes": [intent.mode],
            "owners": ["", intent.account, intent.strategy or ""],
            "points_since": losses_since(clock.now()),
            "account": intent.account,
            "symbol": intent.symbol,
            "strategy": intent.strategy or "",
            "looked_at": LOOKED_AT,
            "own_orders": OWN_ORDERS,
        },
    )
    depth = None
    if levels is not None and confirmed_at is not None:
        bids, asks = (tuple((Decimal(p), Decimal(q)) for p, q in side) for side in _parsed(levels))
        depth = Depth(bids, asks, confirmed_at)
    seen = tuple(parsed_losses(_parsed(losses) or []).values())
    own_quantities = tuple(Decimal(text) for text in _parsed(own) or ())
    return Surroundings(depth, marks_of(_parsed(quotes) or [], currency), equity, seen, own_quantities)


def marks_of(quotes: list[list[Any]], currency: str) -> tuple[Mark, ...]:
    """Marks from quotes (exchange, symbol, base, quote, bid, ask, confirmed at): mid in the reporting currency, at once
    or by way of the same exchange's rate of the quote asset; a cash asset from the pair that it quotes."""
    rates: dict[tuple[str, str], tuple[Decimal, datetime, str]] = {}
    seen: list[tuple[str, str, str, str, Decimal, datetime]] = []
    with localcontext(CONTEXT):
        for exchange, symbol, base, quote, bid, ask, at in quotes:
            mid = (Decimal(bid) + Decimal(ask)) / 2
            moment = datetime.fromisoformat(at)
            seen.append((exchange, symbol, base, quote, mid, moment))
            if base == currency:
                rates[exchange, quote] = (round_down(1 / mid), moment, symbol)
        marks = [
            Mark(quote, exchange, symbol, price, at, direct=False)
            for (exchange, quote), (price, at, symbol) in rates.items()
        ]
        for exchange, symbol, base, quote, mid, at in seen:
            if quote == currency:
                marks.append(Mark(base, exchange, symbol, mid, at, direct=True))
            elif (exchange, quote) in rates and base != currency:
                price, rate_at, _ = rates[exchange, quote]
                marks.append(Mark(base, exchange, symbol, round_up(mid * price), min(at, rate_at), direct=False))
    return tuple(marks)


_READ_UNDER_LOCK = Numbered.of(
    """
WITH l AS MATERIALIZED (
  SELECT DISTINCT ON (control, scope_kind, scope_key) control, scope_kind, scope_key, version, value, enforcement
    FROM risk_limit r
    JOIN unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(k, v) ON r.scope_kind = w.k AND r.scope_key = w.v
   WHERE r.mode = %(mode)s AND (r.expires_at IS NULL OR r.expires_at > %(now)s::timestamptz)
   ORDER BY control, scope_kind, scope_key, version DESC),
named AS MATERIALIZED (SELECT DISTINCT control FROM l WHERE value IS NOT NULL)
SELECT nextval('risk_gate_seq'),
  (SELECT coalesce(jsonb_agg(jsonb_build_array(s.scope_kind, s.scope_key, s.state, s.last_halt_seq)), '[]')
     FROM risk_tradingstate s
     JOIN unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(k, v) ON s.scope_kind = w.k AND s.scope_key = w.v),
  (SELECT coalesce(jsonb_agg(jsonb_build_array(
            control, scope_kind, scope_key, version, value::text, enforcement)), '[]') FROM l),
  (SELECT sum(h.quantity) FROM positions_holding h WHERE h.account_id = %(account_id)s AND h.asset = %(asset)s),
  b.free + b.locked,
  b.as_of,
  (SELECT coalesce(sum(e.amount), 0) FROM positions_ledgerentry e
    WHERE e.account_id = %(account_id)s AND e.asset = %(asset)s AND e.book = 'exchange' AND e.kind = 'fill'
      AND e.posted_at > b.as_of),
  (SELECT coalesce(sum(r.amount), 0) FROM risk_reservation r
    WHERE r.account_name = %(account)s AND r.asset = %(asset)s AND r.amount > 0),
  f.orders_at, f.trades_at, f.balances_at, coalesce(f.blocked_by, ''),
  CASE WHEN %(replaces)s::bool THEN
    (SELECT coalesce(sum(r.exposure), 0) FROM risk_reservation r WHERE r.order_id = %(order_id)s) ELSE 0 END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_exposure)s::text[])) THEN
    (SELECT jsonb_agg(jsonb_build_array(a.exchange, a.name, coalesce(s.name, ''), h.asset, h.quantity::text))
       FROM positions_holding h JOIN exchanges_account a ON a.id = h.account_id
       LEFT JOIN common_strategy s ON s.id = h.strategy_id
      WHERE a.mode = %(mode)s AND h.quantity <> 0) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_live)s::text[])) THEN
    (SELECT jsonb_agg(jsonb_build_array(
              g.exchange, g.account_name, g.strategy, g.symbol, g.side, g.gained_asset, g.exposure::text, g.live))
       FROM (SELECT exchange, account_name, strategy, symbol, side, gained_asset, sum(exposure) AS exposure,
                    count(DISTINCT order_id) FILTER (WHERE live) AS live
               FROM risk_reservation
              WHERE mode = %(mode)s AND (live OR exposure > 0) AND order_id <> %(order_id)s
              GROUP BY exchange, account_name, strategy, symbol, side, gained_asset) g) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = 'self_match') THEN
    (SELECT jsonb_agg(jsonb_build_array(c.order_id, c.account_name, c.strategy, c.price::text, c.stop_price::text))
       FROM (SELECT * FROM risk_reservation
              WHERE mode = %(mode)s AND exchange = %(exchange)s AND symbol = %(symbol)s AND live AND side <> %(side)s
                AND order_id <> %(order_id)s
                AND (price IS NULL OR %(price)s::numeric IS NULL
                     OR CASE WHEN %(side)s::text = 'BUY' THEN price <= %(price)s::numeric
                             ELSE price >= %(price)s::numeric END)
              ORDER BY stop_price IS NOT NULL LIMIT 50) c) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = 'duplicate_window') THEN
    (SELECT jsonb_agg(jsonb_build_array(
              d.order_id, extract(epoch FROM %(now)s::timestamptz - d.decided_at)::text,
              EXISTS (SELECT 1 FROM risk_reservation r WHERE r.order_id = d.order_id AND r.live),
              EXISTS (SELECT 1 FROM positions_fill p WHERE p.order_id = d.order_id)))
       FROM risk_decision d
      WHERE d.mode = %(mode)s AND d.accepted AND d.fingerprint = %(fingerprint)s AND d.kind = 'order'
        AND d.decided_at >= %(now)s::timestamptz - make_interval(
              secs => (SELECT max(value) FROM l WHERE control = 'duplicate_window')::double precision)) END,
  CASE WHEN EXISTS (SELECT 1 FROM named WHERE control = ANY(%(of_windows)s)) THEN
    (SELECT jsonb_agg(jsonb_build_array(q.control, q.scope_kind, q.scope_key,
              CASE WHEN q.of_value THEN n.value ELSE n.increasing END::text, n.reducing::text))
       FROM (SELECT l.control, l.scope_kind, l.scope_key, w.width, w.of_value
               FROM l
               JOIN unnest(%(of_windows)s::text[], %(windows)s::interval[], %(of_value)s::bool[])
                      AS w(control, width, of_value) ON w.control = l.control
              WHERE l.value IS NOT NULL) q
       $COUNTED) END,
  (SELECT jsonb_agg(jsonb_build_array(p.control, p.scope_kind, p.scope_key, p.until, p.reason))
     FROM risk_pause p
     JOIN unnest(%(kinds)s::text[], %(keys)s::text[]) AS w(k, v) ON p.scope_kind = w.k AND p.scope_key = w.v
    WHERE p.mode = %(mode)s AND p.until > %(now)s::timestamptz)
FROM (SELECT 1) one
LEFT JOIN exchanges_balance b ON b.account_id = %(account_id)s AND b.asset = %(asset)s
LEFT JOIN exchanges_accountfreshness f ON f.account_id = %(account_id)s
""".replace("$COUNTED", COUNTED)
)
_WINDOWS = [spec for spec in AT_THE_GATE.values() if spec.window is not None]


def read_inputs(
    intent: Intent, prices: Prices, surroundings: Surroundings = NOTHING_SEEN, *, replaces: bool = False
) -> tuple[GateInputs, int]:
    """The one read under the exposure lock: states, limits, funds, exposures, what was asked for lately, and the gate's
    sequence number. ``replaces``: the intent is what is to become of an order that is live."""
    asset = intent.quote_asset if intent.side == "BUY" else intent.base_asset
    scopes = limit_scopes(intent)
    now = clock.now()
    seq, states, limits, ledger, reported, as_of, since, reserved, *rest = _prepared(
        _READ_UNDER_LOCK,
        {
            "kinds": [kind for kind, _ in scopes],
            "keys": [key for _, key in scopes],
            "mode": intent.mode,
            "now": now,
            "account_id": intent.account_id,
            "account": intent.account,
            "asset": asset,
            "replaces": replaces,
            "order_id": intent.order_id,
            "exchange": intent.exchange,
            "symbol": intent.symbol,
            "side": intent.side,
            "price": intent.price,
            "fingerprint": intent.fingerprint,
            "of_exposure": list(OF_EXPOSURE),
            "of_live": list(OF_LIVE_ORDERS),
            "of_windows": [spec.name for spec in _WINDOWS],
            "windows": [spec.window for spec in _WINDOWS],
            "of_value": [spec.name in OF_TURNOVER for spec in _WINDOWS],
        },
    )
    reconciled, (own, held, live, opposite, priors, counted, paused) = rest[:4], rest[4:]
    inputs = GateInputs(
        intent=intent,
        now=now,
        price=prices.instrument,
        reporting_price=prices.reporting,
        reporting_currency=settings.EXEC_REPORTING_CURRENCY,
        states=tuple(StateOfScope(scope_name(kind, key), state, halt) for kind, key, state, halt in _parsed(states)),
        limits=ramped(
            tuple(
                LimitVersion(
                    control, scope_name(kind, key), version, None if value is None else Decimal(value), enforcement
                )
                for control, kind, key, version, value, enforcement in _parsed(limits)
            )
        ),
        ledger_balance=ledger if ledger is not None else (Decimal(0) if intent.books_open else None),
        exchange_balance=None if reported is None else reported + since,
        balance_as_of=as_of,
        reserved=reserved,
        reconciled=Reconciled(*reconciled),
        replaces=replaces,
        own_exposure=Decimal(own),
        depth=surroundings.depth,
        marks=surroundings.marks,
        held=tuple(Held(e, a, s, asset_, Decimal(q)) for e, a, s, asset_, q in _parsed(held) or ()),
        live=tuple(
            Live(e, a, s, symbol, side, gained, Decimal(value), count)
            for e, a, s, symbol, side, gained, value, count in _parsed(live) or ()
        ),
        opposite=tuple(
            Resting(UUID(order_id), a, s, _decimal(price), _decimal(stop))
            for order_id, a, s, price, stop in _parsed(opposite) or ()
        ),
        priors=tuple(
            Prior(UUID(order_id), Decimal(age), is_live, filled)
            for order_id, age, is_live, filled in _parsed(priors) or ()
        ),
        counted=tuple(
            Counted(control, scope_name(kind, key), Decimal(increasing), Decimal(reducing))
            for control, kind, key, increasing, reducing in _parsed(counted) or ()
        ),
        paused=tuple(
            Paused(control, scope_name(kind, key), datetime.fromisoformat(until), reason)
            for control, kind, key, until, reason in _parsed(paused) or ()
        ),
        equity=surroundings.equity,
        losses=surroundings.losses,
        own_quantities=surroundings.own_quantities,
    )
    return inputs, int(seq)


def _prepared(statement: Numbered, parameters: dict[str, Any]) -> Any:
    """The one row of a statement that the server plans once per connection: planning takes longer than running it."""
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.RawCursor(connection.connection) as cursor:
        return cursor.execute(statement.text, [parameters[name] for name in statement.names], prepare=True).fetchone()


def limit_scopes(intent: Intent) -> list[tuple[str, str]]:
    """Every scope whose limits may apply: those of the trading state, and both assets."""
    return [*intent.scopes, ("asset", intent.base_asset), ("asset", intent.quote_asset)]


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _parsed(value: Any) -> Any:
    return json.loads(value, parse_float=Decimal) if isinstance(value, str) else value
