"""BTCTurk REST as its venue's protocol face (docs/btcturk.md). Faults and sockets are the server's business.

Checks run in this order: quota, headers, key, signature, stamp, address, permission, parameters, the pair's rules,
the matching engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from exchanges.matching import Side
from exchanges.simulator import btcturk_signatures as signatures
from exchanges.simulator import btcturk_views as views
from exchanges.simulator.accounts import ZERO
from exchanges.simulator.btcturk_limits import Exceeded, FixedWindows
from exchanges.simulator.btcturk_rules import ASSETS, PairRules, Rejection, fits, number
from exchanges.simulator.btcturk_venue import BtcturkVenue, TurkAccount, TurkOrder, TurkTrade
from exchanges.simulator.clock import Clock
from exchanges.simulator.faults import Faults
from exchanges.simulator.venue import OrderRequest, OrderType, Refusal, Refused

Json = dict[str, Any]

CODES: dict[str, int | str] = {
    "PAIR_NOT_FOUND_ERROR": 1027,
    "INVALID_REQUEST": 1037,
    "startTime cannot be bigger than current time": 1038,
    "ORDER_COULD_NOT_BE_CANCELED": 1050,
    "ORDER_CANCEL_BLOCKED": 1051,
    "NO_ORDER_MATCHES_YOUR_REQUEST": 1052,
    "BALANCE_NOT_ENOUGH": 1055,
    "FAILED_SET_ORDER_UNEXPECTED": 1117,
    "FAILED_MARKET_ORDER": 1118,
    "FAILED_LIMIT_ORDER": 1120,
    "FAILED_ORDER_PARAMETER": 1121,
    "FAILED_ORDER_WITH_OPEN_ORDERS": 1122,
    "FAILED_MIN_TOTAL_AMOUNT": 1123,
    "FAILED_STOP_PRICE_GREATER_THAN_BEST_ASK": 1124,
    "FAILED_STOP_PRICE_LESS_THAN_BEST_BID": 1125,
    "FAILED_INVALID_PRICE_SCALE": 1126,
    "FAILED_INVALID_QUANTITY_SCALE": 1127,
    "FAILED_INVALID_STOP_PRICE_SCALE": 1128,
    "ORDER_METHOD_NOT_SUPPORTED": 1134,
    "Order not found": 1152,
    "ORDER_TYPE_NOT_SUPPORTED": 1193,
    "PRICE_MUST_BE_LESS_THAN_MAXPRICE": 1226,
    "PRICE_MUST_BE_LESS_THAN_MINPRICE": 1227,
    "ORDER_MAX_PRICE_EXCEEDED": 1228,
    "ORDER_MIN_PRICE_EXCEEDED": 1229,
    "MAXIMUM_ORDER_AMOUNT_EXCEEDED": 1230,
    "INTERNAL_ERROR": "INTERNAL_ERROR",
    "SYSTEM_UNDER_MAINTENANCE": "SYSTEM_UNDER_MAINTENANCE",
}
"""Messages and their codes since 6 May 2024 (docs/btcturk.md §5); the last three numbers are not known and made up."""

KINDS = {
    "market": OrderType.MARKET,
    "limit": OrderType.LIMIT,
    "stopmarket": OrderType.STOP_LOSS_LIMIT,
    "stoplimit": OrderType.STOP_LOSS_LIMIT,
}
LISTED = {"market": "MARKET", "limit": "LIMIT", "stopmarket": "STOP_MARKET", "stoplimit": "STOP_LIMIT"}
"""Order methods as exchangeinfo names them."""

MAX_CLIENT_ID = 50
MAX_DIGITS = 20
DEFAULT_BOOK, MAX_BOOK = 100, 100
PUBLIC_ROWS = 50
DEFAULT_ORDERS, MAX_ORDERS = 100, 1000
MAX_TRADES = 200
DAY_MS = 86_400_000
TRADE_WINDOW_MS = 30 * DAY_MS
UNAUTHORIZED_IN_A_ROW = 50
BLOCK_MS = 600_000
"""More than so many refused signatures in a row block the address for ten minutes (docs/btcturk.md §1)."""

BLOCKED = (
    "<!DOCTYPE html>\n<html><head><title>Access denied | api.btcturk.com used Cloudflare to restrict access</title>"
    "</head><body><h1>Error 1020</h1><p>Access denied</p></body></html>\n"
)
GATEWAY_TIMEOUT = (
    "<!DOCTYPE html>\n<html><head><title>api.btcturk.com | 504: Gateway time-out</title></head>"
    "<body><h1>Gateway time-out</h1><p>Error code 504</p></body></html>\n"
)


class Unauthorized(Exception):
    """A private call that is refused before it is looked at."""


class Throttled(Exception):
    """A call over its quota."""

    def __init__(self, exceeded: Exceeded, policy: str) -> None:
        super().__init__(policy)
        self.exceeded = exceeded
        self.policy = policy


class Blocked(Exception):
    """A call from an address that is shut out for a while."""


@dataclass(slots=True, frozen=True)
class Answer:
    """A finished HTTP answer."""

    status: int
    body: bytes
    headers: dict[str, str]


@dataclass(slots=True, frozen=True)
class Call:
    """One HTTP request. `query` keeps repeated names; `target` is the order id of a path that carries one."""

    method: str
    name: str
    query: Mapping[str, Sequence[str]]
    headers: Mapping[str, str]
    body: Json
    remote: str
    target: str = ""

    def one(self, name: str) -> str | None:
        """The last value of a query parameter; None when absent or empty."""
        values = self.query.get(name)
        return values[-1] or None if values else None


@dataclass(slots=True, frozen=True)
class Endpoint:
    """One call: what carries it out, its quota, the right it needs ("" for public ones)."""

    run: Callable[[Request], Any]
    group: str
    permission: str = ""
    places: bool = False


@dataclass(slots=True, frozen=True)
class Request:
    """A call that passed the gate."""

    call: Call
    endpoint: Endpoint
    now: int
    account: TurkAccount | None = None

    @property
    def owner(self) -> TurkAccount:
        """The account of a private call."""
        if self.account is None:
            raise Unauthorized("Invalid Request")
        return self.account

    def at(self, now: int) -> Request:
        """The same request carried out at another time."""
        return replace(self, now=now)


@dataclass(slots=True)
class _Stamps:
    seen: dict[int, None] = field(default_factory=dict)
    last: int = 0


def asset_pair(text: object) -> str | None:
    """A pair's name from either spelling, BTCTRY or BTC_TRY; None for anything that is no text."""
    return text.replace("_", "") if isinstance(text, str) else None


def json_body(raw: bytes) -> Json:
    """The object of a JSON body, numbers as the text they were sent in; empty for anything else."""
    try:
        found = json.loads(raw, parse_float=str, parse_int=str) if raw else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def integer(text: str | None, default: int) -> int:
    """A whole number of a query; anything else counts as absent."""
    return int(text) if text and text.isdecimal() and len(text) <= MAX_DIGITS else default


def _iso(now: int) -> str:
    moment = datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{now % 1000:03}Z"


class BtcturkFace:
    """The BTCTurk REST protocol over its venue."""

    def __init__(
        self, venue: BtcturkVenue, faults: Faults, clock: Clock, later: Callable[[int, Callable[[], None]], None]
    ) -> None:
        self.venue = venue
        self.faults = faults
        self.clock = clock
        self.windows = FixedWindows()
        self.blocked_until = 0
        self._later = later
        self._stamps: dict[str, _Stamps] = {}
        self._unauthorized = 0
        table: dict[str, Endpoint] = {
            "GET /api/v2/server/time": Endpoint(self._time, "public"),
            "GET /api/v2/server/ping": Endpoint(lambda request: {"pong": True}, "public"),
            "GET /api/v2/server/exchangeinfo": Endpoint(self._exchange_info, "public"),
            "GET /api/v2/ticker": Endpoint(self._ticker, "ticker"),
            "GET /api/v2/ticker/currency": Endpoint(self._ticker_of_asset, "ticker"),
            "GET /api/v2/orderbook": Endpoint(self._order_book, "orderbook"),
            "GET /api/v2/trades": Endpoint(self._public_trades, "public"),
            "GET /v1/ohlcs": Endpoint(self._ohlcs, "ohlcs"),
            "GET /v1/klines/history": Endpoint(self._klines, "graph"),
            "GET /api/v1/users/balances": Endpoint(self._balances, "balances", "total_funds"),
            "POST /api/v1/order": Endpoint(self._new_order, "order", "trade", places=True),
            "DELETE /api/v1/order": Endpoint(self._cancel_order, "order", "trade"),
            "GET /api/v1/order/{id}": Endpoint(self._get_order, "order_query", "trade"),
            "GET /api/v1/openOrders": Endpoint(self._open_orders, "open_orders", "trade"),
            "GET /api/v1/allOrders": Endpoint(self._all_orders, "all_orders", "trade"),
            "GET /api/v1/users/transactions/trade": Endpoint(self._trades, "trades", "account"),
            "GET /api/v1/users/transactions/crypto": Endpoint(self._transfers, "transfers", "account"),
            "GET /api/v1/users/transactions/fiat": Endpoint(self._transfers, "transfers", "account"),
        }
        self._endpoints = table
        self._names = {name.lower(): name for name in table}
        self._paths = {name.partition(" ")[2].lower() for name in table}

    # -- entry points --------------------------------------------------------------------------------------------

    def route(self, method: str, path: str) -> tuple[str, str] | int:
        """The canonical name of a call and the order id in its path, or the status of a wrong path or method.

        Paths match in any case (docs/btcturk.md §2.2).
        """
        plain, target = path.rstrip("/"), ""
        head, _, tail = plain.rpartition("/")
        if head.lower() == "/api/v1/order":
            plain, target = head + "/{id}", tail
        name = self._names.get(f"{method} {plain}".lower())
        if name is not None:
            return name, target
        return 405 if plain.lower() in self._paths else 404

    def endpoint(self, call: Call) -> Endpoint:
        """The endpoint of a routed call."""
        return self._endpoints[call.name]

    def prepare(self, call: Call, now: int) -> Request:
        """Quota and authentication. Raises `Blocked`, `Throttled` or `Unauthorized`."""
        endpoint = self.endpoint(call)
        if self.blocked_until > now:
            raise Blocked
        self._count(call, endpoint, now)
        if not endpoint.permission:
            return Request(call, endpoint, now)
        try:
            account = self._authenticate(call, endpoint, now)
        except Unauthorized:
            self._unauthorized += 1
            if self._unauthorized > UNAUTHORIZED_IN_A_ROW:
                self.blocked_until, self._unauthorized = now + BLOCK_MS, 0
            raise
        self._unauthorized = 0
        return Request(call, endpoint, now, account)

    def execute(self, request: Request) -> Answer:
        """Carry a checked request out and word the answer; never raises for a refused request."""
        try:
            return self.finish(200, request.endpoint.run(request))
        except Rejection as rejection:
            return self.rejected(rejection.message, request.endpoint.places, rejection.status)
        except Refused as refused:
            return self.rejected(self._refusal(refused, request), request.endpoint.places)

    def authentic(self, call: Call) -> TurkAccount | None:
        """The account whose valid signature the call carries, whatever else is wrong with it."""
        account = self.venue.by_key.get(call.headers.get("X-PCK", ""))
        stamp, signature = call.headers.get("X-Stamp", ""), call.headers.get("X-Signature", "")
        if account is None or not signatures.verify(account.api_key, account.api_secret, stamp, signature):
            return None
        return cast(TurkAccount, account)

    def forget(self) -> None:
        """Lift quotas, blocks and the memory of stamps."""
        self.windows.reset()
        self._stamps.clear()
        self._unauthorized = self.blocked_until = 0

    def facts(self, call: Call) -> dict[str, str | None]:
        """What faults match on: the account, and the order a call names or makes."""
        account = self.venue.by_key.get(call.headers.get("X-PCK", ""))
        order = self._named(call)
        client_id = call.body.get("newOrderClientId")
        pair = call.one("pairSymbol") or call.body.get("pairSymbol")
        return {
            "exchange": "btcturk",
            "account": account.name if account is not None else None,
            "symbol": order.symbol if order is not None else asset_pair(pair),
            "client_order_id": order.client_order_id if order is not None else client_id,
        }

    def _named(self, call: Call) -> TurkOrder | None:
        text = call.target or (call.one("id") if call.method == "DELETE" else None)
        return self.venue.by_id.get(integer(text, 0))

    def named(self, call: Call, account: TurkAccount) -> TurkOrder | None:
        """The account's order that a call names by id."""
        order = self._named(call)
        return order if order is not None and order.account == account.name else None

    # -- answers -------------------------------------------------------------------------------------------------

    @staticmethod
    def finish(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
        """A JSON answer."""
        return Answer(
            status,
            views.encode(body).encode(),
            {"Content-Type": "application/json; charset=utf-8", **(headers or {})},
        )

    @staticmethod
    def page(status: int, html: str) -> Answer:
        """An answer of the content network in front."""
        return Answer(status, html.encode(), {"Content-Type": "text/html; charset=UTF-8", "cf-ray": "8f0000000000-IST"})

    def rejected(
        self, message: str, places: bool, status: int = 400, code: int | str | None = None, details: Any = None
    ) -> Answer:
        """A refusal: success false, message, code; POST order repeats the status in the body."""
        if code is None:
            code = CODES.get(message, 1000)
        if isinstance(code, int) and self.venue.settings.legacy_codes:
            code += 1
        body: Json = {"success": False, "message": message, "code": code}
        if places:
            body.update(data=details, httpStatusCode=status)
        return self.finish(status, body)

    def unauthorized(self, reason: str) -> Answer:
        """HTTP 401 in the shape the settings ask for (docs/btcturk.md §1)."""
        if self.venue.settings.auth_answer == "body":
            text = f"Unauthorized - {reason}"
            return self.finish(401, {"success": True, "message": text, "code": 1037})
        return Answer(401, b"", {"WWW-Authenticate": "Bearer"})

    def throttled(self, exceeded: Exceeded, policy: str) -> Answer:
        """HTTP 429 with its body and Retry-After (docs/btcturk.md §2.1)."""
        minutes, seconds = divmod(exceeded.period, 60)
        period = f"{seconds}s" if seconds else f"{minutes}m"
        details = f"Quota exceeded. Maximum allowed: {exceeded.limit} per {period}."
        if policy == "account":
            details += f" Please try again in {exceeded.retry_after} second(s)."
        body = {
            "message": "TOO_MANY_REQUESTS",
            "success": False,
            "code": 429,
            "details": details,
            "limit": str(exceeded.limit),
            "period": period,
            "policy": policy,
        }
        return self.finish(429, body, {"Retry-After": str(exceeded.retry_after)})

    def _refusal(self, refused: Refused, request: Request) -> str:
        if refused.reason is Refusal.UNKNOWN_ORDER:
            return "NO_ORDER_MATCHES_YOUR_REQUEST"
        if refused.reason is Refusal.CANCEL_RESTRICTED:
            return "ORDER_COULD_NOT_BE_CANCELED"
        if refused.reason is Refusal.THIN_BOOK:
            return "FAILED_MARKET_ORDER"
        rules = self._pair(request.call.body.get("pairSymbol"))
        asset = rules.quote if str(request.call.body.get("orderType")).lower() == "buy" else rules.base
        busy = request.owner.balance(asset).locked or self.venue.unreleased(request.owner, asset, request.now)
        return "FAILED_ORDER_WITH_OPEN_ORDERS" if busy else "BALANCE_NOT_ENOUGH"

    # -- gate ----------------------------------------------------------------------------------------------------

    def _count(self, call: Call, endpoint: Endpoint, now: int) -> None:
        settings = self.venue.settings
        if not settings.limits_on:
            return
        by_account = endpoint.group in ("order", "order_query")
        caller = f"{call.headers.get('X-PCK', '')}@{call.remote}" if by_account else call.remote
        exceeded = self.windows.count(endpoint.group, caller, settings.limits[endpoint.group], now)
        if exceeded is not None:
            raise Throttled(exceeded, "account" if by_account else "ip")

    def connecting(self, remote: str, now: int) -> Answer | None:
        """The answer to one attempt too many to open a websocket; None for a welcome one."""
        if self.blocked_until > now:
            return self.page(403, BLOCKED)
        if not self.venue.settings.limits_on:
            return None
        exceeded = self.windows.count("websocket", remote, self.venue.settings.limits["websocket"], now)
        return None if exceeded is None else self.throttled(exceeded, "ip")

    def _authenticate(self, call: Call, endpoint: Endpoint, now: int) -> TurkAccount:
        stamp = call.headers.get("X-Stamp", "")
        if not call.headers.get("X-PCK") or not stamp or not call.headers.get("X-Signature"):
            raise Unauthorized("Headers are missing")
        if call.headers["X-PCK"] not in self.venue.by_key:
            raise Unauthorized("Invalid Public Key / Private Key")
        account = self.authentic(call)
        if account is None:
            raise Unauthorized("Invalid Signature")
        if not (stamp.isascii() and stamp.isdecimal()):
            raise Unauthorized("Invalid Nonce")
        self._check_stamp(account.api_key, int(stamp), now)
        if (account.ip and account.ip != call.remote) or endpoint.permission not in account.permissions:
            raise Unauthorized("Invalid Request")
        return account

    def _check_stamp(self, key: str, stamp: int, now: int) -> None:
        """Within the window around server time, and not used before (docs/btcturk.md §1)."""
        settings, known = self.venue.settings, self._stamps.setdefault(key, _Stamps())
        if abs(stamp - now) > settings.stamp_window_ms:
            raise Unauthorized("Invalid Nonce")
        if (settings.stamps != "any" and stamp in known.seen) or (
            settings.stamps == "increasing" and stamp <= known.last
        ):
            raise Unauthorized("Invalid Nonce")
        known.last = max(known.last, stamp)
        known.seen[stamp] = None
        # Stamps this old fail the window anyway.
        while (oldest := next(iter(known.seen))) < now - 2 * settings.stamp_window_ms:
            del known.seen[oldest]

    # -- market data ---------------------------------------------------------------------------------------------

    def _time(self, request: Request) -> Any:
        return {"serverTime": request.now, "serverTime2": _iso(request.now)}

    def _exchange_info(self, request: Request) -> Any:
        venue = self.venue
        pairs = [
            views.symbol_object(rules, venue.settings.pair(symbol), venue.markets[symbol].last)
            for symbol, rules in venue.pairs.items()
        ]
        data = {
            "timeZone": "UTC",
            "serverTime": request.now,
            "symbols": pairs,
            "currencies": [views.currency(number, asset) for number, asset in enumerate(ASSETS, 1)],
            "currencyOperationBlocks": [
                {"currencySymbol": asset, "withdrawalDisabled": False, "depositDisabled": False} for asset in ASSETS
            ],
        }
        return views.envelope(data, None)

    def _tickers(self, chosen: Callable[[PairRules], bool], now: int) -> Json:
        rows = []
        for symbol, rules in self.venue.pairs.items():
            if chosen(rules):
                volume = sum((trade.quantity for trade in self.venue.recent(symbol)), ZERO)
                rows.append(views.ticker(self.venue.markets[symbol], rules, volume, now))
        return views.envelope(rows, None)

    def _ticker(self, request: Request) -> Any:
        wanted = asset_pair(request.call.one("pairSymbol"))
        return self._tickers(lambda rules: wanted is None or rules.symbol == wanted, request.now)

    def _ticker_of_asset(self, request: Request) -> Any:
        asset = request.call.one("symbol")
        return self._tickers(lambda rules: asset in (rules.base, rules.quote), request.now)

    def _order_book(self, request: Request) -> Any:
        rules = self._pair(request.call.one("pairSymbol"))
        book = self.venue.markets[rules.symbol].book
        limit = min(MAX_BOOK, self._count_of(request, "limit", DEFAULT_BOOK))
        data = {
            "timestamp": Decimal(f"{request.now}.0"),
            "bids": views.levels(book.bids()[:limit], rules),
            "asks": views.levels(book.asks()[:limit], rules),
        }
        return views.envelope(data, None, "SUCCESS")

    def _public_trades(self, request: Request) -> Any:
        rules = self._pair(request.call.one("pairSymbol"))
        rows = self.venue.recent(rules.symbol)[: min(PUBLIC_ROWS, self._count_of(request, "last", PUBLIC_ROWS))]
        return views.envelope([views.public_trade(trade, rules) for trade in rows], None)

    def _bar(self, request: Request, name: str) -> tuple[Decimal, Decimal, int]:
        rules = self._pair(request.call.one(name))
        return rules.start_price, self.venue.markets[rules.symbol].last, (request.now - request.now % DAY_MS) // 1000

    def _ohlcs(self, request: Request) -> Any:
        opened, last, day = self._bar(request, "pair")
        bar = {
            "pair": asset_pair(request.call.one("pair")),
            "time": day,
            "open": opened,
            "high": max(opened, last),
            "low": min(opened, last),
            "close": last,
            "volume": ZERO,
            "total": ZERO,
            "average": (opened + last) / 2,
            "dailyChangeAmount": last - opened,
            "dailyChangePercentage": ((last - opened) / opened * 100).quantize(Decimal("0.01")),
        }
        return [bar]

    def _klines(self, request: Request) -> Any:
        opened, last, day = self._bar(request, "symbol")
        high, low = max(opened, last), min(opened, last)
        return {"s": "ok", "t": [day], "o": [opened], "h": [high], "l": [low], "c": [last], "v": [ZERO]}

    # -- orders --------------------------------------------------------------------------------------------------

    def _pair(self, text: Any) -> PairRules:
        rules = self.venue.pairs.get(asset_pair(text) or "")
        if rules is None:
            raise Rejection("PAIR_NOT_FOUND_ERROR")
        return rules

    @staticmethod
    def _count_of(request: Request, name: str, default: int) -> int:
        return integer(request.call.one(name), default)

    def _new_order(self, request: Request) -> Any:
        if "application/json" not in request.call.headers.get("Content-Type", ""):
            raise Rejection("Unsupported Media Type", 415)
        body = request.call.body
        wanted = self._wanted(request.owner, body)
        self.venue.check(wanted)
        placement = self.venue.place(wanted, request.now)
        order = cast(TurkOrder, placement.order)
        sent = wanted.quote_quantity if wanted.quantity is None else wanted.quantity
        data = views.accepted(order, self.venue.pairs[order.symbol], sent or ZERO)
        return {**views.envelope(data), "httpStatusCode": 200}

    def _wanted(self, account: TurkAccount, body: Json) -> OrderRequest:
        """A new order from its JSON fields; unknown fields count for nothing (docs/btcturk.md §2.5)."""
        method, way = str(body.get("orderMethod")).lower(), str(body.get("orderType")).lower()
        if method not in KINDS:
            raise Rejection("ORDER_METHOD_NOT_SUPPORTED")
        if way not in ("buy", "sell"):
            raise Rejection("ORDER_TYPE_NOT_SUPPORTED")
        rules = self._pair(body.get("pairSymbol"))
        state = self.venue.settings.pair(rules.symbol)
        if LISTED[method] not in state.order_methods:
            raise Rejection("ORDER_METHOD_NOT_SUPPORTED")
        failed = "FAILED_MARKET_ORDER" if method == "market" else "FAILED_LIMIT_ORDER"
        if state.status != "TRADING":
            raise Rejection(failed)
        if body.get("quantity") in (None, ""):
            raise Rejection(failed)
        quantity = number(body["quantity"], "FAILED_INVALID_QUANTITY_SCALE")
        price = self._price(body, method)
        stop_price = None
        if method.startswith("stop"):
            stop_price = number(body.get("stopPrice"), "FAILED_INVALID_STOP_PRICE_SCALE")
            if not stop_price:
                raise Rejection("FAILED_ORDER_PARAMETER")
        if price is not None and method.endswith("market"):
            if not fits(price, rules.price_scale):
                raise Rejection("FAILED_INVALID_PRICE_SCALE")
            price = None
        client_id = body.get("newOrderClientId") or None
        if client_id is not None and (not isinstance(client_id, str) or len(client_id) > MAX_CLIENT_ID):
            raise Rejection("FAILED_ORDER_PARAMETER")
        in_quote = method.endswith("market") and way == "buy"
        return OrderRequest(
            account=account.name,
            symbol=rules.symbol,
            side=Side(way.upper()),
            type=KINDS[method],
            client_order_id=client_id,
            quantity=None if in_quote else quantity,
            quote_quantity=quantity if in_quote else None,
            price=price,
            stop_price=stop_price,
        )

    @staticmethod
    def _price(body: Json, method: str) -> Decimal | None:
        """A limit needs a price, a stop market must not carry one, a market order may (docs/btcturk.md §2.5)."""
        sent = body.get("price")
        if method == "stopmarket" and sent is not None:
            raise Rejection("FAILED_ORDER_PARAMETER")
        if sent in (None, ""):
            if method.endswith("limit"):
                raise Rejection("FAILED_LIMIT_ORDER")
            return None
        price = number(sent, "FAILED_INVALID_PRICE_SCALE")
        if method.endswith("limit") and not price:
            raise Rejection("FAILED_LIMIT_ORDER")
        return price

    def _cancel_order(self, request: Request) -> Any:
        """Only the query's id counts, a body is ignored; the order ends a little later (docs/btcturk.md §2.6)."""
        order = self.named(request.call, request.owner)
        if order is None:
            raise Rejection("NO_ORDER_MATCHES_YOUR_REQUEST")
        if self.venue.settings.pair(order.symbol).cancel_blocked:
            raise Rejection("ORDER_CANCEL_BLOCKED")
        delay = self.venue.settings.cancel_delay_ms
        self.venue.ask_cancel(request.owner.name, order.order_id, request.now, delay)
        if order.status.is_open:
            self._later(delay + 1, lambda: self.venue.finish_cancels(self.clock.now()))
        return {"success": True, "message": "SUCCESS", "code": 0}

    def _shown(self, request: Request, kind: str, order: TurkOrder, time: int) -> bool:
        """Whether a record of `time` that belongs to `order` has reached the reads, standing faults considered."""
        if not self.faults.ordered:
            return True
        facts = {
            "exchange": "btcturk",
            "account": order.account,
            "symbol": order.symbol,
            "client_order_id": order.client_order_id,
        }
        return time + self.faults.lag(kind, request.call.name, facts) <= request.now

    def _fills(self, order: TurkOrder) -> list[TurkTrade]:
        trades = self.venue.markets[order.symbol].trades.get(order.order_id, [])
        return cast(list[TurkTrade], trades)

    def _get_order(self, request: Request) -> Any:
        order = self.named(request.call, request.owner)
        if order is None or not self._shown(request, "not_found_for", order, order.time):
            raise Rejection("Order not found")
        rules = self.venue.pairs[order.symbol]
        return views.envelope(views.order_object(order, rules, self._fills(order), single=True))

    def _open_orders(self, request: Request) -> Any:
        pair = request.call.one("pairSymbol")
        symbol = self._pair(pair).symbol if pair is not None else None
        data: dict[str, list[Json]] = {"asks": [], "bids": []}
        for found in self.venue.open_orders(request.owner.name, symbol):
            order = cast(TurkOrder, found)
            if self._shown(request, "not_found_for", order, order.time):
                row = views.order_object(order, self.venue.pairs[order.symbol], self._fills(order), listed_open=True)
                data["bids" if order.side is Side.BUY else "asks"].append(row)
        return views.envelope(data)

    def _all_orders(self, request: Request) -> Any:
        """Newest first; startTime and endTime are in seconds, unlike everywhere else (docs/btcturk.md §2.7)."""
        rules = self._pair(request.call.one("pairSymbol"))
        start, end = self._count_of(request, "startTime", 0), self._count_of(request, "endTime", 10**12)
        if start * 1000 > request.now:
            raise Rejection("startTime cannot be bigger than current time")
        first = self._count_of(request, "orderId", 0)
        rows = [
            order
            for order in map(self.venue.by_id.__getitem__, self._ids(request, rules.symbol))
            if order.order_id >= first
            and start <= order.time // 1000 <= end
            and self._shown(request, "not_found_for", order, order.time)
        ]
        limit = max(1, min(MAX_ORDERS, self._count_of(request, "limit", DEFAULT_ORDERS)))
        skipped = (max(1, self._count_of(request, "page", 1)) - 1) * limit
        page = rows[skipped : skipped + limit]
        return views.envelope([views.order_object(order, rules, self._fills(order)) for order in page])

    def _ids(self, request: Request, symbol: str) -> list[int]:
        return [order.order_id for order in reversed(self.venue.orders(request.owner.name, symbol))]

    # -- account -------------------------------------------------------------------------------------------------

    def _balances(self, request: Request) -> Any:
        comma = self.venue.settings.comma_balances
        return views.envelope(views.balances(request.owner, request.now, comma=comma))

    def _trades(self, request: Request) -> Any:
        """Newest first, at most 200; orderId stands alone (docs/btcturk.md §2.8)."""
        call = request.call
        filters = {name for name in ("type", "symbol", "pairSymbol", "startDate", "endDate") if name in call.query}
        order_id = call.one("orderId")
        if order_id is not None and filters:
            raise Rejection("INVALID_REQUEST")
        pair = call.one("pairSymbol")
        symbols = [self._pair(pair).symbol] if pair is not None else list(self.venue.pairs)
        start = self._count_of(request, "startDate", request.now - TRADE_WINDOW_MS)
        end = self._count_of(request, "endDate", 10**15)
        sides = {text.upper() for text in call.query.get("type", ())} or {"BUY", "SELL"}
        assets = set(call.query.get("symbol", ()))
        rows = []
        for trade in self.venue.executions(request.owner.name, symbols):
            rules, order = self.venue.pairs[trade.symbol], self.venue.by_id[trade.order_id]
            if order_id is not None:
                chosen = str(trade.order_id) == order_id
            else:
                chosen = start <= trade.time <= end and trade.side in sides and (not assets or rules.base in assets)
            if chosen and self._shown(request, "lagging_trades", order, trade.time):
                rows.append(views.transaction(trade, rules, order.client_order_id))
                if len(rows) == MAX_TRADES:
                    break
        return views.envelope(rows)

    def _transfers(self, request: Request) -> Any:
        return views.envelope([])
