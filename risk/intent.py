"""What orders hand to the gate: a typed intent, so that risk reads no order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from execution_project.common.money import plain_or_none


@dataclass(frozen=True, slots=True)
class Intent:
    """One order that wants to pass. Quantities in base, quotes in quote asset, price in quote per base."""

    order_id: UUID
    account_id: int
    account: str
    exchange: str
    mode: str
    books_open: bool
    symbol: str
    instrument_id: int
    base_asset: str
    quote_asset: str
    is_trading: bool
    filters_synced_at: datetime
    filters: dict[str, dict[str, Any]]
    base_precision: int
    quote_precision: int
    strategy: str | None
    side: str
    type: str
    quantity: Decimal | None
    quote_quantity: Decimal | None
    price: Decimal | None
    stop_price: Decimal | None
    reduce_only: bool
    fee_in_quote_rate: Decimal
    scopes: tuple[tuple[str, str], ...] = field(default=())
    flatten_seq: int | None = None  # of a confirmed flatten: its number among the halts (``risk.models.Flatten``)
    flatten_over: bool = False  # of a flatten that does not run any more
    as_limit_ioc: bool = False  # a MARKET order that is sent as LIMIT IOC, at ``protection_price``
    protection_price: Decimal | None = None  # None also while no usable price tells it

    @property
    def sent_price(self) -> Decimal | None:
        """The limit that the exchange will get, None for none."""
        return self.price if self.price is not None else self.protection_price

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what makes two orders look the same."""
        seen = (self.account, self.strategy, self.symbol, self.side, self.type)
        amounts = (self.quantity, self.quote_quantity, self.price, self.stop_price)
        text = "|".join([*(str(part) for part in seen), *(str(plain_or_none(amount)) for amount in amounts)])
        return hashlib.sha256(text.encode()).hexdigest()


def scopes_of(*, exchange: str, account: str, strategy: str | None, symbol: str) -> tuple[tuple[str, str], ...]:
    """Every scope whose state and limits apply, widest first."""
    scopes = [("global", ""), ("exchange", exchange), ("account", account)]
    if strategy is not None:
        scopes.append(("strategy", strategy))
    scopes.append(("symbol", symbol))
    return tuple(scopes)


def scope_name(kind: str, key: str) -> str:
    """``global``, or kind and key as in ``account:main``."""
    return f"{kind}:{key}" if key else kind


def lock_names(scopes: tuple[tuple[str, str], ...]) -> list[str]:
    """The scopes as names for the advisory locks of trading state."""
    return [scope_name(kind, key) for kind, key in scopes]
