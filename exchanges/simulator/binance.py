"""Binance Spot REST as the venue's protocol face (docs/binance.md). Faults and sockets are the server's business.

Checks run in the order of docs/binance.md §10.2: key, parameters, characters, timestamp, signature, symbol, precision,
stateless filters, matching-engine rules.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from exchanges.matching import SelfTrade, Side, TimeInForce
from exchanges.simulator import binance_views as views
from exchanges.simulator import filters, signatures
from exchanges.simulator.accounts import Account
from exchanges.simulator.binance_calls import (
    ORDER_SPEC,
    RESTRICTIONS,
    Answer,
    Endpoint,
    Request,
    check_order_ids,
    check_order_shape,
    refusal,
    shape_of,
)
from exchanges.simulator.binance_changes import Changes
from exchanges.simulator.binance_params import (
    ANY,
    API_KEY,
    BOOLEAN,
    CLIENT_ID,
    INTEGER,
    SIGNING,
    SYMBOL,
    WORD,
    BinanceError,
    Call,
    Spec,
    check_params,
    check_timing,
    decimal,
    integer,
    moment,
    timing,
)
from exchanges.simulator.faults import Faults
from exchanges.simulator.limits import RateLimits
from exchanges.simulator.venue import (
    Market,
    Order,
    OrderEvent,
    OrderRequest,
    OrderType,
    Refusal,
    Refused,
    Venue,
)

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False).encode

DAY_MS = 86_400_000
DEFAULT_ROWS = 500
MAX_ROWS = 1000
PREFIX = "/api/v3/"
MAKER_FILL_CREDIT = 5
"""Unfilled orders given back on a maker's first fill; a taker's gives back one (docs/binance.md §6)."""

TRADE_COMBINATIONS = (frozenset({"startTime", "endTime"}), frozenset({"orderId", "fromId"}))
"""The only pairs of optional parameters myTrades takes (docs/binance.md §2.6)."""
UNSUPPORTED = {"STOP_LOSS": "Stop loss", "TAKE_PROFIT": "Take profit"}


def _depth_weight(call: Call) -> int:
    limit = _count(call.params.get("limit"), 100)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1000 else 250


def _count(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdigit() else default


class BinanceFace:
    """The Binance REST protocol over a venue."""

    def __init__(self, venue: Venue, limits: RateLimits, faults: Faults) -> None:
        self.venue = venue
        self.limits = limits
        self.faults = faults
        venue.listeners.append(self._on_event)
        self._endpoints = self._routes()

    def _routes(self) -> dict[str, Endpoint]:
        def fixed(weight: int) -> Callable[[Call], int]:
            return lambda call: weight

        symbol: Spec = {"symbol": (SYMBOL, True)}
        tickers: Spec = {"symbol": (SYMBOL, False), "symbols": (ANY, False), "symbolStatus": (WORD, False)}
        info: Spec = {**tickers, "permissions": (ANY, False), "showPermissionSets": (BOOLEAN, False)}
        depth: Spec = {**symbol, "limit": (INTEGER, False), "symbolStatus": (WORD, False)}
        ids: Spec = {**symbol, "orderId": (INTEGER, False), "origClientOrderId": (CLIENT_ID, False), **SIGNING}
        cancel: Spec = {**ids, "newClientOrderId": (CLIENT_ID, False), "cancelRestrictions": (WORD, False)}
        window: Spec = {
            "startTime": (INTEGER, False),
            "endTime": (INTEGER, False),
            "limit": (INTEGER, False),
            "orderId": (INTEGER, False),
        }
        one: Spec = {**symbol, **SIGNING}

        def ticker_weight(call: Call) -> int:
            return 2 if "symbol" in call.params else 4

        table: dict[str, Endpoint] = {
            "GET ping": Endpoint(self._ping, {}, fixed(1)),
            "GET time": Endpoint(self._time, {}, fixed(1)),
            "GET exchangeInfo": Endpoint(self._exchange_info, info, fixed(20)),
            "GET depth": Endpoint(self._depth, depth, _depth_weight),
            "GET ticker/price": Endpoint(self._ticker_price, tickers, ticker_weight),
            "GET ticker/bookTicker": Endpoint(self._book_ticker, tickers, ticker_weight),
            "GET avgPrice": Endpoint(self._avg_price, symbol, fixed(2)),
            "POST order": Endpoint(
                self._new_order, ORDER_SPEC, fixed(1), True, 0, places=True, precheck=check_order_shape
            ),
            "POST order/test": Endpoint(
                self._test_order,
                {**ORDER_SPEC, "computeCommissionRates": (BOOLEAN, False)},
                lambda call: 20 if call.params.get("computeCommissionRates") == "true" else 1,
                True,
                precheck=check_order_shape,
            ),
            "DELETE order": Endpoint(self._cancel_order, cancel, fixed(1), True, 0, precheck=check_order_ids),
            "GET order": Endpoint(self._get_order, ids, fixed(4), True, precheck=check_order_ids),
            "GET openOrders": Endpoint(
                self._open_orders,
                {"symbol": (SYMBOL, False), **SIGNING},
                lambda call: 6 if "symbol" in call.params else 80,
                True,
            ),
            "DELETE openOrders": Endpoint(self._cancel_all, one, fixed(1), True, 0),
            "GET allOrders": Endpoint(self._all_orders, {**symbol, **window, **SIGNING}, fixed(20), True),
            "GET account": Endpoint(self._account, {"omitZeroBalances": (BOOLEAN, False), **SIGNING}, fixed(20), True),
            "GET myTrades": Endpoint(
                self._my_trades,
                {**symbol, **window, "fromId": (INTEGER, False), **SIGNING},
                lambda call: 5 if "orderId" in call.params else 20,
                True,
            ),
            **Changes(self).endpoints(ids),
            "GET rateLimit/order": Endpoint(self._order_counts, dict(SIGNING), fixed(40), True),
            "GET account/commission": Endpoint(self._commission, one, fixed(20), True),
        }
        return {f"{name.split()[0]} {PREFIX}{name.split()[1]}": endpoint for name, endpoint in table.items()}

    # -- entry points --------------------------------------------------------------------------------------------

    def endpoint(self, call: Call) -> Endpoint | None:
        """The endpoint of a call, or None when there is no such path."""
        return self._endpoints.get(call.name)

    def prepare(self, call: Call, endpoint: Endpoint, now: int) -> Request:
        """All checks up to the signature. Raises `BinanceError`; counts what arrives with a valid signature."""
        if call.time_unit not in ("MILLISECOND", "MICROSECOND"):
            raise BinanceError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        if not endpoint.signed:
            check_params(call, endpoint.spec)
            return Request(call, endpoint, now)
        account = self._known_key(call)
        check_params(call, endpoint.spec)
        if endpoint.precheck is not None:
            endpoint.precheck(call.params)
        stamp, window = timing(call.params)
        check_timing(stamp, window, now)
        if not self._signature_fits(call, account):
            raise BinanceError(-1022, "Signature for this request is not valid.")
        return Request(call, endpoint, now, account, stamp, window)

    def authentic(self, call: Call) -> Account | None:
        """The account whose valid signature the call carries, whatever else is wrong with it."""
        account = self.venue.by_key.get(call.api_key or "")
        return account if account is not None and self._signature_fits(call, account) else None

    @staticmethod
    def _signature_fits(call: Call, account: Account) -> bool:
        if call.logged_on:
            return True
        signature = call.params.get("signature", "")
        if call.message is not None:
            return signatures.fits(account.api_secret, account.public_key, call.message, signature)
        return signatures.verify(account.api_secret, call.raw_query, call.raw_body, signature, account.public_key)

    def recheck(self, request: Request, now: int) -> None:
        """The second timing check, right before the matching engine: a failure burns one unfilled order."""
        if self.venue.by_key.get(request.owner.api_key) is not request.owner:
            raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        try:
            check_timing(request.stamp, request.window, now)
        except BinanceError:
            if request.endpoint.places and request.account is not None:
                self.limits.count_order(request.account.name, now, 1)
            raise

    def execute(self, request: Request) -> Answer:
        """Carry a checked request out and word the answer; never raises for a refused request."""
        try:
            body = request.endpoint.run(request)
        except BinanceError as error:
            return self.error(error, request.now, request.endpoint.weight(request.call))
        except Refused as refused:
            return self.error(refusal(refused), request.now, request.endpoint.weight(request.call))
        endpoint = request.endpoint
        weight = endpoint.success_weight if endpoint.success_weight is not None else endpoint.weight(request.call)
        headers: dict[str, str] = {}
        if endpoint.places and request.account is not None:
            seconds, day = self.limits.orders(request.account.name)
            headers["X-MBX-ORDER-COUNT-10S"] = str(seconds.at(request.now))
            headers["X-MBX-ORDER-COUNT-1D"] = str(day.at(request.now))
        return self.finish(200, body, request.now, weight, headers)

    def admit(self, call: Call, endpoint: Endpoint, now: int) -> None:
        """Rate limits at arrival. Raises 418 while banned, 429 when the weight no longer fits."""
        self.check_ban(now)
        wait = self.limits.admit(now, endpoint.weight(call))
        self.check_ban(now)
        if wait is not None:
            raise self.too_much(-1003, wait)

    def check_ban(self, now: int) -> None:
        """Raises 418 while the IP is banned."""
        if self.limits.banned_until > now:
            raise self.banned(now)

    def banned(self, now: int) -> BinanceError:
        """The 418 answer of the ban in force."""
        until = self.limits.banned_until
        return BinanceError(
            -1003,
            f"Way too much request weight used; IP banned until {until}. "
            "Please use WebSocket Streams for live updates to avoid bans.",
            418,
            {"Retry-After": str(max(1, -(-(until - now) // 1000)))},
        )

    def too_much(self, code: int, wait: int, limit: int | None = None, interval: str = "10 SECOND") -> BinanceError:
        """The 429 answer of code -1003 (weight) or -1015 (orders), with seconds to wait."""
        settings = self.limits.settings
        if code == -1015:
            count = settings.orders_10s if limit is None else limit
            text = f"Too many new orders; current limit is {count} orders per {interval}."
        else:
            text = (
                f"Too much request weight used; current limit is {settings.request_weight} request weight "
                "per 1 MINUTE. Please use WebSocket Streams for live updates to avoid polling the API."
            )
        return BinanceError(code, text, 429, {"Retry-After": str(wait)})

    def error(self, error: BinanceError, now: int, weight: int) -> Answer:
        """Word an error; the listed weight is charged."""
        body = {"code": error.code, "msg": error.msg}
        if error.data is not None:
            body["data"] = error.data
        return self.finish(error.status, body, now, weight, error.headers)

    def finish(self, status: int, body: Any, now: int, weight: int, headers: Mapping[str, str]) -> Answer:
        """Charge weight, add the headers every answer has."""
        self.limits.weight.add(now, weight)
        used = str(self.limits.weight.count)
        return Answer(
            status,
            _encode(body).encode(),
            {
                "Content-Type": "application/json;charset=UTF-8",
                "X-MBX-USED-WEIGHT": used,
                "X-MBX-USED-WEIGHT-1M": used,
                **headers,
            },
        )

    def _known_key(self, call: Call) -> Account:
        if call.api_key is None or API_KEY.match(call.api_key) is None:
            raise BinanceError(-2014, "API-key format invalid.", 401)
        account = self.venue.by_key.get(call.api_key)
        if account is None:
            raise BinanceError(-2015, "Invalid API-key, IP, or permissions for action.", 401)
        return account

    def _on_event(self, event: OrderEvent) -> None:
        if event.first_fill and event.trade is not None:
            credit = MAKER_FILL_CREDIT if event.trade.is_maker else 1
            self.limits.count_order(event.order.account, event.time, -credit)

    def market(self, request: Request) -> Market:
        """The market of the `symbol` parameter."""
        market = self.venue.markets.get(request.params["symbol"])
        if market is None:
            raise BinanceError(-1121, "Invalid symbol.")
        return market

    def _asked(self, params: Mapping[str, str]) -> list[Market]:
        """Markets named by `symbol` or `symbols`, or all of them."""
        if "symbol" in params and "symbols" in params:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        if "symbol" in params:
            names: Any = [params["symbol"]]
        elif "symbols" in params:
            try:
                names = json.loads(params["symbols"])
            except ValueError:
                names = None
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise BinanceError(-1100, "Illegal characters found in parameter 'symbols'.")
        else:
            names = list(self.venue.markets)
        if any(name not in self.venue.markets for name in names):
            raise BinanceError(-1121, "Invalid symbol.")
        markets = [self.venue.markets[name] for name in names]
        if "symbol" in params:
            self._check_status(params, markets[0])
        return [market for market in markets if market.status.value == params.get("symbolStatus", market.status.value)]

    @staticmethod
    def _check_status(params: Mapping[str, str], market: Market) -> None:
        if params.get("symbolStatus", market.status.value) != market.status.value:
            raise BinanceError(-1220, "The symbol's status does not match the requested symbolStatus.")

    # -- market data ---------------------------------------------------------------------------------------------

    def _ping(self, request: Request) -> Any:
        return {}

    def _time(self, request: Request) -> Any:
        return {"serverTime": request.now * request.scale}

    def _exchange_info(self, request: Request) -> Any:
        markets = self._asked(request.params)
        permission_sets = request.params.get("showPermissionSets") != "false"
        return {
            "timezone": "UTC",
            "serverTime": request.now * request.scale,
            "rateLimits": views.rate_limits(self.limits.settings),
            "exchangeFilters": [],
            "symbols": [
                views.symbol_object(market.rules, market.status.value, permission_sets=permission_sets)
                for market in markets
            ],
        }

    def _depth(self, request: Request) -> Any:
        market = self.market(request)
        self._check_status(request.params, market)
        book = market.book
        limit = min(5000, _count(request.params.get("limit"), 100))
        return {
            "lastUpdateId": book.version,
            "bids": [[views.dec(price), views.dec(size)] for price, size in book.bids()[:limit]],
            "asks": [[views.dec(price), views.dec(size)] for price, size in book.asks()[:limit]],
        }

    def _ticker_price(self, request: Request) -> Any:
        rows = [{"symbol": m.rules.symbol, "price": views.dec(m.last)} for m in self._asked(request.params)]
        return rows[0] if "symbol" in request.params else rows

    def _book_ticker(self, request: Request) -> Any:
        rows = []
        for market in self._asked(request.params):
            bids, asks = market.book.bids(), market.book.asks()
            nothing = (Decimal(0), Decimal(0))
            bid, ask = bids[0] if bids else nothing, asks[0] if asks else nothing
            rows.append(
                {
                    "symbol": market.rules.symbol,
                    "bidPrice": views.dec(bid[0]),
                    "bidQty": views.dec(bid[1]),
                    "askPrice": views.dec(ask[0]),
                    "askQty": views.dec(ask[1]),
                }
            )
        return rows[0] if "symbol" in request.params else rows

    def _avg_price(self, request: Request) -> Any:
        market = self.market(request)
        return {
            "mins": market.rules.average_minutes,
            "price": views.dec(market.last),
            "closeTime": request.now * request.scale,
        }

    # -- orders --------------------------------------------------------------------------------------------------

    def order_request(self, request: Request) -> OrderRequest:
        """Symbol, precision, capabilities and stateless filters of a new order."""
        params = request.params
        market = self.market(request)
        quantity, price = decimal(params, "quantity"), decimal(params, "price")
        quote_quantity, stop_price = decimal(params, "quoteOrderQty"), decimal(params, "stopPrice")
        kind, side = params["type"], Side(params["side"])
        for name, words in (("icebergQty", "Iceberg"), ("trailingDelta", "Trailing stop"), ("pegPriceType", "Pegged")):
            if name in params:
                raise BinanceError(-1013, f"{words} orders are not supported for this symbol.")
        if kind in UNSUPPORTED:
            raise BinanceError(-1013, f"{UNSUPPORTED[kind]} orders are not supported for this symbol.")
        mode = params.get("selfTradePreventionMode", SelfTrade.EXPIRE_MAKER.value)
        if mode not in SelfTrade.__members__:
            raise BinanceError(-1013, "This symbol does not allow the specified self-trade prevention mode.")
        failed = filters.check(
            market.rules,
            side,
            price=price,
            quantity=quantity,
            quote_quantity=quote_quantity,
            stop_price=stop_price,
            reference=market.last,
        )
        if failed is not None:
            raise BinanceError(-1013, f"Filter failure: {failed}")
        return OrderRequest(
            account=request.owner.name,
            symbol=market.rules.symbol,
            side=side,
            type=OrderType(kind),
            client_order_id=params.get("newClientOrderId"),
            time_in_force=TimeInForce(params.get("timeInForce", "GTC")),
            quantity=quantity,
            quote_quantity=quote_quantity,
            price=price,
            stop_price=stop_price,
            self_trade=SelfTrade(mode),
            strategy_id=integer(params, "strategyId"),
            strategy_type=integer(params, "strategyType"),
        )

    def _new_order(self, request: Request) -> Any:
        wanted = self.order_request(request)
        over = self.limits.orders_over(wanted.account, request.now)
        if over is not None:
            limit, interval, wait = over
            raise self.too_much(-1015, wait, limit, interval)
        # Counted before the fills, which give unfilled orders back.
        self.limits.count_order(wanted.account, request.now, 1)
        try:
            placement = self.venue.place(wanted, request.now)
        except Refused:
            self.limits.count_order(wanted.account, request.now, -1)
            raise
        return views.placed(placement, shape_of(request), request.scale)

    def _test_order(self, request: Request) -> Any:
        self.order_request(request)
        if request.params.get("computeCommissionRates") == "true":
            return views.commission(request.owner, None)
        return {}

    def _cancel_id(self, request: Request, market: Market) -> str:
        return request.params.get("newClientOrderId") or f"cancel-{market.execution_id + 1}"

    def _cancel_order(self, request: Request) -> Any:
        market = self.market(request)
        cancel_id = self._cancel_id(request, market)
        order = self.venue.cancel(
            request.owner.name,
            market.rules.symbol,
            request.now,
            order_id=integer(request.params, "orderId"),
            client_order_id=request.params.get("origClientOrderId"),
            cancel_client_id=cancel_id,
            only=RESTRICTIONS.get(request.params.get("cancelRestrictions", "")),
        )
        return views.canceled(order, cancel_id, request.scale)

    def _cancel_all(self, request: Request) -> Any:
        market = self.market(request)
        cancel_id = self._cancel_id(request, market)
        orders = self.venue.cancel_all(request.owner.name, market.rules.symbol, request.now, cancel_id)
        if not orders:
            raise Refused(Refusal.UNKNOWN_ORDER)
        return [views.canceled(order, cancel_id, request.scale) for order in orders]

    def _shown(self, request: Request, kind: str, order: Order, time: int) -> bool:
        """Whether a record of `time` that belongs to `order` has reached the reads, standing faults considered."""
        if not self.faults.ordered:
            return True
        facts = {"account": order.account, "symbol": order.symbol, "client_order_id": order.client_order_id}
        return time + self.faults.lag(kind, request.call.name, facts) <= request.now

    def _get_order(self, request: Request) -> Any:
        market = self.market(request)
        order_id, client_id = integer(request.params, "orderId"), request.params.get("origClientOrderId")
        symbol, owner = market.rules.symbol, request.owner.name
        order = self.venue.find(owner, symbol, order_id=order_id, client_order_id=client_id)
        if order is None:
            if client_id is not None and self.venue.find(owner, symbol, order_id=order_id) is not None:
                raise BinanceError(-2039, "Client order ID is not correct for this order ID.")
            raise BinanceError(-2013, "Order does not exist.")
        if not self._shown(request, "not_found_for", order, order.time):
            raise BinanceError(-2013, "Order does not exist.")
        return views.order_object(order, request.scale)

    def _open_orders(self, request: Request) -> Any:
        symbol = self.market(request).rules.symbol if "symbol" in request.params else None
        return [
            views.order_object(order, request.scale)
            for order in self.venue.open_orders(request.owner.name, symbol)
            if self._shown(request, "not_found_for", order, order.time)
        ]

    def _all_orders(self, request: Request) -> Any:
        market, params = self.market(request), request.params
        symbol = market.rules.symbol
        rows = [
            order
            for order in self.venue.orders(request.owner.name, symbol)
            if self._shown(request, "not_found_for", order, order.time)
        ]
        start, end = self._window(params)
        first = integer(params, "orderId")
        if first is not None:
            rows = [order for order in rows if order.order_id >= first]
        rows = [order for order in rows if start <= order.time <= end]
        limit = min(MAX_ROWS, _count(params.get("limit"), DEFAULT_ROWS))
        forward = first is not None or "startTime" in params
        rows = rows[:limit] if forward else rows[-limit:] if limit else []
        return [views.order_object(order, request.scale) for order in rows]

    @staticmethod
    def _window(params: Mapping[str, str]) -> tuple[int, int]:
        start, end = moment(params, "startTime"), moment(params, "endTime")
        if start is not None and end is not None and end - start > DAY_MS:
            raise BinanceError(-1127, "More than 24 hours between startTime and endTime.")
        return start or 0, end if end is not None else 10**15

    # -- account -------------------------------------------------------------------------------------------------

    def _account(self, request: Request) -> Any:
        assets = [asset for market in self.venue.markets.values() for asset in (market.rules.base, market.rules.quote)]
        omit = request.params.get("omitZeroBalances") == "true"
        return views.account_object(request.owner, assets, request.scale, omit_zero=omit)

    def _my_trades(self, request: Request) -> Any:
        market, params = self.market(request), request.params
        chosen = frozenset(params) & {"orderId", "fromId", "startTime", "endTime"}
        if len(chosen) > 1 and chosen not in TRADE_COMBINATIONS:
            raise BinanceError(-1128, "Combination of optional parameters invalid.")
        start, end = self._window(params)
        order_id, from_id = integer(params, "orderId"), integer(params, "fromId")
        if order_id is not None:
            rows = [t for t in market.trades.get(order_id, []) if t.account == request.owner.name]
        else:
            rows = self.venue.trades(request.owner.name, market.rules.symbol)
        if from_id is not None:
            rows = rows[bisect_left(rows, from_id, key=lambda trade: trade.id) :]
        if "startTime" in params or "endTime" in params:
            rows = [trade for trade in rows if start <= trade.time <= end]
        if self.faults.ordered:
            orders = market.orders
            rows = [t for t in rows if self._shown(request, "lagging_trades", orders[t.order_id], t.time)]
        limit = min(MAX_ROWS, _count(params.get("limit"), DEFAULT_ROWS))
        forward = from_id is not None or "startTime" in params
        rows = rows[:limit] if forward else rows[-limit:] if limit else []
        return [views.trade_object(trade, request.scale) for trade in rows]

    def _order_counts(self, request: Request) -> Any:
        seconds, day = self.limits.orders(request.owner.name)
        settings = self.limits.settings
        return [
            {
                "rateLimitType": "ORDERS",
                "interval": interval,
                "intervalNum": number,
                "limit": limit,
                "count": window.at(request.now),
            }
            for interval, number, limit, window in (
                ("SECOND", 10, settings.orders_10s, seconds),
                ("DAY", 1, settings.orders_1d, day),
            )
        ]

    def _commission(self, request: Request) -> Any:
        return views.commission(request.owner, self.market(request).rules.symbol)
