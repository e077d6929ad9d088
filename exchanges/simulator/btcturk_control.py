"""The control API for BTCTurk: its accounts, orders and switches (docs/simulator.md)."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from exchanges.simulator.accounts import Account
from exchanges.simulator.btcturk_rules import Rejection
from exchanges.simulator.btcturk_server import BtcturkServer
from exchanges.simulator.btcturk_settings import METHODS, PERMISSIONS, BtcturkSettings, PairState
from exchanges.simulator.btcturk_signatures import secret_bytes
from exchanges.simulator.btcturk_venue import MAKER_FEE, TAKER_FEE, TAX_RATE, BtcturkVenue, TurkAccount
from exchanges.simulator.control import Control, ControlError, ControlRequest, Json, amount, text
from exchanges.simulator.limits import RateLimits
from exchanges.simulator.venue import Market, OrderRequest, OrderType

CHOICES = {
    "auth_answer": ("empty", "body"),
    "stamps": ("unique", "increasing", "any"),
    "login_nonce": ("any", "3000", "timestamp"),
}


class BtcturkControl(Control):
    """The control API over BTCTurk's venue. Rate limits and the other switches are its settings."""

    venue: BtcturkVenue

    def __init__(self, server: BtcturkServer, limits: RateLimits, *, seed: int, short_bounds: bool) -> None:
        super().__init__(server.venue, server.faults, limits, server.clock, seed=seed, short_bounds=short_bounds)
        self.venue = server.venue
        self.face = server.face
        self.pending = server.pending
        self._routes["GET settings"] = lambda request: self._settings()
        self._routes["POST settings"] = self._set_settings
        self._routes["GET limits"] = lambda request: self._settings()["limits"]
        del self._routes["POST limits"]
        streams = self._streams = server.streams
        self._routes["GET streams"] = lambda request: [each.view() for each in streams.connections.values()]
        self._routes["POST streams/disconnect"] = self._disconnect

    # -- accounts ------------------------------------------------------------------------------------------------

    def _account_view(self, account: Account) -> Json:
        view = {"exchange": "btcturk", **super()._account_view(account)}
        del view["bnb_fees"]
        if isinstance(account, TurkAccount):
            view.update(tax_rate=format(account.tax_rate, "f"), permissions=list(account.permissions), ip=account.ip)
        return view

    def _add_account(self, request: ControlRequest) -> Json:
        body = request.body
        amounts = self._amounts(body)
        if any(value < 0 for value in amounts.values()):
            raise ControlError(400, "balances must not be negative")
        permissions = body.get("permissions", list(PERMISSIONS))
        if not isinstance(permissions, list) or set(permissions) - set(PERMISSIONS):
            raise ControlError(400, f"permissions are {', '.join(PERMISSIONS)}")
        secret_bytes(text(body, "api_secret"))
        maker, taker, tax = amount(body, "maker_fee"), amount(body, "taker_fee"), amount(body, "tax_rate")
        account, created = self.venue.add_account(
            text(body, "name"),
            text(body, "api_key"),
            text(body, "api_secret"),
            amounts,
            self.clock.now(),
            permissions=permissions,
            ip=str(body.get("ip", "")),
            maker_fee=MAKER_FEE if maker is None else maker,
            taker_fee=TAKER_FEE if taker is None else taker,
            tax_rate=TAX_RATE if tax is None else tax,
        )
        if not created and (account.api_key, account.api_secret) != (body["api_key"], body["api_secret"]):
            raise ControlError(409, "the account exists with other keys")
        return {**self._account_view(account), "created": created}

    def _fees(self, request: ControlRequest) -> Json:
        account, body = self._account(request.name), request.body
        maker, taker, tax = amount(body, "maker_fee"), amount(body, "taker_fee"), amount(body, "tax_rate")
        return self._account_view(self.venue.set_fees(account.name, maker, taker, None, self.clock.now(), tax=tax))

    # -- orders --------------------------------------------------------------------------------------------------

    def _check_order(self, market: Market, wanted: OrderRequest) -> None:
        if wanted.type not in (OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_LOSS_LIMIT):
            raise ControlError(400, "type is LIMIT, MARKET or STOP_LOSS_LIMIT (without a price: a stop market)")
        if (wanted.stop_price is not None) is not wanted.type.has_trigger:
            raise ControlError(400, "stop_price goes with STOP_LOSS_LIMIT")
        if (wanted.price is None) is (wanted.type is OrderType.LIMIT):
            raise ControlError(400, "price goes with LIMIT and, if it is not a stop market, STOP_LOSS_LIMIT")
        in_quote = wanted.price is None and wanted.side.value == "BUY"
        if (wanted.quote_quantity is None) is in_quote or (wanted.quantity is None) is not in_quote:
            raise ControlError(400, "give quote_quantity for a (stop) market BUY, quantity for all else")
        try:
            self.venue.check(wanted)
        except Rejection as rejection:
            raise ControlError(400, rejection.message) from None

    # -- switches ------------------------------------------------------------------------------------------------

    def _settings(self) -> Json:
        return asdict(self.venue.settings)

    def _set_settings(self, request: ControlRequest) -> Json:
        """Any subset; quotas and the memory of stamps start again."""
        settings = self.venue.settings
        checked = {name: self._setting(settings, name, value) for name, value in request.body.items()}
        for name, value in checked.items():
            setattr(settings, name, value)
        self.face.forget()
        return self._settings()

    def _setting(self, settings: BtcturkSettings, name: str, value: Any) -> Any:
        if name == "limits":
            return {**settings.limits, **self._limits(settings, value)}
        if name == "pairs":
            return {**settings.pairs, **self._pairs(value)}
        if name not in {item.name for item in fields(BtcturkSettings)}:
            raise ControlError(400, f"there is no setting {name}")
        if type(value) is not type(getattr(settings, name)) or (name in CHOICES and value not in CHOICES[name]):
            raise ControlError(400, f"{name} is one of {CHOICES[name]}" if name in CHOICES else f"{name}: wrong type")
        return value

    @staticmethod
    def _limits(settings: BtcturkSettings, value: Any) -> dict[str, list[tuple[int, int]]]:
        try:
            found = {name: [(int(calls), int(seconds)) for calls, seconds in rows] for name, rows in value.items()}
        except (AttributeError, TypeError, ValueError):
            raise ControlError(400, "limits maps groups to lists of [calls, seconds]") from None
        if unknown := set(found) - set(settings.limits):
            raise ControlError(400, f"there is no group {', '.join(sorted(unknown))}")
        return found

    def _pairs(self, value: Any) -> dict[str, PairState]:
        if not isinstance(value, dict):
            raise ControlError(400, "pairs maps names to status, order_methods and cancel_blocked")
        found = {}
        for symbol, wanted in value.items():
            self._market(symbol)
            state = PairState(**asdict(self.venue.settings.pair(symbol)))
            for name, item in wanted.items():
                if name == "order_methods" and isinstance(item, list) and not set(item) - set(METHODS):
                    state.order_methods = tuple(item)
                elif name in ("status", "cancel_blocked") and type(item) is type(getattr(state, name)):
                    setattr(state, name, item)
                else:
                    raise ControlError(400, f"{name} of {symbol} cannot be that")
            found[symbol] = state
        return found

    def _disconnect(self, request: ControlRequest) -> Json:
        account, reset = request.body.get("account"), bool(request.body.get("reset", False))
        name = None if account is None else self._account(account).name
        return {"disconnected": self._streams.disconnect(name, reset=reset)}

    def _reset(self) -> Json:
        self._streams.reset()
        self.venue.settings = BtcturkSettings()
        self.face.forget()
        return super()._reset()

    def _clear_faults(self) -> Json:
        self.face.blocked_until = 0
        return super()._clear_faults()
