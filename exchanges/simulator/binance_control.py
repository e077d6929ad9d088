"""Control calls that only Binance has: symbol status, keys with a public half, and its WebSocket connections."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from exchanges.simulator import signatures
from exchanges.simulator.binance_market_socket import MarketSockets
from exchanges.simulator.binance_socket import Sockets, SocketSettings
from exchanges.simulator.clock import Clock
from exchanges.simulator.control import Control, ControlError, ControlRequest, Json, text
from exchanges.simulator.faults import Faults
from exchanges.simulator.limits import RateLimits
from exchanges.simulator.venue import SymbolStatus, Venue


class BinanceControl(Control):
    """The control API over the Binance venue and its connections."""

    def __init__(
        self,
        venue: Venue,
        faults: Faults,
        limits: RateLimits,
        clock: Clock,
        sockets: Sockets,
        markets: MarketSockets,
        *,
        seed: int,
        short_bounds: bool,
    ) -> None:
        super().__init__(venue, faults, limits, clock, seed=seed, short_bounds=short_bounds)
        self._sockets = sockets
        self._markets = markets
        self._routes.update(
            {
                "POST market/*/status": self._set_status,
                "GET streams": lambda request: [each.view() for each in sockets.connections.values()],
                "GET streams/settings": lambda request: asdict(sockets.settings),
                "POST streams/settings": self._set_socket_settings,
                "POST streams/disconnect": self._disconnect,
                "POST streams/shutdown": self._shut_down,
                "GET streams/market": lambda request: [each.view() for each in markets.connections.values()],
                "POST streams/market/disconnect": lambda request: {
                    "disconnected": markets.disconnect(reset=bool(request.body.get("reset", False)))
                },
                "POST streams/terminate": lambda request: {
                    "terminated": sockets.terminate(self._account(request.body.get("account")).name)
                },
            }
        )

    def _add_account(self, request: ControlRequest) -> Json:
        """With `public_key` the account has that key instead of a secret."""
        body = dict(request.body)
        public_key = body.pop("public_key", None)
        if public_key is None:
            return super()._add_account(request)
        if "api_secret" in body:
            raise ControlError(400, "give api_secret or public_key")
        signatures.load_public_key(text({"public_key": public_key}, "public_key"))
        known = self.venue.accounts.get(text(body, "name"))
        if known is not None and known.public_key != public_key:
            raise ControlError(409, "the account exists with other keys")
        view = super()._add_account(ControlRequest(request.name, request.query, {**body, "api_secret": "public-key"}))
        if view["created"]:
            self.venue.set_public_key(body["name"], public_key, self.clock.now())
        return view

    def _set_status(self, request: ControlRequest) -> Json:
        market = self._market(request.name)
        try:
            status = SymbolStatus(text(request.body, "status"))
        except ValueError:
            raise ControlError(400, f"status is one of {', '.join(SymbolStatus)}") from None
        self.venue.set_status(market.rules.symbol, status, self.clock.now())
        return {"symbol": market.rules.symbol, "status": status.value}

    def _set_socket_settings(self, request: ControlRequest) -> Json:
        names = {item.name for item in fields(SocketSettings)}
        for name, value in request.body.items():
            if name not in names or isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ControlError(400, f"settings are whole ms: {', '.join(sorted(names))}")
        for name, value in request.body.items():
            setattr(self._sockets.settings, name, value)
        return asdict(self._sockets.settings)

    def _named(self, body: Json) -> str | None:
        account = body.get("account")
        return None if account is None else self._account(account).name

    def _disconnect(self, request: ControlRequest) -> Json:
        reset = bool(request.body.get("reset", False))
        return {"disconnected": self._sockets.disconnect(self._named(request.body), reset=reset)}

    def _shut_down(self, request: ControlRequest) -> Json:
        ms: Any = request.body.get("ms", 0)
        if isinstance(ms, bool) or not isinstance(ms, int) or ms < 0:
            raise ControlError(400, "ms is a whole number")
        return {"disconnected": self._sockets.shut_down(self._named(request.body), ms)}

    def _reset(self) -> Json:
        answer = super()._reset()
        self._sockets.reset()
        self._markets.reset()
        return answer
