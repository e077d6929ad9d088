"""The exchange itself: accounts, books, orders, trades, exact balances. Knows no protocol and no clock.

Every public method takes the exchange time in epoch milliseconds and journals its change before it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from exchanges.matching import (
    Book,
    EndReason,
    Fill,
    Incoming,
    Level,
    SelfTrade,
    Side,
    TimeInForce,
    cost_of,
    quantity_for_quote,
)
from exchanges.simulator.accounts import ZERO, Account, Balance, down, up
from exchanges.simulator.filters import SymbolRules
from exchanges.simulator.journal import Entry
from exchanges.simulator.market import SYMBOLS, Walk, ladder

BNB_DISCOUNT = Decimal("0.75")
"""Share of the standard commission that is paid when it is taken in BNB."""


class OrderType(StrEnum):
    """Order types this venue offers."""

    LIMIT = "LIMIT"
    MARKET = "MARKET"
    LIMIT_MAKER = "LIMIT_MAKER"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def has_trigger(self) -> bool:
        """Whether the order waits for its stop price."""
        return self in (OrderType.STOP_LOSS_LIMIT, OrderType.TAKE_PROFIT_LIMIT)


class Status(StrEnum):
    """Order status; the first two are open."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"

    @property
    def is_open(self) -> bool:
        """Whether the order may still trade."""
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class SymbolStatus(StrEnum):
    """What may be done with a symbol: only in TRADING do orders come in and the market moves."""

    TRADING = "TRADING"
    END_OF_DAY = "END_OF_DAY"
    HALT = "HALT"
    BREAK = "BREAK"
    CANCEL_ONLY = "CANCEL_ONLY"

    @property
    def takes_changes(self) -> bool:
        """Whether open orders may be canceled and amended."""
        return self in (SymbolStatus.TRADING, SymbolStatus.CANCEL_ONLY)


class Refusal(StrEnum):
    """Why the venue refuses a request; a protocol face words it."""

    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    DUPLICATE_CLIENT_ID = "DUPLICATE_CLIENT_ID"
    WOULD_TAKE = "WOULD_TAKE"
    WOULD_TRIGGER = "WOULD_TRIGGER"
    MAX_NUM_ORDERS = "MAX_NUM_ORDERS"
    MAX_NUM_ALGO_ORDERS = "MAX_NUM_ALGO_ORDERS"
    THIN_BOOK = "THIN_BOOK"
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    CANCEL_RESTRICTED = "CANCEL_RESTRICTED"
    MARKET_CLOSED = "MARKET_CLOSED"
    AMEND_INCREASE = "AMEND_INCREASE"
    NO_CHANGE = "NO_CHANGE"
    MAX_NUM_ORDER_AMENDS = "MAX_NUM_ORDER_AMENDS"


class Refused(Exception):
    """A request the venue does not carry out; nothing has changed."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(slots=True, frozen=True)
class OrderRequest:
    """A new order as a protocol face understood it. `quantity` in base, or for MARKET `quote_quantity` in quote."""

    account: str
    symbol: str
    side: Side
    type: OrderType
    client_order_id: str | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    quantity: Decimal | None = None
    quote_quantity: Decimal | None = None
    price: Decimal | None = None
    stop_price: Decimal | None = None
    self_trade: SelfTrade = SelfTrade.EXPIRE_MAKER
    strategy_id: int | None = None
    strategy_type: int | None = None


@dataclass(slots=True)
class Order:
    """One order and all that is known of it. Times in epoch ms; `locked` is what it has set aside right now."""

    symbol: str
    order_id: int
    account: str
    client_order_id: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    stop_price: Decimal
    self_trade: SelfTrade
    time: int
    update_time: int
    status: Status = Status.NEW
    executed: Decimal = ZERO
    quote_executed: Decimal = ZERO
    locked: Decimal = ZERO
    working_time: int = -1
    end_reason: str = ""
    strategy_id: int | None = None
    strategy_type: int | None = None
    amends: int = 0

    @property
    def leaves(self) -> Decimal:
        """Quantity that has not traded."""
        return self.quantity - self.executed


@dataclass(slots=True, frozen=True)
class Trade:
    """One account's side of a trade. `id` is unique per symbol; a self-trade has two rows under one id."""

    symbol: str
    id: int
    order_id: int
    account: str
    side: Side
    price: Decimal
    quantity: Decimal
    quote_quantity: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    is_maker: bool


@dataclass(slots=True, frozen=True)
class PublicTrade:
    """A trade as everybody sees it; `side` is the aggressor's."""

    id: int
    symbol: str
    price: Decimal
    quantity: Decimal
    side: Side
    time: int


@dataclass(slots=True, frozen=True)
class Amendment:
    """One lowered quantity of an order, which may have renamed it."""

    symbol: str
    order_id: int
    execution_id: int
    old_client_id: str
    new_client_id: str
    old_quantity: Decimal
    new_quantity: Decimal
    time: int


@dataclass(slots=True, frozen=True)
class Prevented:
    """A match that self-trade prevention stopped, and the order it would have been with."""

    id: int
    counter_id: int
    quantity: Decimal
    price: Decimal


@dataclass(slots=True, frozen=True)
class BalanceEvent:
    """Assets of an account that one change has touched; `transfers` are amounts that came from or went outside."""

    account: Account
    assets: tuple[str, ...]
    transfers: tuple[tuple[str, Decimal], ...]
    time: int


@dataclass(slots=True, frozen=True)
class OrderEvent:
    """Something that happened to an order. Read the order at once.

    `kind` is NEW, TRIGGERED (a stop order goes to work), TRADE, REPLACED (amended), CANCELED or EXPIRED.
    """

    kind: str
    order: Order
    execution_id: int
    time: int
    trade: Trade | None = None
    cancel_client_id: str = ""
    first_fill: bool = False
    previous_client_id: str = ""
    prevented: Prevented | None = None


@dataclass(slots=True)
class Placement:
    """Outcome of an accepted order: its state and the trades it made as taker."""

    order: Order
    trades: list[Trade]


class Market:
    """One symbol: rules, walk, book, orders, trades and counters."""

    def __init__(self, rules: SymbolRules, seed: int) -> None:
        self.rules = rules
        self.walk = Walk(rules, seed)
        self.book = Book()
        self.last = rules.start_price
        self.orders: dict[int, Order] = {}
        self.owned: dict[str, list[Order]] = {}
        self.trades: dict[int, list[Trade]] = {}
        self.by_account: dict[str, list[Trade]] = {}
        self.waiting: dict[int, Order] = {}
        self.amendments: dict[int, list[Amendment]] = {}
        self.status = SymbolStatus.TRADING
        self.order_id = self.trade_id = self.execution_id = 0
        self.book.set_depth(*self.walk.depth())


@dataclass(slots=True)
class ClientCounter:
    """How often one client order id was received on the wire (signature valid) and accepted for execution."""

    received: int = 0
    executed: int = 0


@dataclass(slots=True)
class _Dirty:
    """What the change in hand has touched and the journal has not seen yet."""

    accounts: set[str] = field(default_factory=set)
    orders: dict[tuple[str, int], Order] = field(default_factory=dict)
    trades: list[Trade] = field(default_factory=list)
    amendments: list[Amendment] = field(default_factory=list)
    balances: set[tuple[str, str]] = field(default_factory=set)
    transfers: list[tuple[str, str, Decimal]] = field(default_factory=list)
    clients: set[str] = field(default_factory=set)
    pools: bool = False
    markets: set[str] = field(default_factory=set)
    taken: dict[str, set[tuple[Side, Decimal]]] = field(default_factory=dict)


class Venue:
    """All state of the simulated exchange. One thread, one change at a time."""

    order_kind: type[Order] = Order

    def __init__(
        self, seed: int, record: Callable[[Entry], None] | None = None, symbols: Iterable[SymbolRules] = SYMBOLS
    ) -> None:
        self._seed = seed
        self._record = record
        self._rules = tuple(symbols)
        self.listeners: list[Callable[[OrderEvent], None]] = []
        self.balance_listeners: list[Callable[[BalanceEvent], None]] = []
        self.trade_listeners: list[Callable[[PublicTrade], None]] = []
        self.frozen = False
        self._clear()

    def _clear(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.by_key: dict[str, Account] = {}
        self.markets: dict[str, Market] = {rules.symbol: Market(rules, self._seed) for rules in self._rules}
        self.open: dict[tuple[str, str], dict[int, Order]] = {}
        self.open_ids: dict[tuple[str, str, str], Order] = {}
        self.latest_ids: dict[tuple[str, str, str], Order] = {}
        self.clients: dict[str, ClientCounter] = {}
        self.calls: dict[str, int] = {}
        self.pools: dict[str, dict[str, Decimal]] = {"deposits": {}, "market": {}, "fees": {}}
        self._dirty = _Dirty()
        self._prevented: Prevented | None = None

    # -- accounts ------------------------------------------------------------------------------------------------

    def add_account(
        self,
        name: str,
        api_key: str,
        api_secret: str,
        balances: Mapping[str, Decimal],
        now: int,
        *,
        maker_fee: Decimal = Decimal("0.001"),
        taker_fee: Decimal = Decimal("0.001"),
        bnb_fees: bool = False,
    ) -> tuple[Account, bool]:
        """Create an account, or return the one of that name unchanged; the flag says whether it is new.

        Raises ValueError when the API key belongs to another account.
        """
        existing = self.accounts.get(name)
        if existing is not None:
            return existing, False
        if api_key in self.by_key:
            raise ValueError("api_key is in use by another account")
        account = Account(
            name, api_key, api_secret, 1000 + len(self.accounts), maker_fee, taker_fee, bnb_fees, updated=now
        )
        self.accounts[name] = self.by_key[api_key] = account
        self._dirty.accounts.add(name)
        for asset, amount in balances.items():
            self._deposit(account, asset, amount)
        self._commit(now)
        return account, True

    def set_public_key(self, name: str, public_key: str, now: int) -> None:
        """Let an account sign with a private key from now on; the text is its public half."""
        self.accounts[name].public_key = public_key
        self._dirty.accounts.add(name)
        self._commit(now)

    def deposit(self, name: str, balances: Mapping[str, Decimal], now: int) -> Account:
        """Add to (or, negative, withdraw from) the free balances. Raises ValueError when free would go below zero."""
        account = self.accounts[name]
        for asset, amount in balances.items():
            if account.balance(asset).free + amount < 0:
                raise ValueError(f"not enough free {asset}")
        for asset, amount in balances.items():
            self._deposit(account, asset, amount)
        self._commit(now)
        return account

    def set_fees(self, name: str, maker: Decimal | None, taker: Decimal | None, bnb: bool | None, now: int) -> Account:
        """Change an account's fee rates (fractions) or its BNB fee switch."""
        account = self.accounts[name]
        account.maker_fee = account.maker_fee if maker is None else maker
        account.taker_fee = account.taker_fee if taker is None else taker
        account.bnb_fees = account.bnb_fees if bnb is None else bnb
        self._dirty.accounts.add(name)
        self._commit(now)
        return account

    def _deposit(self, account: Account, asset: str, amount: Decimal) -> None:
        account.balance(asset).free += amount
        self._dirty.balances.add((account.name, asset))
        self._dirty.transfers.append((account.name, asset, amount))
        self._pool("deposits", asset, amount)

    def _pool(self, pool: str, asset: str, amount: Decimal) -> None:
        totals = self.pools[pool]
        totals[asset] = totals.get(asset, ZERO) + amount
        self._dirty.pools = True

    # -- counters ------------------------------------------------------------------------------------------------

    def note_received(self, client_order_id: str, now: int) -> None:
        """Count a placement that reached the exchange with a valid signature, whatever becomes of it."""
        self.clients.setdefault(client_order_id, ClientCounter()).received += 1
        self._dirty.clients.add(client_order_id)
        self._commit(now)

    def note_call(self, call: str) -> None:
        """Count one HTTP call by method and path."""
        self.calls[call] = count = self.calls.get(call, 0) + 1
        if self._record is not None:
            self._record({"calls": {call: count}})

    # -- orders --------------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, now: int) -> Placement:
        """Carry out a new order whose stateless filters have passed. Raises `Refused`, then nothing has changed.

        Client order ids are unique among the account's open orders of the symbol only (docs/binance.md §3.2).
        """
        account = self.accounts[request.account]
        market = self.markets[request.symbol]
        key = (account.name, request.symbol)
        client_id = request.client_order_id or f"sim-{request.symbol}-{market.order_id + 1}"
        if market.status is not SymbolStatus.TRADING:
            raise Refused(Refusal.MARKET_CLOSED)
        if (*key, client_id) in self.open_ids:
            raise Refused(Refusal.DUPLICATE_CLIENT_ID)
        self.check_counts(market, request)
        if request.stop_price is not None and self._triggered(request.type, request.side, request.stop_price, market):
            raise Refused(Refusal.WOULD_TRIGGER)
        quantity, reserve = self._size(market, account, request)
        asset = market.rules.quote if request.side is Side.BUY else market.rules.base
        if reserve > account.balance(asset).free:
            raise Refused(Refusal.INSUFFICIENT_BALANCE)
        post_only = request.type is OrderType.LIMIT_MAKER and request.price is not None
        if post_only and self._would_take(market, request.side, request.price or ZERO):
            raise Refused(Refusal.WOULD_TAKE)
        market.order_id += 1
        order = Order(
            symbol=request.symbol,
            order_id=market.order_id,
            account=account.name,
            client_order_id=client_id,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            price=request.price or ZERO,
            quantity=quantity,
            quote_quantity=request.quote_quantity or ZERO,
            stop_price=request.stop_price or ZERO,
            self_trade=request.self_trade,
            time=now,
            update_time=now,
            strategy_id=request.strategy_id,
            strategy_type=request.strategy_type,
        )
        self._index(order)
        self._lock(order, reserve)
        counter = self.clients.setdefault(client_id, ClientCounter())
        counter.executed += 1
        self._dirty.clients.add(client_id)
        self._emit("NEW", order, now)
        trades: list[Trade] = []
        if order.type.has_trigger:
            market.waiting[order.order_id] = order
        else:
            trades = self._work(market, order, now)
            self._run_triggers(market, now)
        self._commit(now)
        return Placement(order, trades)

    def cancel(
        self,
        account: str,
        symbol: str,
        now: int,
        *,
        order_id: int | None = None,
        client_order_id: str | None = None,
        cancel_client_id: str = "",
        only: Status | None = None,
    ) -> Order:
        """Cancel one open order. Raises `Refused`: not open, ids that disagree, or not in status `only`."""
        order = self.find(account, symbol, order_id=order_id, client_order_id=client_order_id)
        if order is None or not order.status.is_open:
            raise Refused(Refusal.UNKNOWN_ORDER)
        if not self.markets[symbol].status.takes_changes:
            raise Refused(Refusal.MARKET_CLOSED)
        if only is not None and order.status is not only:
            raise Refused(Refusal.CANCEL_RESTRICTED)
        self._end(order, Status.CANCELED, "", now, cancel_client_id)
        self._commit(now)
        return order

    def cancel_all(self, account: str, symbol: str, now: int, cancel_client_id: str = "") -> list[Order]:
        """Cancel all open orders of an account on a symbol, oldest first."""
        orders = list(self.open.get((account, symbol), {}).values())
        if orders and not self.markets[symbol].status.takes_changes:
            raise Refused(Refusal.MARKET_CLOSED)
        for order in orders:
            self._end(order, Status.CANCELED, "", now, cancel_client_id)
        self._commit(now)
        return orders

    def amend(
        self,
        account: str,
        symbol: str,
        quantity: Decimal,
        now: int,
        *,
        new_client_id: str,
        order_id: int | None = None,
        client_order_id: str | None = None,
    ) -> tuple[Order, Amendment]:
        """Lower an open order's quantity (base); it keeps its place in the book and is called `new_client_id` then.

        Down to what has been executed or less it ends as expired. Raises `Refused`, then nothing has changed.
        """
        market = self.markets[symbol]
        order = self.find(account, symbol, order_id=order_id, client_order_id=client_order_id)
        if order is None or not order.status.is_open:
            raise Refused(Refusal.UNKNOWN_ORDER)
        if not market.status.takes_changes:
            raise Refused(Refusal.MARKET_CLOSED)
        if quantity > order.quantity:
            raise Refused(Refusal.AMEND_INCREASE)
        if quantity == order.quantity:
            raise Refused(Refusal.NO_CHANGE)
        if order.amends >= market.rules.max_amends:
            raise Refused(Refusal.MAX_NUM_ORDER_AMENDS)
        old_id, old_quantity = order.client_order_id, order.quantity
        if new_client_id != old_id:
            self._rename(order, new_client_id)
        order.amends += 1
        order.update_time = now
        order.quantity = max(quantity, order.executed)
        self._dirty.orders[(symbol, order.order_id)] = order
        if order.leaves:
            market.book.reduce(order.order_id, order.leaves)
            self._lock(order, up(order.price * order.leaves) if order.side is Side.BUY else order.leaves)
        self._emit("REPLACED", order, now, previous_client_id=old_id)
        amendment = Amendment(
            symbol, order.order_id, market.execution_id, old_id, new_client_id, old_quantity, order.quantity, now
        )
        market.amendments.setdefault(order.order_id, []).append(amendment)
        self._dirty.amendments.append(amendment)
        if not order.leaves:
            self._end(order, Status.EXPIRED, "", now)
        self._commit(now)
        return order, amendment

    def _rename(self, order: Order, client_order_id: str) -> None:
        key = (order.account, order.symbol)
        if (*key, client_order_id) in self.open_ids:
            raise Refused(Refusal.DUPLICATE_CLIENT_ID)
        del self.open_ids[(*key, order.client_order_id)]
        if self.latest_ids.get((*key, order.client_order_id)) is order:
            del self.latest_ids[(*key, order.client_order_id)]
        order.client_order_id = client_order_id
        self.open_ids[(*key, client_order_id)] = self.latest_ids[(*key, client_order_id)] = order

    def find(
        self, account: str, symbol: str, *, order_id: int | None = None, client_order_id: str | None = None
    ) -> Order | None:
        """Look an order up by id, then client id; with both, they must agree. The newest wins a reused client id."""
        if order_id is not None:
            order = self.markets[symbol].orders.get(order_id)
            if order is None or order.account != account:
                return None
            return order if client_order_id is None or order.client_order_id == client_order_id else None
        key = (account, symbol, client_order_id or "")
        return self.open_ids.get(key) or self.latest_ids.get(key)

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        """Open orders of an account, by symbol, oldest first."""
        symbols = [symbol] if symbol is not None else list(self.markets)
        return [order for name in symbols for order in self.open.get((account, name), {}).values()]

    def orders(self, account: str | None = None, symbol: str | None = None) -> list[Order]:
        """All orders ever accepted, by symbol, oldest first."""
        markets = [self.markets[symbol]] if symbol is not None else self.markets.values()
        if account is not None:
            return [order for market in markets for order in market.owned.get(account, ())]
        return [order for market in markets for order in market.orders.values()]

    def trades(self, account: str, symbol: str) -> list[Trade]:
        """An account's trades on a symbol, oldest first."""
        return self.markets[symbol].by_account.get(account, [])

    # -- market --------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Let every symbol that is trading take one step of its walk."""
        for market in self.markets.values():
            if market.status is SymbolStatus.TRADING:
                self._set_depth(market, *market.walk.step(), now)
        self._commit(now)

    def set_depth(self, symbol: str, bids: Sequence[Level], asks: Sequence[Level], now: int) -> list[Fill]:
        """Set a symbol's displayed depth; the walk goes on from there. ValueError on a crossed or unsorted book."""
        market = self.markets[symbol]
        fills = self._set_depth(market, bids, asks, now)
        market.walk.recenter(market.last)
        self._dirty.markets.add(symbol)
        self._commit(now)
        return fills

    def quote(self, symbol: str, bid: Decimal, ask: Decimal, quantity: Decimal | None, now: int) -> list[Fill]:
        """Set a symbol's depth to equal levels around a best bid and ask."""
        rules = self.markets[symbol].rules
        bids, asks = ladder(rules, bid, ask, rules.depth_quantity if quantity is None else quantity)
        return self.set_depth(symbol, bids, asks, now)

    def trade_print(
        self, symbol: str, price: Decimal, quantity: Decimal, aggressor: Side, now: int
    ) -> tuple[list[Fill], Decimal]:
        """A market trade that fills resting orders at or through its price; returns fills and unused quantity."""
        market = self.markets[symbol]
        fills, unused = market.book.trade_print(price, quantity, aggressor)
        self._book_fills(market, fills, now)
        if unused:
            market.trade_id += 1
            self._show(PublicTrade(market.trade_id, symbol, price, unused, aggressor, now))
        market.last = price
        self._dirty.markets.add(symbol)
        self._run_triggers(market, now)
        self._commit(now)
        return fills, unused

    def fill_order(self, order: Order, quantity: Decimal, now: int) -> None:
        """Fill a resting order from the market out of turn, at its own price."""
        market = self.markets[order.symbol]
        self._book_fills(market, market.book.fill_order(order.order_id, quantity), now)
        self._run_triggers(market, now)
        self._commit(now)

    def set_status(self, symbol: str, status: SymbolStatus, now: int) -> None:
        """Open or close a symbol for trading."""
        self.markets[symbol].status = status
        self._dirty.markets.add(symbol)
        self._commit(now)

    def set_frozen(self, frozen: bool, now: int) -> None:
        """Stop or start the walk of all symbols."""
        self.frozen = frozen
        self._dirty.markets.update(self.markets)
        self._commit(now)

    def reset(self, now: int) -> None:
        """Forget everything: accounts, orders, trades, counters, and the market back to its seed."""
        self._clear()
        if self._record is not None:
            self._record({"reset": now})

    # -- inside: orders ------------------------------------------------------------------------------------------

    def check_counts(self, market: Market, request: OrderRequest) -> None:
        """Raises `Refused` when the account has as many open orders on the symbol as it may."""
        working = self.open.get((request.account, request.symbol))
        if not working:
            return
        if len(working) >= market.rules.max_orders:
            raise Refused(Refusal.MAX_NUM_ORDERS)
        if request.type.has_trigger:
            algos = sum(1 for order in working.values() if order.type.has_trigger)
            if algos >= market.rules.max_algo_orders:
                raise Refused(Refusal.MAX_NUM_ALGO_ORDERS)

    def _size(self, market: Market, account: Account, request: OrderRequest) -> tuple[Decimal, Decimal]:
        """Quantity in base and the amount to set aside, in quote for BUY and base for SELL."""
        rules, buys = market.rules, request.side is Side.BUY
        levels = market.book.available(request.side, None, account.name, request.self_trade)
        if request.quantity is not None:
            if request.price is not None:
                cost = request.price * request.quantity
            else:
                cost = cost_of(levels, request.quantity).cost
            return request.quantity, up(cost) if buys else request.quantity
        amount = request.quote_quantity or ZERO
        walked = list(levels)
        sizing = quantity_for_quote(walked, amount, rules.step)
        most = rules.market_max_quantity // rules.step * rules.step
        if buys and amount <= account.balance(rules.quote).free < up(sizing.cost):
            # The nearest grid point costs more than the account holds; the one below is the nearest it can pay.
            most = min(most, sizing.quantity - rules.step)
        if sizing.quantity > most:
            sizing = cost_of(walked, most)
        if sizing.quantity < rules.min_quantity:
            raise Refused(Refusal.THIN_BOOK)
        return sizing.quantity, up(sizing.cost) if buys else sizing.quantity

    @staticmethod
    def _would_take(market: Market, side: Side, price: Decimal) -> bool:
        if side is Side.BUY:
            best = market.book.best_ask()
            return best is not None and price >= best
        best = market.book.best_bid()
        return best is not None and price <= best

    @staticmethod
    def _triggered(kind: OrderType, side: Side, stop_price: Decimal, market: Market) -> bool:
        """STOP_LOSS BUY and TAKE_PROFIT SELL fire above, the others below the last price (docs/binance.md §2.2)."""
        fires_above = (kind is OrderType.STOP_LOSS_LIMIT) is (side is Side.BUY)
        return market.last >= stop_price if fires_above else market.last <= stop_price

    def _index(self, order: Order) -> None:
        key = (order.account, order.symbol)
        market = self.markets[order.symbol]
        market.orders[order.order_id] = order
        market.owned.setdefault(order.account, []).append(order)
        self.latest_ids[(*key, order.client_order_id)] = order
        if order.status.is_open:
            self.open.setdefault(key, {})[order.order_id] = order
            self.open_ids[(*key, order.client_order_id)] = order
        self._dirty.orders[(order.symbol, order.order_id)] = order

    def _lock(self, order: Order, target: Decimal) -> None:
        """Set aside exactly `target` for the order, moving the difference from or to the free balance."""
        if order.locked == target:
            return
        rules = self.markets[order.symbol].rules
        asset = rules.quote if order.side is Side.BUY else rules.base
        balance = self.accounts[order.account].balance(asset)
        balance.free += order.locked - target
        balance.locked += target - order.locked
        order.locked = target
        self._dirty.balances.add((order.account, asset))

    def _work(self, market: Market, order: Order, now: int) -> list[Trade]:
        """Hand an order to the book and book what comes of it; returns its trades as taker."""
        order.working_time = now
        outcome = market.book.submit(
            Incoming(
                order.order_id,
                order.account,
                order.side,
                order.leaves,
                self._limit_of(market, order),
                order.time_in_force,
                order.type is OrderType.LIMIT_MAKER,
                order.self_trade,
            )
        )
        trades = self._book_fills(market, outcome.fills, now, order)
        for maker_id in outcome.expired_makers:
            self._end_in_match(market, market.orders[maker_id], order, now)
        if outcome.end is EndReason.SELF_TRADE:
            met = market.orders[outcome.expired_makers[-1]] if outcome.expired_makers else self._own_best(market, order)
            self._end_in_match(market, order, met, now)
        elif outcome.end is not None:
            self._end(order, Status.EXPIRED, outcome.end, now)
        return trades

    @staticmethod
    def _limit_of(market: Market, order: Order) -> Decimal | None:
        """The worst price an order may trade at; None for any."""
        return None if order.type is OrderType.MARKET else order.price

    def _own_best(self, market: Market, order: Order) -> Order:
        """The account's own resting order that a taker of the other side meets first."""
        sign = 1 if order.side is Side.BUY else -1
        own = self.open[(order.account, order.symbol)].values()
        resting = [other for other in own if other.side is not order.side and market.book.resting(other.order_id)]
        return min(resting, key=lambda other: (sign * other.price, other.working_time, other.order_id))

    def _end_in_match(self, market: Market, order: Order, counter: Order, now: int) -> None:
        """Close an order that self-trade prevention kept from trading with `counter`, at the resting one's price."""
        price = min(order, counter, key=lambda each: each.order_id).price
        quantity = min(order.leaves, counter.leaves)
        self._prevented = Prevented(market.execution_id + 1, counter.order_id, quantity, price)
        self._end(order, Status.EXPIRED_IN_MATCH, EndReason.SELF_TRADE, now)
        self._prevented = None

    def _end(self, order: Order, status: Status, reason: str, now: int, cancel_client_id: str = "") -> None:
        """Close an order and release what it had set aside."""
        order.status = status
        order.end_reason = reason
        order.update_time = now
        self._lock(order, ZERO)
        key = (order.account, order.symbol)
        market = self.markets[order.symbol]
        market.book.cancel(order.order_id)
        market.waiting.pop(order.order_id, None)
        self.open[key].pop(order.order_id, None)
        self.open_ids.pop((*key, order.client_order_id), None)
        self._dirty.orders[(order.symbol, order.order_id)] = order
        if status is Status.FILLED:
            return
        kind = "CANCELED" if status is Status.CANCELED else "EXPIRED"
        self._emit(kind, order, now, cancel_client_id=cancel_client_id)

    def _emit(
        self,
        kind: str,
        order: Order,
        now: int,
        *,
        trade: Trade | None = None,
        cancel_client_id: str = "",
        first_fill: bool = False,
        previous_client_id: str = "",
    ) -> None:
        market = self.markets[order.symbol]
        market.execution_id += 1
        if self.listeners:
            event = OrderEvent(
                kind,
                order,
                market.execution_id,
                now,
                trade,
                cancel_client_id,
                first_fill,
                previous_client_id,
                self._prevented,
            )
            for listener in self.listeners:
                listener(event)

    # -- inside: market ------------------------------------------------------------------------------------------

    def _set_depth(self, market: Market, bids: Sequence[Level], asks: Sequence[Level], now: int) -> list[Fill]:
        fills = market.book.set_depth(bids, asks)
        self._book_fills(market, fills, now)
        bid, ask = market.book.best_bid(), market.book.best_ask()
        if bid is not None and market.last < bid:
            market.last = bid
        if ask is not None and market.last > ask:
            market.last = ask
        self._run_triggers(market, now)
        return fills

    def _run_triggers(self, market: Market, now: int) -> None:
        """Put stop orders to work whose price has come, oldest first, until none is left to fire."""
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
            del market.waiting[fired.order_id]
            fired.update_time = fired.working_time = now
            self._dirty.orders[(fired.symbol, fired.order_id)] = fired
            self._emit("TRIGGERED", fired, now)
            self._work(market, fired, now)

    def _book_fills(self, market: Market, fills: Sequence[Fill], now: int, taker: Order | None = None) -> list[Trade]:
        """Give every fill a trade id and settle both of its sides; returns the taker's trades."""
        taken: list[Trade] = []
        first = market.trade_id + 1
        for fill in fills:
            market.trade_id += 1
            market.last = fill.price
            quote = self._quote_of(fill)
            if taker is not None:
                taken.append(self._settle(market, taker, fill, quote, now, is_maker=False))
            else:
                self._settle_market(market, fill.taker_side, fill.quantity, quote)
            if fill.maker_id is not None:
                self._settle(market, market.orders[fill.maker_id], fill, quote, now, is_maker=True)
            else:
                self._settle_market(market, fill.taker_side.opposite, fill.quantity, quote)
            if fill.maker_id is None or taker is None:
                shown = fill.taker_side.opposite if fill.maker_id is None else fill.taker_side
                self._dirty.taken.setdefault(market.rules.symbol, set()).add((shown, fill.price))
        for number, fill in enumerate(fills, first):
            self._show(PublicTrade(number, market.rules.symbol, fill.price, fill.quantity, fill.taker_side, now))
        return taken

    def _show(self, trade: PublicTrade) -> None:
        """Let everybody see a trade."""
        for listener in self.trade_listeners:
            listener(trade)

    @staticmethod
    def _quote_of(fill: Fill) -> Decimal:
        """What a fill is worth in quote, as it is booked."""
        return down(fill.price * fill.quantity)

    def _settle_market(self, market: Market, side: Side, quantity: Decimal, quote: Decimal) -> None:
        sign = 1 if side is Side.BUY else -1
        self._pool("market", market.rules.base, sign * quantity)
        self._pool("market", market.rules.quote, -sign * quote)

    def _settle(self, market: Market, order: Order, fill: Fill, quote: Decimal, now: int, *, is_maker: bool) -> Trade:
        """Move one account's base, quote and fee for one fill and release what the order no longer needs."""
        rules = market.rules
        account = self.accounts[order.account]
        buys = order.side is Side.BUY
        paid_asset, paid = (rules.quote, quote) if buys else (rules.base, fill.quantity)
        got_asset, got = (rules.base, fill.quantity) if buys else (rules.quote, quote)
        account.balance(paid_asset).locked -= paid
        order.locked -= paid
        account.balance(got_asset).free += got
        rate = account.maker_fee if is_maker else account.taker_fee
        fee_asset, fee = self._commission(account, got_asset, got, rate)
        account.balance(fee_asset).free -= fee
        self._pool("fees", fee_asset, fee)
        self._dirty.balances.update(((account.name, paid_asset), (account.name, got_asset), (account.name, fee_asset)))
        first = not order.executed
        order.executed += fill.quantity
        order.quote_executed += quote
        order.update_time = now
        trade = Trade(
            order.symbol,
            market.trade_id,
            order.order_id,
            order.account,
            order.side,
            fill.price,
            fill.quantity,
            quote,
            fee,
            fee_asset,
            now,
            is_maker,
        )
        market.trades.setdefault(order.order_id, []).append(trade)
        market.by_account.setdefault(order.account, []).append(trade)
        self._dirty.trades.append(trade)
        self._dirty.orders[(order.symbol, order.order_id)] = order
        order.status = Status.PARTIALLY_FILLED if order.leaves else Status.FILLED
        if not order.leaves:
            self._end(order, Status.FILLED, "", now)
        elif order.type is not OrderType.MARKET:
            self._lock(order, up(order.price * order.leaves) if buys else order.leaves)
        self._emit("TRADE", order, now, trade=trade, first_fill=first)
        return trade

    def _commission(self, account: Account, asset: str, amount: Decimal, rate: Decimal) -> tuple[str, Decimal]:
        """Asset and amount of a fill's fee: BNB at a discount when switched on and enough is free, else received.

        Decided per fill: an order whose fees use up the BNB goes on in the received asset (docs/binance.md §2.4).
        """
        if account.bnb_fees and rate:
            value = self.value_in_bnb(asset, amount)
            if value is not None:
                fee = down(value * rate * BNB_DISCOUNT)
                if fee <= account.balance("BNB").free:
                    return "BNB", fee
        return asset, down(amount * rate)

    def value_in_bnb(self, asset: str, amount: Decimal) -> Decimal | None:
        """Worth in BNB at last prices through USDT, or None without a price."""
        bnb = self.markets.get("BNBUSDT")
        if bnb is None:
            return None
        if asset == "BNB":
            return amount
        if asset == "USDT":
            return amount / bnb.last
        priced = self.markets.get(f"{asset}USDT")
        return None if priced is None else amount * priced.last / bnb.last

    # -- inside: journal -----------------------------------------------------------------------------------------

    def _commit(self, now: int) -> None:
        """Journal what the change touched, with absolute values, and forget it."""
        dirty, self._dirty = self._dirty, _Dirty()
        for name, _ in dirty.balances:
            self.accounts[name].updated = now
        if self.balance_listeners and dirty.balances:
            self._tell_balances(dirty, now)
        if self._record is None:
            return
        entry: Entry = {}
        if dirty.accounts:
            entry["accounts"] = [self._account_row(self.accounts[name]) for name in sorted(dirty.accounts)]
        if dirty.balances:
            entry["balances"] = [self._balance_row(*key) for key in sorted(dirty.balances)]
        if dirty.orders:
            entry["orders"] = [_row(order) for order in dirty.orders.values()]
        if dirty.trades:
            entry["trades"] = [_row(trade) for trade in dirty.trades]
        if dirty.amendments:
            entry["amendments"] = [_row(amendment) for amendment in dirty.amendments]
        if dirty.clients:
            entry["clients"] = {
                name: [self.clients[name].received, self.clients[name].executed] for name in dirty.clients
            }
        if dirty.pools:
            entry["pools"] = self._pools_row()
        touched = dirty.markets | {symbol for symbol, _ in dirty.orders}
        if touched:
            entry["markets"] = {name: self._market_row(name, full=name in dirty.markets) for name in touched}
            entry["frozen"] = self.frozen
        if self.frozen:
            # A standing market is restored to what is left of it; a moving one shows new depth anyway.
            for symbol, levels in dirty.taken.items():
                book = self.markets[symbol].book
                entry["markets"][symbol]["taken"] = [
                    [int(side is Side.SELL), str(price), str(book.depth_at(side, price))] for side, price in levels
                ]
        if entry:
            entry["t"] = now
            self._record(entry)

    def _tell_balances(self, dirty: _Dirty, now: int) -> None:
        for name in sorted({name for name, _ in dirty.balances}):
            assets = tuple(sorted(asset for owner, asset in dirty.balances if owner == name))
            transfers = tuple((asset, amount) for owner, asset, amount in dirty.transfers if owner == name)
            event = BalanceEvent(self.accounts[name], assets, transfers, now)
            for listener in self.balance_listeners:
                listener(event)

    def _balance_row(self, name: str, asset: str) -> list[str]:
        balance = self.accounts[name].balance(asset)
        return [name, asset, str(balance.free), str(balance.locked)]

    def _pools_row(self) -> dict[str, dict[str, str]]:
        return {pool: {asset: str(total) for asset, total in totals.items()} for pool, totals in self.pools.items()}

    def _market_row(self, symbol: str, *, full: bool) -> Entry:
        market = self.markets[symbol]
        row: Entry = {
            "last": str(market.last),
            "ids": [market.order_id, market.trade_id, market.execution_id],
        }
        if full:
            row["status"] = market.status.value
            sides = (market.book.depth(Side.BUY), market.book.depth(Side.SELL)) if self.frozen else None
            row["depth"] = sides and [[[str(price), str(size)] for price, size in side] for side in sides]
        return row

    def snapshot(self) -> Iterator[Entry]:
        """The whole state as journal entries."""
        yield {"accounts": [self._account_row(account) for account in self.accounts.values()], "frozen": self.frozen}
        yield {
            "balances": [self._balance_row(a.name, asset) for a in self.accounts.values() for asset in a.balances],
            "pools": self._pools_row(),
            "clients": {name: [counter.received, counter.executed] for name, counter in self.clients.items()},
            "calls": self.calls,
            "markets": {name: self._market_row(name, full=True) for name in self.markets},
        }
        for market in self.markets.values():
            for order in market.orders.values():
                trades = market.trades.get(order.order_id, [])
                entry: Entry = {"orders": [_row(order)], "trades": [_row(trade) for trade in trades]}
                if order.order_id in market.amendments:
                    entry["amendments"] = [_row(amendment) for amendment in market.amendments[order.order_id]]
                yield entry

    def restore(self, entries: Iterable[Entry]) -> None:
        """Rebuild the state from journal entries and put open orders back to work in their order of arrival."""
        record, self._record = self._record, None
        orders: dict[tuple[str, int], Order] = {}
        trades: list[Trade] = []
        depth: dict[str, Any] = {}
        for entry in entries:
            if "reset" in entry:
                self._clear()
                orders, trades, depth = {}, [], {}
                continue
            self.frozen = entry.get("frozen", self.frozen)
            self._restore_accounts(entry)
            for name, counts in entry.get("clients", {}).items():
                self.clients[name] = ClientCounter(*counts)
            self.calls.update(entry.get("calls", {}))
            for row in entry.get("orders", ()):
                order = _order(row, self.order_kind)
                orders[(order.symbol, order.order_id)] = order
            trades.extend(self._read_trade(row) for row in entry.get("trades", ()))
            for amendment in (_amendment(row) for row in entry.get("amendments", ())):
                self.markets[amendment.symbol].amendments.setdefault(amendment.order_id, []).append(amendment)
            for symbol, row in entry.get("markets", {}).items():
                market = self.markets[symbol]
                market.last = Decimal(row["last"])
                market.order_id, market.trade_id, market.execution_id = row["ids"]
                market.status = SymbolStatus(row.get("status", market.status))
                if "depth" in row:
                    depth[symbol] = row["depth"]
                for side, price, size in row.get("taken", ()):
                    for level in (depth.get(symbol) or ([], []))[side]:
                        if level[0] == price:
                            level[1] = size
        self._restore_markets(orders, trades, depth)
        self._dirty = _Dirty()
        self._record = record

    @staticmethod
    def _read_trade(row: Sequence[Any]) -> Trade:
        return read_trade(row)

    @staticmethod
    def _read_account(row: Mapping[str, Any]) -> Account:
        return Account(
            row["name"],
            row["api_key"],
            row["api_secret"],
            row["uid"],
            Decimal(row["maker_fee"]),
            Decimal(row["taker_fee"]),
            row["bnb_fees"],
            row["updated"],
            public_key=row.get("public_key", ""),
        )

    @staticmethod
    def _account_row(account: Account) -> Entry:
        return {
            "name": account.name,
            "api_key": account.api_key,
            "api_secret": account.api_secret,
            "uid": account.uid,
            "maker_fee": str(account.maker_fee),
            "taker_fee": str(account.taker_fee),
            "bnb_fees": account.bnb_fees,
            "updated": account.updated,
            "public_key": account.public_key,
        }

    def _restore_accounts(self, entry: Entry) -> None:
        for row in entry.get("accounts", ()):
            known = self.accounts.get(row["name"])
            account = self._read_account(row)
            if known is not None:
                account.balances = known.balances
            self.accounts[account.name] = self.by_key[account.api_key] = account
        for name, asset, free, locked in entry.get("balances", ()):
            self.accounts[name].balances[asset] = Balance(Decimal(free), Decimal(locked))
            self.accounts[name].updated = entry.get("t", self.accounts[name].updated)
        for pool, totals in entry.get("pools", {}).items():
            self.pools[pool] = {asset: Decimal(total) for asset, total in totals.items()}

    def _restore_markets(
        self, orders: Mapping[tuple[str, int], Order], trades: Iterable[Trade], depth: Mapping[str, Any]
    ) -> None:
        for order in sorted(orders.values(), key=lambda order: (order.symbol, order.order_id)):
            self._index(order)
        for trade in sorted(trades, key=lambda trade: trade.id):
            market = self.markets[trade.symbol]
            market.trades.setdefault(trade.order_id, []).append(trade)
            market.by_account.setdefault(trade.account, []).append(trade)
        for symbol, market in self.markets.items():
            if market.last != market.rules.start_price:
                market.walk.recenter(market.last)
            shown = depth.get(symbol)
            if shown is not None:
                market.book.set_depth(*([(Decimal(price), Decimal(size)) for price, size in side] for side in shown))
            else:
                market.book.set_depth(*market.walk.depth())
            working = [order for order in market.orders.values() if order.status.is_open]
            for order in sorted(working, key=lambda order: (order.working_time, order.order_id)):
                if order.working_time < 0:
                    market.waiting[order.order_id] = order
                else:
                    market.book.restore(order.order_id, order.account, order.side, order.price, order.leaves)


def _row(item: Order | Trade | Amendment) -> list[Any]:
    """The fields of a record in their order of declaration, decimals as strings."""
    values = (getattr(item, name) for name in item.__dataclass_fields__)
    return [str(value) if isinstance(value, Decimal) else value for value in values]


def _order(row: Sequence[Any], kind: type[Order]) -> Order:
    order = kind(*row)
    for name in ("price", "quantity", "quote_quantity", "stop_price", "executed", "quote_executed", "locked"):
        setattr(order, name, Decimal(getattr(order, name)))
    order.side, order.type, order.status = Side(order.side), OrderType(order.type), Status(order.status)
    order.time_in_force, order.self_trade = TimeInForce(order.time_in_force), SelfTrade(order.self_trade)
    return order


def _amendment(row: Sequence[Any]) -> Amendment:
    symbol, order_id, execution_id, old_id, new_id, old, new, time = row
    return Amendment(symbol, order_id, execution_id, old_id, new_id, Decimal(old), Decimal(new), time)


def read_trade(row: Sequence[Any]) -> Trade:
    symbol, number, order_id, account, side, price, quantity, quote, fee, asset, time, is_maker = row
    return Trade(
        symbol,
        number,
        order_id,
        account,
        Side(side),
        Decimal(price),
        Decimal(quantity),
        Decimal(quote),
        Decimal(fee),
        asset,
        time,
        is_maker,
    )
