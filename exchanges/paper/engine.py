"""The paper exchange itself: takes, matches, cancels and settles the orders of one account.

Takers walk the depth level by level as it is when they arrive, and what they took stays taken. Resting orders stand
behind what was shown at their price and fill by public trades at that price beyond the queue, by trades beyond it, and
by depth that comes onto it (docs/paper.md §3). Everything of one account happens under its row's lock, in one
transaction that takes no other lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from django.db import transaction

from exchanges.capabilities import CAPABILITIES
from exchanges.matching import EndReason, Fill, Incoming, SelfTrade, Side, TimeInForce
from exchanges.models import Account, Exchange, Instrument, Mode, PaperAccount, PaperOrder, PaperTrade
from exchanges.paper import terms
from exchanges.paper.pit import OPEN, Pit, has_news
from exchanges.paper.pricing import Rates, Taken, quote_fee, received_fee, reserve_of_limit
from exchanges.paper.rules import Asked, NoMarketData, Refused, check_filters
from exchanges.paper.sizing import market_limit, sized
from exchanges.paper.wallet import Wallet
from exchanges.reports import Fee
from execution_project.common import clock
from execution_project.common.money import CONTEXT, plain

MODEL = "paper:queue-walk/1"
"""Name and version of the rules by which fills are made; on every paper trade. A change of the rules changes it."""
ZERO = Decimal(0)


class Floor:
    """One account at the paper exchange, for the length of one transaction; made by ``floor_of``."""

    def __init__(self, account: Account, row: PaperAccount) -> None:
        self.account = account
        self.row = row
        self.at = clock.now()
        # What the exchange's own clock shows.
        self.now: datetime = self.at + timedelta(milliseconds=row.clock_offset_ms)
        self.wallet = Wallet(account)
        self.binance = account.exchange == Exchange.BINANCE
        self.new_trades: list[PaperTrade] = []
        self._pits: dict[int, Pit] = {}
        self._stored_numbers = self._numbers()

    # -- the market ----------------------------------------------------------------------------------------------

    def instrument(self, symbol: str) -> Instrument:
        """The pair in mode paper. Raises ``Refused``."""
        found = Instrument.objects.filter(exchange=self.account.exchange, mode=Mode.PAPER, symbol=symbol).first()
        if found is None:
            raise Refused("symbol")
        return found

    def pit(self, instrument: Instrument) -> Pit:
        """The pair's book, brought up to what the market has done since."""
        pit = self._pits.get(instrument.pk)
        if pit is None:
            pit = self._pits[instrument.pk] = Pit(self.account, instrument)
            self._catch_up(pit)
        return pit

    def catch_up(self) -> None:
        """Bring every pair with an open order up to what the market has done since."""
        with_orders = PaperOrder.objects.filter(account=self.account, status__in=OPEN).values("instrument")
        for instrument in Instrument.objects.filter(pk__in=with_orders).order_by("pk"):
            self.pit(instrument)

    def orders(self) -> list[PaperOrder]:
        """The orders that were open when this transaction looked at their pairs, and those placed in it."""
        return [order for pit in self._pits.values() for order in pit.orders.values()]

    def _catch_up(self, pit: Pit) -> None:
        for seen in pit.prints():
            self._finish_cancels(pit, seen.traded_at)
            self._settle(pit, pit.match_print(seen))
            self._run_stops(pit)
        self._finish_cancels(pit, self.at)
        self._settle(pit, pit.match_depth())
        self._run_stops(pit)

    def _finish_cancels(self, pit: Pit, until: datetime) -> None:
        for order in list(pit.orders.values()):
            if order.status in OPEN and order.cancel_at is not None and order.cancel_at <= until:
                self.end(pit, order, "canceled", "")

    def _run_stops(self, pit: Pit) -> None:
        """Put stop orders to work whose price has come, oldest first, until none is left to fire."""
        while fired := next((order for order in pit.waiting() if self._fires(pit, order.side, order.stop_price)), None):
            fired.waits = False
            self._work(pit, fired)

    @staticmethod
    def _fires(pit: Pit, side: str, stop_price: Decimal | None) -> bool:
        """A buy stop fires at or above its price, a sell stop at or below (docs/binance.md §2.2)."""
        last = pit.row.last_price
        if last is None or stop_price is None:
            return False
        return bool(last >= stop_price if side == Side.BUY else last <= stop_price)

    # -- orders --------------------------------------------------------------------------------------------------

    def place(self, asked: Asked) -> PaperOrder:
        """Judge and carry out a placement. Raises ``Refused`` and ``NoMarketData``, then nothing has changed."""
        instrument = self.instrument(asked.symbol)
        known = CAPABILITIES[self.account.exchange].order_types.get(asked.type)
        if known is None or (asked.time_in_force or None) not in known:
            raise Refused("unsupported")
        pit = self.pit(instrument)
        if not pit.is_fresh(self.at):
            raise NoMarketData(f"no book of {asked.symbol} that is young enough to be matched against")
        if self.binance and any(
            order.client_order_id == asked.client_order_id and order.status in OPEN for order in pit.orders.values()
        ):
            raise Refused("duplicate")
        side = Side(asked.side)
        self._check(pit, asked, ended=0)
        if self._fires(pit, asked.side, asked.stop_price):
            raise Refused("would_trigger")
        quantity, reserve = sized(
            pit,
            asked,
            self.wallet,
            self.rates(instrument.quote_asset),
            self._reserve_rate(instrument.quote_asset),
            binance=self.binance,
        )
        spent = instrument.quote_asset if side is Side.BUY else instrument.base_asset
        if reserve > self.wallet.of(spent).free:
            raise Refused("insufficient_funds")
        if asked.type == "LIMIT_MAKER" and _crosses(pit, side, asked.price):
            raise Refused("would_match")
        self.row.last_order_number += 1
        order = PaperOrder(
            account=self.account,
            instrument=instrument,
            number=self.row.last_order_number,
            client_order_id=asked.client_order_id,
            side=asked.side,
            type=asked.type,
            time_in_force=asked.time_in_force,
            price=asked.price,
            stop_price=asked.stop_price,
            quantity=quantity,
            quote_quantity=asked.quote_quantity,
            executed=ZERO,
            executed_quote=ZERO,
            locked=ZERO,
            ahead=ZERO,
            status="open",
            waits=asked.stop_price is not None,
            placed_at=self.now,
            updated_at=self.now,
        )
        pit.orders[order.number] = order
        pit.touched.add(order.number)
        self._lock(order, reserve)
        if not order.waits:
            self._work(pit, order)
        return order

    def judge_replacement(self, asked: Asked) -> None:
        """The filters of a placement that comes after a cancel: they are judged before it (docs/binance.md §2.3).

        Raises ``Refused``.
        """
        self._check(self.pit(self.instrument(asked.symbol)), asked, ended=1)

    @staticmethod
    def _check(pit: Pit, asked: Asked, *, ended: int) -> None:
        reference = pit.best(Side(asked.side)) if asked.price is None else pit.row.last_price
        working = sum(order.status in OPEN for order in pit.orders.values()) - ended
        check_filters(pit.instrument, asked, reference, working, len(pit.waiting()))

    def _work(self, pit: Pit, order: PaperOrder) -> None:
        """Hand an order to the book and settle what comes of it."""
        order.worked_at = clock.to_ms(self.at)
        order.updated_at = self.now
        pit.touched.add(order.number)
        outcome = pit.book.submit(
            Incoming(
                order.number,
                self.account.name,
                Side(order.side),
                order.quantity - order.executed,
                order.price if order.price is not None else market_limit(pit, order.side, binance=self.binance),
                TimeInForce(order.time_in_force) if order.time_in_force else _DEFAULT_IN_FORCE[order.type],
                order.type == "LIMIT_MAKER",
                SelfTrade.EXPIRE_TAKER if self.binance else SelfTrade.NONE,
            )
        )
        self._settle(pit, outcome.fills)
        if outcome.end is not None and order.status in OPEN:
            self.end(pit, order, "expired" if self.binance else "canceled", _REASONS.get(outcome.end, ""))

    def end(self, pit: Pit, order: PaperOrder, status: str, reason: str) -> None:
        """Close an order and release what it had set aside."""
        pit.book.cancel(order.number)
        order.status, order.reason = status, reason
        order.updated_at, order.cancel_at, order.waits = self.now, None, False
        self._lock(order, ZERO)
        pit.touched.add(order.number)

    def find(self, symbol: str, client_order_id: str, number: str | None) -> PaperOrder | None:
        """An order by its exchange id, else the newest under a client order id, in the state of this moment."""
        found = PaperOrder.objects.filter(account=self.account, instrument__symbol=symbol)
        if number is not None:
            found = found.filter(number=int(number)) if number.isdigit() else found.none()
        else:
            found = found.filter(client_order_id=client_order_id)
        order = found.select_related("instrument").order_by("-number").first()
        if order is None or order.status not in OPEN:
            return order
        return self.pit(order.instrument).orders.get(order.number, order)

    def cancel(self, symbol: str, client_order_id: str, number: str | None, *, untouched: bool = False) -> PaperOrder:
        """Cancel an open order; on BTCTurk a promise that is kept ``cancel_ms`` later. ``untouched``: only when nothing
        of it was filled. Raises ``Refused``."""
        order = self.find(symbol, client_order_id, number)
        if order is None:
            raise Refused("not_open")
        if not self.binance:
            if order.status == "filled" or order.type == "MARKET":
                raise Refused("cancel_restricted")
            if order.status in OPEN and order.cancel_at is None:
                order.cancel_at = self.at + timedelta(milliseconds=self.row.cancel_ms)
                pit = self.pit(order.instrument)
                pit.touched.add(order.number)
                self._finish_cancels(pit, self.at)
            return order
        if order.status not in OPEN:
            raise Refused("not_open")
        if untouched and order.executed:
            raise Refused("cancel_restricted")
        self.end(self.pit(order.instrument), order, "canceled", "")
        return order

    def amend(self, symbol: str, client_order_id: str, number: str | None, quantity: Decimal) -> PaperOrder:
        """Lower an open order's quantity (base) in place; at what was executed or less it ends. Raises ``Refused``."""
        order = self.find(symbol, client_order_id, number)
        if order is None or order.status not in OPEN:
            raise Refused("not_open")
        if quantity >= order.quantity:
            raise Refused("no_change" if quantity == order.quantity else "increase")
        pit = self.pit(order.instrument)
        order.quantity = max(quantity, order.executed)
        order.updated_at = self.now
        pit.touched.add(order.number)
        leaves = order.quantity - order.executed
        if not leaves:
            self.end(pit, order, "expired", "")
        else:
            pit.book.reduce(order.number, leaves)
            self._lock(order, self._reserve(order))
        return order

    # -- money ---------------------------------------------------------------------------------------------------

    def rates(self, quote_asset: str) -> Rates:
        """The account's rates of this moment, by tier where it has tiers."""
        return terms.rates_of(self.row, self.account, quote_asset, self.now)

    def _reserve(self, order: PaperOrder) -> Decimal:
        rate = self._reserve_rate(order.instrument.quote_asset)
        return reserve_of_limit(order.side, order.price or ZERO, order.quantity - order.executed, rate)

    def _reserve_rate(self, quote_asset: str) -> Decimal:
        return ZERO if self.binance else terms.reserve_rate(self.row, quote_asset)

    def _lock(self, order: PaperOrder, target: Decimal) -> None:
        """Set aside exactly ``target`` for the order, moving the difference from or to what is free."""
        moved = target - order.locked
        if moved:
            asset = order.instrument.quote_asset if order.side == Side.BUY else order.instrument.base_asset
            self.wallet.move(asset, free=-moved, locked=moved)
            order.locked = target

    def _settle(self, pit: Pit, fills: Sequence[Fill]) -> None:
        for fill in fills:
            pit.row.last_price = fill.price
            for number in (fill.taker_id, fill.maker_id):
                if number is not None:
                    self._settle_one(pit, pit.orders[number], fill, is_maker=number == fill.maker_id)

    def _settle_one(self, pit: Pit, order: PaperOrder, fill: Fill, *, is_maker: bool) -> None:
        """Move base, quote and fee of one fill, and release what the order no longer needs."""
        instrument = pit.instrument
        with localcontext(CONTEXT):
            amount = fill.price * fill.quantity
        taken = Taken(order.side, instrument.base_asset, instrument.quote_asset, fill.quantity, amount)
        self.wallet.move(taken.got[0], free=taken.got[1])
        fees = self._fees(taken, is_maker=is_maker)
        paid_asset, paid = taken.paid
        if order.side == Side.BUY and not self.binance:
            paid += sum((fee.amount for fee in fees), ZERO)
        else:
            for fee in fees:
                self.wallet.move(fee.asset, free=-fee.amount)
        self.wallet.move(paid_asset, locked=-paid)
        order.locked -= paid
        order.executed += fill.quantity
        order.executed_quote += amount
        order.updated_at = self.now
        pit.touched.add(order.number)
        self._note_trade(order, fill, amount, fees, is_maker=is_maker)
        if order.executed == order.quantity:
            self.end(pit, order, "filled", "")
            return
        order.status = "partially_filled"
        if order.type != "MARKET":
            self._lock(order, self._reserve(order))

    def _fees(self, taken: Taken, *, is_maker: bool) -> tuple[Fee, ...]:
        rates = self.rates(taken.quote)
        rate = rates.maker if is_maker else rates.taker
        if not self.binance:
            return quote_fee(taken, rate, rates.tax)
        bnb_free = self.wallet.of("BNB").free if self.row.bnb_fees else None
        return received_fee(taken, rate, bnb_free=bnb_free, bnb_value=lambda a, n: terms.value_in_bnb(a, n, self.at))

    def _note_trade(
        self, order: PaperOrder, fill: Fill, amount: Decimal, fees: tuple[Fee, ...], *, is_maker: bool
    ) -> None:
        self.row.last_trade_number += 1
        self.new_trades.append(
            PaperTrade(
                account=self.account,
                order=order,
                instrument=order.instrument,
                number=self.row.last_trade_number,
                price=fill.price,
                quantity=fill.quantity,
                quote_quantity=amount,
                fees=[{"asset": fee.asset, "amount": plain(fee.amount), "kind": fee.kind} for fee in fees],
                is_maker=is_maker,
                traded_at=self.now,
                model=MODEL,
            )
        )

    def store(self) -> None:
        """Write everything that changed."""
        for pit in self._pits.values():
            pit.store()
        self.wallet.store()
        PaperTrade.objects.bulk_create(self.new_trades)
        if self._numbers() != self._stored_numbers:
            self.row.save(update_fields=["last_order_number", "last_trade_number"])

    def _numbers(self) -> tuple[int, int]:
        return self.row.last_order_number, self.row.last_trade_number


_DEFAULT_IN_FORCE = {"LIMIT_MAKER": TimeInForce.GTC, "LIMIT": TimeInForce.GTC, "MARKET": TimeInForce.IOC}
_REASONS = {EndReason.SELF_TRADE: "SELF_TRADE", EndReason.NO_LIQUIDITY: "NO_LIQUIDITY"}


def _crosses(pit: Pit, side: Side, price: Decimal | None) -> bool:
    best = pit.best(side)
    if best is None or price is None:
        return False
    return price >= best if side is Side.BUY else price <= best


@contextmanager
def floor_of(account: Account) -> Iterator[Floor]:
    """The account at the paper exchange, locked until the block ends.

    A refusal is passed on after what the market did before it was stored; any other exception undoes all of it.
    """
    refusal: Refused | NoMarketData | None = None
    with transaction.atomic():
        floor = Floor(account, terms.locked_row(account))
        try:
            yield floor
        except (Refused, NoMarketData) as error:
            refusal = error
        floor.store()
    if refusal is not None:
        raise refusal


def advance(account: Account) -> list[PaperTrade]:
    """Let the account's open orders meet what the market has done since; the new trades."""
    if not has_news(account):
        return []
    with floor_of(account) as floor:
        floor.catch_up()
    return floor.new_trades
