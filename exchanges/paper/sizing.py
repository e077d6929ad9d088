"""How much a placement is for, and what it sets aside: the imitated exchange's own arithmetic. Raises ``Refused``."""

from __future__ import annotations

from decimal import Decimal, localcontext

from exchanges.matching import Side, cost_of, quantity_for_quote
from exchanges.paper.pit import Pit
from exchanges.paper.pricing import PROTECTION, Rates, affordable, reserve_of_limit
from exchanges.paper.rules import Asked, Refused
from exchanges.paper.wallet import Wallet
from execution_project.common.money import CONTEXT

ZERO = Decimal(0)


def sized(
    pit: Pit, asked: Asked, wallet: Wallet, rates: Rates, reserve_rate: Decimal, *, binance: bool
) -> tuple[Decimal, Decimal]:
    """Quantity in base, and the amount to set aside in the asset that is spent. ``rates`` hold now; ``reserve_rate`` is
    the most that a fee on top of a buy may come to later."""
    if asked.price is not None and asked.quantity is not None:
        return asked.quantity, reserve_of_limit(asked.side, asked.price, asked.quantity, reserve_rate)
    if not binance:
        return _at_market_of_btcturk(pit, asked, rates)
    side = Side(asked.side)
    levels = list(pit.book.available(side))
    if asked.quantity is not None:
        return asked.quantity, cost_of(levels, asked.quantity).cost if side is Side.BUY else asked.quantity
    amount = asked.quote_quantity or ZERO
    step = step_of(pit)
    sizing = quantity_for_quote(levels, amount, step)
    free = wallet.of(pit.instrument.quote_asset).free
    if side is Side.BUY and amount <= free < sizing.cost:
        # The nearest grid point costs more than the account holds; the one below is the nearest it can pay.
        sizing = cost_of(levels, sizing.quantity - step)
    if sizing.quantity <= ZERO or sizing.quantity < _decimal(pit, "LOT_SIZE", "minQty"):
        raise Refused("thin_book")
    return sizing.quantity, sizing.cost if side is Side.BUY else sizing.quantity


def _at_market_of_btcturk(pit: Pit, asked: Asked, rates: Rates) -> tuple[Decimal, Decimal]:
    """A market buy names the quote amount to spend, fee and tax included (docs/btcturk.md §4)."""
    side = Side(asked.side)
    limit = market_limit(pit, asked.side, binance=False)
    if limit is None:
        raise Refused("thin_book")
    if asked.quantity is not None:
        return asked.quantity, asked.quantity
    amount = asked.quote_quantity or ZERO
    quantity = affordable(pit.book.available(side, limit), amount, rates.reserve, step_of(pit))
    if quantity <= ZERO:
        raise Refused("thin_book")
    return quantity, amount


def market_limit(pit: Pit, side: str, *, binance: bool) -> Decimal | None:
    """The worst price of a market order; None for any (Binance), and for an empty book."""
    best = pit.best(Side(side))
    if binance or best is None:
        return None
    with localcontext(CONTEXT):
        return best * (1 + PROTECTION if side == Side.BUY else 1 - PROTECTION)


def step_of(pit: Pit) -> Decimal:
    """The grid of quantities."""
    step = _decimal(pit, "LOT_SIZE", "stepSize")
    return step if step > 0 else Decimal(1).scaleb(-pit.instrument.base_precision)


def _decimal(pit: Pit, name: str, field: str) -> Decimal:
    return Decimal(str(pit.instrument.filters.get(name, {}).get(field, "0")))
