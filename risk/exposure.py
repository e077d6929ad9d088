"""Sums over holdings and live orders in the reporting currency. Sells never offset buys; a missing price is no zero."""

from __future__ import annotations

from decimal import Decimal, localcontext

from execution_project.common.money import CONTEXT, round_up
from risk.facts import Book, in_scope
from risk.inputs import CASH_ASSETS

ZERO = Decimal(0)


def held(book: Book, scope: str, asset: str) -> Decimal:
    """Units of an asset that the books hold in a scope, never less than none: there are no shorts."""
    found = (
        row.quantity
        for row in book.held
        if row.asset == asset and in_scope(scope, exchange=row.exchange, account=row.account, strategy=row.strategy)
    )
    return max(sum(found, ZERO), ZERO)


def _anywhere(scope: str) -> str:
    """Where an asset's own limit counts: everywhere."""
    return "global" if scope.startswith("asset:") else scope


def live_value(book: Book, scope: str, asset: str) -> Decimal:
    """What live orders in a scope may still bring of an asset, worst case, without this order."""
    return sum(
        (
            row.exposure
            for row in book.live
            if row.gained_asset == asset
            and in_scope(scope, exchange=row.exchange, account=row.account, strategy=row.strategy)
        ),
        ZERO,
    )


def exposure_of(book: Book, scope: str, asset: str) -> Decimal | None:
    """Held at mark and live buys in full, of one asset in a scope; None when what is held has no price."""
    where = _anywhere(scope)
    quantity = held(book, where, asset)
    mark = book.mark(asset) if quantity else ZERO
    if mark is None:
        return None
    with localcontext(CONTEXT):
        return round_up(quantity * mark) + live_value(book, where, asset)


def risky_assets(book: Book) -> list[str]:
    """Every asset but cash that is held or may come by a live order, sorted."""
    named = {row.asset for row in book.held if row.quantity} | {row.gained_asset for row in book.live}
    return sorted(named - CASH_ASSETS - {book.reporting_currency, ""})


def unpriced(book: Book, scope: str, assets: list[str]) -> list[str]:
    """Those of the assets that are held in a scope and have no price."""
    where = _anywhere(scope)
    return [asset for asset in assets if held(book, where, asset) and book.mark(asset) is None]


def gross(book: Book, scope: str) -> Decimal | None:
    """The exposures of all assets but cash in a scope; None when one of them has no price."""
    return _total(book, scope, live=True)


def net(book: Book, scope: str) -> Decimal | None:
    """What is held of all assets but cash in a scope, at mark; None when one of them has no price."""
    return _total(book, scope, live=False)


def _total(book: Book, scope: str, *, live: bool) -> Decimal | None:
    total = ZERO
    for asset in risky_assets(book):
        value = exposure_of(book, scope, asset)
        if value is None:
            return None
        total += value if live else value - live_value(book, scope, asset)
    return total


def standing_at(book: Book, scope: str) -> Decimal | None:
    """Cash, assets and live buys in a scope; None when something held there has no price."""
    total = sum(
        (
            row.exposure
            for row in book.live
            if row.side == "BUY" and in_scope(scope, exchange=row.exchange, account=row.account, strategy=row.strategy)
        ),
        ZERO,
    )
    for asset in sorted({row.asset for row in book.held}):
        quantity = held(book, scope, asset)
        mark = book.mark(asset) if quantity else ZERO
        if mark is None:
            return None
        with localcontext(CONTEXT):
            total += round_up(quantity * mark)
    return total


def live_orders(book: Book, scope: str) -> int:
    """Live exchange orders in a scope, without this order."""
    return sum(
        row.count
        for row in book.live
        if in_scope(scope, exchange=row.exchange, account=row.account, strategy=row.strategy, symbol=row.symbol)
    )
