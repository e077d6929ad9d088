"""BTCTurk as an exchange of its own: pairs, accounts, fee and tax per fill, stops that come back under a new id.

Builds on the venue that Binance uses; what differs between the exchanges' matching engines is here, and only that.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any, cast

from exchanges.matching import Fill, Level, SelfTrade, Side, TimeInForce
from exchanges.simulator.accounts import ZERO, Account
from exchanges.simulator.btcturk_rules import (
    BALANCE_DECIMALS,
    PAIRS,
    PROTECTION,
    PairRules,
    check,
    fee_of,
    fits,
)
from exchanges.simulator.btcturk_settings import PERMISSIONS, BtcturkSettings
from exchanges.simulator.journal import Entry
from exchanges.simulator.venue import (
    ClientCounter,
    Market,
    Order,
    OrderRequest,
    OrderType,
    Placement,
    PublicTrade,
    Refusal,
    Refused,
    Status,
    Trade,
    Venue,
    read_trade,
)

UNIT = Decimal(1).scaleb(-BALANCE_DECIMALS)
FIRST_ORDER_ID = 26_950_000_001
FIRST_TRADE_ID = 1_181_163_798_924_600_001
"""Beyond 2^53, as BTCTurk's: a client that reads ids as floats loses digits (docs/btcturk.md §2.8)."""
MAKER_FEE, TAKER_FEE, TAX_RATE = Decimal("0.0005"), Decimal("0.001"), Decimal("0.2")
PUBLIC_TRADES = 50


@dataclass(slots=True)
class TurkAccount(Account):
    """Adds the tax on the commission (0.2 is 20 %), the key's permissions and the address it is bound to ("": any)."""

    tax_rate: Decimal = TAX_RATE
    permissions: tuple[str, ...] = PERMISSIONS
    ip: str = ""

    @property
    def reserve_rate(self) -> Decimal:
        """What a limit buy sets aside beyond price times quantity: the dearer rate with its tax."""
        return max(self.maker_fee, self.taker_fee) * (1 + self.tax_rate)


@dataclass(slots=True)
class TurkOrder(Order):
    """Adds the stop an order came from and when its accepted cancel takes effect (epoch ms; 0: none)."""

    origin: int = 0
    cancel_at: int = 0

    @property
    def is_market(self) -> bool:
        """Market, or stop market: no limit price."""
        return not self.price

    @property
    def method(self) -> str:
        """The order method in BTCTurk's words."""
        return ("stop" if self.type.has_trigger else "") + ("market" if self.is_market else "limit")


@dataclass(slots=True, frozen=True)
class TurkTrade(Trade):
    """Adds the tax, in quote like the commission. Ids are unique per account side, in order of time."""

    tax: Decimal = ZERO


@dataclass(slots=True)
class _Ids:
    trade: int = FIRST_TRADE_ID - 1
    recent: dict[str, deque[PublicTrade]] = field(default_factory=dict)


class BtcturkVenue(Venue):
    """All state of the simulated BTCTurk."""

    order_kind = TurkOrder

    def __init__(
        self, seed: int, record: Callable[[Entry], None] | None = None, pairs: Iterable[PairRules] = PAIRS
    ) -> None:
        self.pairs = {rules.symbol: rules for rules in pairs}
        self.settings = BtcturkSettings()
        super().__init__(seed, record, self.pairs.values())

    def _clear(self) -> None:
        super()._clear()
        self.by_id: dict[int, TurkOrder] = {}
        self.canceling: dict[int, TurkOrder] = {}
        self._ids = _Ids(recent={symbol: deque(maxlen=PUBLIC_TRADES) for symbol in self.pairs})

    # -- accounts ------------------------------------------------------------------------------------------------

    def holder(self, name: str) -> TurkAccount:
        """The account of that name. KeyError when there is none."""
        return cast(TurkAccount, self.accounts[name])

    def add_account(
        self,
        name: str,
        api_key: str,
        api_secret: str,
        balances: Mapping[str, Decimal],
        now: int,
        *,
        maker_fee: Decimal = MAKER_FEE,
        taker_fee: Decimal = TAKER_FEE,
        bnb_fees: bool = False,
        tax_rate: Decimal = TAX_RATE,
        permissions: Sequence[str] = PERMISSIONS,
        ip: str = "",
    ) -> tuple[Account, bool]:
        """Create an account, or return the one of that name unchanged; the flag says whether it is new."""
        existing = self.accounts.get(name)
        if existing is not None:
            return existing, False
        if api_key in self.by_key:
            raise ValueError("api_key is in use by another account")
        account = TurkAccount(
            name,
            api_key,
            api_secret,
            50_000 + len(self.accounts),
            maker_fee,
            taker_fee,
            bnb_fees,
            updated=now,
            tax_rate=tax_rate,
            permissions=tuple(permissions),
            ip=ip,
        )
        self.accounts[name] = self.by_key[api_key] = account
        self._dirty.accounts.add(name)
        for asset, amount in balances.items():
            self._deposit(account, asset, amount)
        self._commit(now)
        return account, True

    def set_fees(
        self,
        name: str,
        maker: Decimal | None,
        taker: Decimal | None,
        bnb: bool | None,
        now: int,
        *,
        tax: Decimal | None = None,
    ) -> Account:
        """Change an account's rates. ValueError while buys rest, since their reserve was made at the old ones."""
        if any(order.side is Side.BUY for order in self.open_orders(name)):
            raise ValueError("rates change only while no buy order is open")
        account = self.holder(name)
        account.tax_rate = account.tax_rate if tax is None else tax
        return super().set_fees(name, maker, taker, bnb, now)

    # -- orders --------------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now: int) -> Placement:
        """Carry out a new order that passed `check`. Raises `Refused`, then nothing has changed.

        Client order ids are labels: a second order under the same id is a second order (docs/btcturk.md §3).
        """
        account, market = self.holder(request.account), self.markets[request.symbol]
        rules = self.pairs[request.symbol]
        order = self._new(request, rules, account, now)
        if order.is_market and not order.type.has_trigger and self._best(market, order.side) is None:
            raise Refused(Refusal.THIN_BOOK)
        reserve = self._reserve(order)
        asset = rules.quote if order.side is Side.BUY else rules.base
        if reserve > account.balance(asset).free - self.unreleased(account, asset, now):
            raise Refused(Refusal.INSUFFICIENT_BALANCE)
        counter = self.clients.setdefault(order.client_order_id, ClientCounter())
        counter.executed += 1
        self._dirty.clients.add(order.client_order_id)
        trades = self._start(market, order, reserve, now)
        self._run_triggers(market, now)
        self._commit(now)
        return Placement(order, trades)

    def check(self, wanted: OrderRequest) -> None:
        """The stateless rules of the pair. Raises `Rejection`."""
        market, rules = self.markets[wanted.symbol], self.pairs[wanted.symbol]
        quantity = wanted.quote_quantity if wanted.quantity is None else wanted.quantity
        check(
            rules,
            wanted.side,
            market=wanted.type is OrderType.MARKET or wanted.price is None,
            quantity=quantity or ZERO,
            price=wanted.price,
            stop_price=wanted.stop_price,
            last=market.last,
            best=self._best(market, wanted.side),
        )

    def ask_cancel(self, account: str, order_id: int, now: int, delay_ms: int) -> TurkOrder:
        """Accept a cancel that takes effect `delay_ms` from now; until then the order may trade.

        A second one for a cancelled order, or one about to be, is accepted again (docs/btcturk.md §2.6).
        Raises `Refused`: no such order, or closed.
        """
        order = self.by_id.get(order_id)
        if order is None or order.account != account:
            raise Refused(Refusal.UNKNOWN_ORDER)
        if order.status is Status.FILLED or (order.is_market and not order.type.has_trigger):
            raise Refused(Refusal.CANCEL_RESTRICTED)
        if order.status.is_open and not order.cancel_at:
            order.cancel_at = now + delay_ms
            self.canceling[order_id] = order
            self._dirty.orders[(order.symbol, order_id)] = order
            if delay_ms <= 0:
                self._end(order, Status.CANCELED, "", now)
            self._commit(now)
        return order

    def finish_cancels(self, now: int) -> None:
        """Carry out the accepted cancels whose time has come."""
        for order in [order for order in self.canceling.values() if order.cancel_at <= now]:
            self._end(order, Status.CANCELED, "", now)
        self._commit(now)

    def recent(self, symbol: str) -> list[PublicTrade]:
        """The last public trades of a pair, newest first. Forgotten at a restart."""
        return list(reversed(self._ids.recent[symbol]))

    def executions(self, account: str, symbols: Iterable[str]) -> Iterator[TurkTrade]:
        """An account's trades, newest first."""
        rows = (self.trades(account, symbol) for symbol in symbols)
        found = [trade for row in rows for trade in row if isinstance(trade, TurkTrade)]
        return iter(sorted(found, key=lambda trade: trade.id, reverse=True))

    def set_depth(self, symbol: str, bids: Sequence[Level], asks: Sequence[Level], now: int) -> list[Fill]:
        """Set a pair's displayed depth. ValueError on a crossed or unsorted book, or off the pair's scales."""
        rules = self.pairs[symbol]
        for price, quantity in (*bids, *asks):
            if not fits(price, rules.price_scale) or not fits(quantity, rules.numerator_scale):
                raise ValueError(f"{symbol} takes {rules.price_scale} and {rules.numerator_scale} decimals")
        return super().set_depth(symbol, bids, asks, now)

    # -- inside --------------------------------------------------------------------------------------------------

    @staticmethod
    def _best(market: Market, side: Side) -> Decimal | None:
        """The price a taker on `side` meets first."""
        return market.book.best_ask() if side is Side.BUY else market.book.best_bid()

    def _new(self, request: OrderRequest, rules: PairRules, account: TurkAccount, now: int) -> TurkOrder:
        market = self.markets[request.symbol]
        at_market = request.type is OrderType.MARKET or request.price is None
        quantity = request.quantity
        if quantity is None:
            quantity = self._converted(market, rules, account, request)
        return TurkOrder(
            symbol=request.symbol,
            order_id=max(FIRST_ORDER_ID - 1, *(each.order_id for each in self.markets.values())) + 1,
            account=account.name,
            client_order_id=request.client_order_id or str(uuid.uuid4()),
            side=request.side,
            type=request.type,
            time_in_force=TimeInForce.IOC if at_market else TimeInForce.GTC,
            price=ZERO if at_market or request.price is None else request.price,
            quantity=quantity,
            quote_quantity=request.quote_quantity or ZERO,
            stop_price=request.stop_price or ZERO,
            self_trade=SelfTrade.NONE,
            time=now,
            update_time=now,
        )

    def _converted(self, market: Market, rules: PairRules, account: TurkAccount, request: OrderRequest) -> Decimal:
        """Base quantity of a market buy that names the quote amount to spend, commission and tax included.

        A stop, and an amount the protected part of the book is not worth, is converted at one price instead
        (docs/btcturk.md §4).
        """
        amount, best = request.quote_quantity or ZERO, self._best(market, request.side)
        taken, left = ZERO, amount
        if request.stop_price is None and best is not None:
            for price, size in market.book.available(request.side, best * (1 + PROTECTION), account.name):
                whole = price * size
                cost = whole + sum(fee_of(whole, account.taker_fee, account.tax_rate))
                if cost <= left:
                    taken, left = taken + size, left - cost
                    continue
                return taken + self._affordable(left, price, rules, account)
        price = request.stop_price or best or market.last
        return (amount / (1 + account.reserve_rate) / price).quantize(UNIT, ROUND_DOWN)

    @staticmethod
    def _affordable(amount: Decimal, price: Decimal, rules: PairRules, account: TurkAccount) -> Decimal:
        """The most that `amount` buys at one price with commission and tax, on the grid of market fills."""
        rate = account.taker_fee * (1 + account.tax_rate)
        quantity = (amount / (1 + rate) / price).quantize(rules.fill_unit, ROUND_DOWN)
        whole = price * quantity
        over = whole + sum(fee_of(whole, account.taker_fee, account.tax_rate)) - amount
        return quantity - (over / price).quantize(rules.fill_unit, ROUND_UP) if over > 0 else quantity

    def _reserve(self, order: TurkOrder) -> Decimal:
        """What an order has to set aside for what is left of it."""
        if order.side is Side.SELL:
            return order.leaves
        if order.is_market:
            return order.quote_quantity
        rate = self.holder(order.account).reserve_rate
        return (order.price * order.leaves * (1 + rate)).quantize(UNIT, ROUND_UP)

    def unreleased(self, account: TurkAccount, asset: str, now: int) -> Decimal:
        """What recent fills brought but cannot be spent yet (docs/btcturk.md §7, 16)."""
        since, total = now - self.settings.release_lag_ms, ZERO
        for market in self.markets.values():
            for trade in reversed(market.by_account.get(account.name, ())):
                if trade.time <= since:
                    break
                buys = trade.side is Side.BUY
                if asset == (market.rules.base if buys else market.rules.quote):
                    total += trade.quantity if buys else trade.quote_quantity - trade.commission
        return total

    def _start(self, market: Market, order: TurkOrder, reserve: Decimal, now: int) -> list[Trade]:
        """Book a new order and put it to work, or let it wait for its stop price; its trades as taker."""
        market.order_id = order.order_id
        self._index(order)
        self._lock(order, reserve)
        self._emit("NEW", order, now)
        if order.type.has_trigger:
            market.waiting[order.order_id] = order
            return []
        return self._work(market, order, now)

    @staticmethod
    def _limit_of(market: Market, order: Order) -> Decimal | None:
        if order.price:
            return order.price
        best = BtcturkVenue._best(market, order.side)
        if best is None:
            return None
        return best * (1 + PROTECTION if order.side is Side.BUY else 1 - PROTECTION)

    def _run_triggers(self, market: Market, now: int) -> None:
        """End stops whose price has come; each continues as a new order with a new id (docs/btcturk.md §3)."""
        while market.waiting:
            fired = next(
                (
                    order
                    for order in market.waiting.values()
                    if self._triggered(order.type, order.side, order.stop_price, market)
                ),
                None,
            )
            if fired is None:
                return
            self._end(fired, Status.CANCELED, "TRIGGERED", now)
            buys_for_quote = bool(fired.quote_quantity)
            again = self._new(
                OrderRequest(
                    account=fired.account,
                    symbol=fired.symbol,
                    side=fired.side,
                    type=OrderType.LIMIT if fired.price else OrderType.MARKET,
                    client_order_id=fired.client_order_id,
                    quantity=None if buys_for_quote else fired.quantity,
                    quote_quantity=fired.quote_quantity if buys_for_quote else None,
                    price=fired.price or None,
                ),
                self.pairs[fired.symbol],
                self.holder(fired.account),
                now,
            )
            again.origin = fired.order_id
            self._start(market, again, self._reserve(again), now)

    def _index(self, order: Order) -> None:
        super()._index(order)
        known = self.by_id[order.order_id] = cast(TurkOrder, order)
        if known.cancel_at and known.status.is_open:
            self.canceling[order.order_id] = known

    def _end(self, order: Order, status: Status, reason: str, now: int, cancel_client_id: str = "") -> None:
        self.canceling.pop(order.order_id, None)
        super()._end(order, status, reason, now, cancel_client_id)

    @staticmethod
    def _quote_of(fill: Fill) -> Decimal:
        return (fill.price * fill.quantity).quantize(UNIT, ROUND_DOWN)

    def _show(self, trade: PublicTrade) -> None:
        self._ids.recent[trade.symbol].append(trade)
        super()._show(trade)

    def _settle(self, market: Market, order: Order, fill: Fill, quote: Decimal, now: int, *, is_maker: bool) -> Trade:
        """Move base and quote; commission and tax are quote on either side (docs/btcturk.md §4)."""
        order = cast(TurkOrder, order)
        rules, account = market.rules, self.holder(order.account)
        rate = account.maker_fee if is_maker else account.taker_fee
        fee, tax = fee_of(quote, rate, account.tax_rate)
        if order.side is Side.BUY:
            paid = quote + fee + tax
            account.balance(rules.quote).locked -= paid
            account.balance(rules.base).free += fill.quantity
        else:
            paid = fill.quantity
            account.balance(rules.base).locked -= paid
            account.balance(rules.quote).free += quote - fee - tax
        order.locked -= paid
        self._pool("fees", rules.quote, fee + tax)
        self._dirty.balances.update(((account.name, rules.quote), (account.name, rules.base)))
        first = not order.executed
        order.executed += fill.quantity
        order.quote_executed += quote
        order.update_time = now
        self._ids.trade += 1
        trade = TurkTrade(
            order.symbol,
            self._ids.trade,
            order.order_id,
            order.account,
            order.side,
            fill.price,
            fill.quantity,
            quote,
            fee,
            rules.quote,
            now,
            is_maker,
            tax,
        )
        market.trades.setdefault(order.order_id, []).append(trade)
        market.by_account.setdefault(order.account, []).append(trade)
        self._dirty.trades.append(trade)
        self._dirty.orders[(order.symbol, order.order_id)] = order
        order.status = Status.PARTIALLY_FILLED if order.leaves else Status.FILLED
        if not order.leaves:
            self._end(order, Status.FILLED, "", now)
        elif not order.is_market:
            self._lock(order, self._reserve(order))
        self._emit("TRADE", order, now, trade=trade, first_fill=first)
        return trade

    # -- journal -------------------------------------------------------------------------------------------------

    @staticmethod
    def _read_trade(row: Sequence[Any]) -> Trade:
        plain = read_trade(row[:-1])
        known: dict[str, Any] = {name: getattr(plain, name) for name in Trade.__dataclass_fields__}
        return TurkTrade(**known, tax=Decimal(row[-1]))

    @staticmethod
    def _read_account(row: Mapping[str, Any]) -> Account:
        plain = Venue._read_account(row)
        return TurkAccount(
            plain.name,
            plain.api_key,
            plain.api_secret,
            plain.uid,
            plain.maker_fee,
            plain.taker_fee,
            updated=plain.updated,
            tax_rate=Decimal(row["tax_rate"]),
            permissions=tuple(row["permissions"]),
            ip=row["ip"],
        )

    @staticmethod
    def _account_row(account: Account) -> Entry:
        account = cast(TurkAccount, account)
        extra = {"tax_rate": str(account.tax_rate), "permissions": list(account.permissions), "ip": account.ip}
        return {**Venue._account_row(account), **extra}

    def _restore_markets(
        self, orders: Mapping[tuple[str, int], Order], trades: Iterable[Trade], depth: Mapping[str, Any]
    ) -> None:
        known = list(trades)
        super()._restore_markets(orders, known, depth)
        self._ids.trade = max((trade.id for trade in known), default=FIRST_TRADE_ID - 1)
