"""The control API under /sim/: accounts, market, faults, limits and the ground truth (docs/simulator.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal, InvalidOperation
from typing import Any

from exchanges.matching import Fill, Level, SelfTrade, Side, TimeInForce
from exchanges.simulator import filters
from exchanges.simulator.accounts import Account
from exchanges.simulator.clock import Clock
from exchanges.simulator.faults import BadFault, Faults
from exchanges.simulator.limits import LimitSettings, RateLimits
from exchanges.simulator.venue import Market, Order, OrderRequest, OrderType, Refused, Trade, Venue

Json = dict[str, Any]

BOUNDS: Json = {
    "binance": {"engine_timeout_ms": 10_000, "round_gap_ms": 30_000, "rounds": 2},
    "btcturk": {"send_by_ms": 180_000, "round_gap_ms": 30_000, "rounds": 3},
}
"""After these the simulator executes nothing any more: the times a proof of absence has to wait."""
SHORT_BOUNDS: Json = {
    "binance": {"engine_timeout_ms": 500, "round_gap_ms": 200, "rounds": 2},
    "btcturk": {"send_by_ms": 1_000, "round_gap_ms": 200, "rounds": 3},
}


class ControlError(Exception):
    """A control request that cannot be carried out."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(slots=True, frozen=True)
class ControlRequest:
    """One control call: path parts after the pattern's words, query, JSON body."""

    name: str
    query: Mapping[str, str]
    body: Json


def amount(body: Mapping[str, Any], name: str) -> Decimal | None:
    """A decimal given as a string (or integer); JSON floats are refused."""
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ControlError(400, f"{name} must be a decimal in a string")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ControlError(400, f"{name} is not a decimal") from None
    if not number.is_finite():
        raise ControlError(400, f"{name} is not a decimal")
    return number


def needed(body: Mapping[str, Any], name: str) -> Decimal:
    """A decimal that must be there."""
    number = amount(body, name)
    if number is None:
        raise ControlError(400, f"{name} is missing")
    return number


def text(body: Mapping[str, Any], name: str) -> str:
    """A text that must be there."""
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise ControlError(400, f"{name} is missing")
    return value


def order_row(order: Order) -> Json:
    """An order as ground truth, decimals as strings."""
    row = asdict(order)
    row["leaves"] = order.leaves
    return {name: _plain(value) for name, value in row.items()}


def trade_row(trade: Trade) -> Json:
    """A trade as ground truth, decimals as strings."""
    return {name: _plain(value) for name, value in asdict(trade).items()}


def _plain(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def _fills(fills: list[Fill]) -> list[Json]:
    return [
        {"order_id": fill.maker_id, "price": _plain(fill.price), "quantity": _plain(fill.quantity)} for fill in fills
    ]


class Control:
    """The control API over a venue, its faults and its limits."""

    def __init__(
        self, venue: Venue, faults: Faults, limits: RateLimits, clock: Clock, *, seed: int, short_bounds: bool
    ) -> None:
        self.venue = venue
        self.faults = faults
        self.limits = limits
        self.clock = clock
        self.seed = seed
        self.bounds = SHORT_BOUNDS if short_bounds else BOUNDS
        self._start_frozen = venue.frozen
        self.pending: set[asyncio.Task[None]] = set()
        """Requests that have been answered or dropped and execute later."""
        self._routes: dict[str, Callable[[ControlRequest], Any]] = {
            "GET health": self._health,
            "POST accounts": self._add_account,
            "GET accounts": self._accounts,
            "POST accounts/*/deposit": self._deposit,
            "POST accounts/*/fees": self._fees,
            "GET market/*": self._market_view,
            "POST market/freeze": lambda request: self._freeze(True),
            "POST market/unfreeze": lambda request: self._freeze(False),
            "POST market/tick": lambda request: self._tick(),
            "POST market/*": self._set_market,
            "POST market/*/trade": self._print,
            "POST faults": self._add_fault,
            "GET faults": lambda request: [fault.describe() for fault in self.faults.ordered],
            "DELETE faults": lambda request: self._clear_faults(),
            "POST limits": self._set_limits,
            "GET limits": lambda request: asdict(self.limits.settings),
            "GET counters": lambda request: self._counters(),
            "GET orders": self._orders,
            "POST orders": self._place,
            "DELETE orders": self._cancel,
            "GET trades": self._trades,
            "GET balances": self._balances,
            "GET totals": lambda request: self._totals(),
            "POST reset": lambda request: self._reset(),
        }

    def handle(self, method: str, path: str, query: Mapping[str, str], raw_body: bytes) -> tuple[int, Any]:
        """Carry out one control call; HTTP status and JSON body."""
        parts = path.strip("/").split("/")[1:]
        found = self._routes.get(f"{method} {'/'.join(parts)}")
        name = ""
        if found is None and len(parts) > 1:
            name = parts[1]
            found = self._routes.get(f"{method} {'/'.join([parts[0], '*', *parts[2:]])}")
        if found is None:
            return 404, {"error": "no such control call"}
        try:
            body = json.loads(raw_body, parse_float=str) if raw_body else {}
            if not isinstance(body, dict):
                raise ControlError(400, "the body must be a JSON object")
            return 200, found(ControlRequest(name, query, body))
        except ControlError as error:
            return error.status, {"error": str(error)}
        except Refused as refused:
            return 409, {"error": refused.reason.value}
        except (BadFault, ValueError) as error:
            return 400, {"error": str(error)}

    # -- accounts ------------------------------------------------------------------------------------------------

    def _account(self, name: str | None) -> Account:
        account = self.venue.accounts.get(name or "")
        if account is None:
            raise ControlError(404, f"no account {name!r}")
        return account

    def _account_view(self, account: Account) -> Json:
        return {
            "name": account.name,
            "api_key": account.api_key,
            "uid": account.uid,
            "maker_fee": _plain(account.maker_fee),
            "taker_fee": _plain(account.taker_fee),
            "bnb_fees": account.bnb_fees,
            "balances": {
                asset: {"free": _plain(balance.free), "locked": _plain(balance.locked)}
                for asset, balance in sorted(account.balances.items())
            },
        }

    def _amounts(self, body: Json) -> dict[str, Decimal]:
        balances = body.get("balances", {})
        if not isinstance(balances, dict):
            raise ControlError(400, "balances maps assets to decimals")
        amounts = {asset: needed(balances, asset) for asset in balances}
        for asset, value in amounts.items():
            if value != value.quantize(Decimal("1e-8")):
                raise ControlError(400, f"{asset} has more than 8 decimals")
        return amounts

    def _add_account(self, request: ControlRequest) -> Json:
        body = request.body
        amounts = self._amounts(body)
        if any(value < 0 for value in amounts.values()):
            raise ControlError(400, "balances must not be negative")
        maker, taker = amount(body, "maker_fee"), amount(body, "taker_fee")
        account, created = self.venue.add_account(
            text(body, "name"),
            text(body, "api_key"),
            text(body, "api_secret"),
            amounts,
            self.clock.now(),
            maker_fee=Decimal("0.001") if maker is None else maker,
            taker_fee=Decimal("0.001") if taker is None else taker,
            bnb_fees=bool(body.get("bnb_fees", False)),
        )
        if not created and (account.api_key, account.api_secret) != (body["api_key"], body["api_secret"]):
            raise ControlError(409, "the account exists with other keys")
        return {**self._account_view(account), "created": created}

    def _accounts(self, request: ControlRequest) -> list[Json]:
        return [self._account_view(account) for account in self.venue.accounts.values()]

    def _deposit(self, request: ControlRequest) -> Json:
        account = self._account(request.name)
        return self._account_view(self.venue.deposit(account.name, self._amounts(request.body), self.clock.now()))

    def _fees(self, request: ControlRequest) -> Json:
        account, body = self._account(request.name), request.body
        bnb = body.get("bnb_fees")
        return self._account_view(
            self.venue.set_fees(
                account.name, amount(body, "maker_fee"), amount(body, "taker_fee"), bnb, self.clock.now()
            )
        )

    # -- market --------------------------------------------------------------------------------------------------

    def _market(self, symbol: str) -> Market:
        market = self.venue.markets.get(symbol)
        if market is None:
            raise ControlError(404, f"no symbol {symbol!r}")
        return market

    def _market_view(self, request: ControlRequest) -> Json:
        market = self._market(request.name)
        return {
            "symbol": market.rules.symbol,
            "last": _plain(market.last),
            "frozen": self.venue.frozen,
            "bids": [[_plain(price), _plain(size)] for price, size in market.book.bids()],
            "asks": [[_plain(price), _plain(size)] for price, size in market.book.asks()],
        }

    def _levels(self, body: Json, name: str) -> list[Level]:
        try:
            return [(Decimal(str(price)), Decimal(str(size))) for price, size in body.get(name, [])]
        except (TypeError, ValueError, InvalidOperation):
            raise ControlError(400, f"{name} is a list of [price, quantity]") from None

    def _set_market(self, request: ControlRequest) -> Json:
        market, body, now = self._market(request.name), request.body, self.clock.now()
        symbol = market.rules.symbol
        if "bid" in body or "ask" in body:
            fills = self.venue.quote(symbol, needed(body, "bid"), needed(body, "ask"), amount(body, "quantity"), now)
        else:
            fills = self.venue.set_depth(symbol, self._levels(body, "bids"), self._levels(body, "asks"), now)
        return {**self._top(market), "fills": _fills(fills)}

    def _top(self, market: Market) -> Json:
        bid, ask = market.book.best_bid(), market.book.best_ask()
        return {"symbol": market.rules.symbol, "bid": _plain(bid), "ask": _plain(ask), "last": _plain(market.last)}

    def _print(self, request: ControlRequest) -> Json:
        market, body = self._market(request.name), request.body
        price, quantity = needed(body, "price"), needed(body, "quantity")
        if price <= 0 or quantity <= 0:
            raise ControlError(400, "price and quantity must be positive")
        if body.get("aggressor") not in ("BUY", "SELL"):
            raise ControlError(400, "aggressor is BUY or SELL")
        fills, unused = self.venue.trade_print(
            market.rules.symbol, price, quantity, Side(body["aggressor"]), self.clock.now()
        )
        return {"symbol": market.rules.symbol, "fills": _fills(fills), "unused": _plain(unused)}

    def _freeze(self, frozen: bool) -> Json:
        self.venue.set_frozen(frozen, self.clock.now())
        return {"frozen": frozen}

    def _tick(self) -> Json:
        self.venue.tick(self.clock.now())
        return {"markets": [self._top(market) for market in self.venue.markets.values()]}

    # -- faults and limits ---------------------------------------------------------------------------------------

    def _add_fault(self, request: ControlRequest) -> Json:
        fault = self.faults.add(request.body)
        self.clock.offset_ms = self.faults.skew()
        return fault.describe()

    def _clear_faults(self) -> Json:
        lifted = len(self.faults.ordered)
        self.faults.clear()
        self.limits.banned_until = 0
        self.clock.offset_ms = 0
        return {"lifted": lifted}

    def _set_limits(self, request: ControlRequest) -> Json:
        names = {item.name for item in fields(LimitSettings)}
        for name, value in request.body.items():
            if name not in names or isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ControlError(400, f"limits are whole numbers: {', '.join(sorted(names))}")
        for name, value in request.body.items():
            setattr(self.limits.settings, name, value)
        self.limits.reset()
        return asdict(self.limits.settings)

    # -- ground truth --------------------------------------------------------------------------------------------

    def _health(self, request: ControlRequest) -> Json:
        return {
            "status": "ok",
            "time": self.clock.now(),
            "seed": self.seed,
            "frozen": self.venue.frozen,
            "symbols": list(self.venue.markets),
            "accounts": list(self.venue.accounts),
            "faults": len(self.faults.ordered),
            "pending": len(self.pending),
            "bounds": self.bounds,
        }

    def _counters(self) -> Json:
        return {
            "client_order_ids": {
                name: {"received": counter.received, "executed": counter.executed}
                for name, counter in self.venue.clients.items()
            },
            "calls": self.venue.calls,
        }

    def _chosen(self, request: ControlRequest) -> tuple[str | None, str | None]:
        account, symbol = request.query.get("account"), request.query.get("symbol")
        if account is not None:
            self._account(account)
        if symbol is not None:
            self._market(symbol)
        return account, symbol

    def _orders(self, request: ControlRequest) -> list[Json]:
        account, symbol = self._chosen(request)
        return [order_row(order) for order in self.venue.orders(account, symbol)]

    def _trades(self, request: ControlRequest) -> list[Json]:
        account, symbol = self._chosen(request)
        accounts = [account] if account is not None else list(self.venue.accounts)
        symbols = [symbol] if symbol is not None else list(self.venue.markets)
        return [trade_row(trade) for name in accounts for pair in symbols for trade in self.venue.trades(name, pair)]

    def _balances(self, request: ControlRequest) -> Json:
        account, _ = self._chosen(request)
        names = [account] if account is not None else list(self.venue.accounts)
        views = {name: self._account_view(self.venue.accounts[name])["balances"] for name in names}
        return views if account is None else views[account]

    def _totals(self) -> Json:
        return {
            pool: {asset: _plain(total) for asset, total in totals.items()} for pool, totals in self.venue.pools.items()
        }

    def _place(self, request: ControlRequest) -> Json:
        body, now = request.body, self.clock.now()
        account, market = self._account(body.get("account")), self._market(text(body, "symbol"))
        try:
            wanted = OrderRequest(
                account=account.name,
                symbol=market.rules.symbol,
                side=Side(text(body, "side")),
                type=OrderType(text(body, "type")),
                client_order_id=body.get("client_order_id"),
                time_in_force=TimeInForce(body.get("time_in_force", "GTC")),
                quantity=amount(body, "quantity"),
                quote_quantity=amount(body, "quote_quantity"),
                price=amount(body, "price"),
                stop_price=amount(body, "stop_price"),
                self_trade=SelfTrade(body.get("self_trade", "EXPIRE_MAKER")),
            )
        except ValueError as error:
            raise ControlError(400, str(error)) from None
        self._check_order(market, wanted)
        placement = self.venue.place(wanted, now)
        return {**order_row(placement.order), "trades": [trade_row(trade) for trade in placement.trades]}

    def _check_order(self, market: Market, wanted: OrderRequest) -> None:
        """What the venue's matching does not check itself."""
        self._check_shape(wanted)
        failed = filters.check(
            market.rules,
            wanted.side,
            price=wanted.price,
            quantity=wanted.quantity,
            quote_quantity=wanted.quote_quantity,
            stop_price=wanted.stop_price,
            reference=market.last,
        )
        if failed is not None:
            raise ControlError(400, f"Filter failure: {failed}")

    @staticmethod
    def _check_shape(wanted: OrderRequest) -> None:
        market = wanted.type is OrderType.MARKET
        sizes = (wanted.quantity is not None) + (wanted.quote_quantity is not None)
        if sizes != 1 or (wanted.quote_quantity is not None and not market):
            raise ControlError(400, "give quantity, or for MARKET quantity or quote_quantity")
        if (wanted.price is None) is not market:
            raise ControlError(400, "price goes with every type but MARKET")
        if (wanted.stop_price is not None) is not wanted.type.has_trigger:
            raise ControlError(400, "stop_price goes with STOP_LOSS_LIMIT and TAKE_PROFIT_LIMIT")

    def _cancel(self, request: ControlRequest) -> Json:
        body = request.body
        account, market = self._account(body.get("account")), self._market(text(body, "symbol"))
        order_id = body.get("order_id")
        if not isinstance(order_id, int):
            raise ControlError(400, "order_id is missing")
        return order_row(self.venue.cancel(account.name, market.rules.symbol, self.clock.now(), order_id=order_id))

    def _reset(self) -> Json:
        self._clear_faults()
        for task in self.pending:
            task.cancel()
        self.limits.settings = LimitSettings()
        self.limits.reset()
        self.venue.reset(self.clock.now())
        self.venue.set_frozen(self._start_frozen, self.clock.now())
        return {"status": "reset"}
