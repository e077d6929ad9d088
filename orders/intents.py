"""What the gate is asked about an order or its replacement."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from exchanges.capabilities import CAPABILITIES
from exchanges.models import Account, Instrument
from execution_project.common.models import Strategy
from risk.intent import Intent, scopes_of


def build_intent(
    *,
    order_id: UUID,
    account: Account,
    instrument: Instrument,
    strategy: Strategy | None,
    side: str,
    type_: str,
    quantity: Decimal | None,
    quote_quantity: Decimal | None,
    price: Decimal | None,
    stop_price: Decimal | None,
    reduce_only: bool,
    flatten_seq: int | None = None,
    flatten_over: bool = False,
) -> Intent:
    """The typed intent that risk judges; quantities in base, ``quote_quantity`` in quote asset."""
    capabilities = CAPABILITIES[account.exchange]
    name = None if strategy is None else strategy.name
    return Intent(
        order_id=order_id,
        account_id=account.pk,
        account=account.name,
        exchange=account.exchange,
        mode=account.mode,
        books_open=account.books_opened_at is not None,
        symbol=instrument.symbol,
        instrument_id=instrument.pk,
        base_asset=instrument.base_asset,
        quote_asset=instrument.quote_asset,
        is_trading=instrument.is_trading,
        filters_synced_at=instrument.synced_at,
        filters=instrument.filters,
        base_precision=instrument.base_precision,
        quote_precision=instrument.quote_precision,
        strategy=name,
        side=side,
        type=type_,
        quantity=quantity,
        quote_quantity=quote_quantity,
        price=price,
        stop_price=stop_price,
        reduce_only=reduce_only,
        fee_in_quote_rate=account.taker_fee_rate if capabilities.buy_fee_in_quote else Decimal(0),
        scopes=scopes_of(exchange=account.exchange, account=account.name, strategy=name, symbol=instrument.symbol),
        flatten_seq=flatten_seq,
        flatten_over=flatten_over,
        as_limit_ioc=type_ == "MARKET" and account.market_as_limit_ioc,
    )
