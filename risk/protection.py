"""The price of a MARKET order that is sent as LIMIT IOC: slippage behind the best price, on the exchange's tick."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import localcontext

from exchanges.filters import round_price
from execution_project.common.money import CONTEXT
from risk.inputs import SLIPPAGE, Price
from risk.intent import Intent


def protected(intent: Intent, price: Price, now: datetime) -> Intent:
    """The intent with ``ask·(1+s)`` for a buy, ``bid·(1−s)`` for a sale, rounded toward the passive side; as it is
    where no usable price tells, or where it is not to be sent so."""
    if not intent.as_limit_ioc or not price.usable(now) or price.ask is None or price.bid is None:
        return intent
    with localcontext(CONTEXT):
        reach = price.ask * (1 + SLIPPAGE) if intent.side == "BUY" else price.bid * (1 - SLIPPAGE)
    return replace(intent, protection_price=round_price(intent.filters, intent.side, reach))
