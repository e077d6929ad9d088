"""python-binance's asynchronous client and its user stream, as they are, defects included (docs/binance.md §8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from binance.async_client import AsyncClient
from binance.exceptions import BinanceAPIException
from binance.ws.constants import WSListenerState
from binance.ws.streams import BinanceSocketManager
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.exchanges.simulator.conftest import KEY, SECRET, Simulator
from tests.exchanges.simulator.streams import Stream

PATIENCE_S = 10.0


def keys(simulator: Simulator, kind: str) -> dict[str, str]:
    """Constructor arguments for an account that signs with that kind of key."""
    if kind == "hmac":
        return {"api_key": KEY, "api_secret": SECRET}
    key = Ed25519PrivateKey.generate() if kind == "ed25519" else rsa.generate_private_key(65537, 2048)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    body = {"name": "own", "api_key": "key-own", "public_key": public, "balances": {"USDT": "1000000"}}
    simulator.sim("POST", "accounts", body)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {"api_key": "key-own", "private_key": private.strip()}


@asynccontextmanager
async def connected(simulator: Simulator, **arguments: Any) -> AsyncIterator[AsyncClient]:
    class Local(AsyncClient):
        API_URL = f"{simulator.url}/api"
        WS_API_URL = f"ws://127.0.0.1:{simulator.port}/ws-api/v3"

    client = await Local.create(**(arguments or {"api_key": KEY, "api_secret": SECRET}))
    try:
        yield client
    finally:
        closing = asyncio.create_task(client.close_connection())
        if client.ws_api.ws is not None:
            # Its read loop sees that it is to end when a message comes, or after ten seconds.
            await until(lambda: client.ws_api.ws_state is WSListenerState.EXITING)
            await client.ws_api.ws.send('{"id":"last","method":"ping"}')
        await closing


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(3 * PATIENCE_S):
            await scenario()

    asyncio.run(bounded())


async def until(condition: Callable[[], Any]) -> None:
    """Ask again until the answer is true, letting the client's own tasks run in between."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def kinds(events: list[Any]) -> list[str]:
    return [each.get("x", each["e"]) for each in events]


LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.5"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.1"}


@pytest.mark.parametrize("kind", ["hmac", "rsa", "ed25519"])
def test_orders_and_their_events_with_every_kind_of_key(simulator: Simulator, kind: str) -> None:
    arguments = keys(simulator, kind)

    async def scenario() -> None:
        async with connected(simulator, **arguments) as client:
            async with BinanceSocketManager(client).user_socket() as events:
                rest = await client.create_order(**LIMIT, price="59000.00", newClientOrderId="rest")
                assert rest["status"] == "NEW"
                placed = await client.ws_create_order(**MARKET, newClientOrderId="ws")
                assert placed["status"] == "FILLED"
                assert (await client.ws_get_order(symbol="BTCUSDT", origClientOrderId="ws"))["status"] == "FILLED"
                canceled = await client.cancel_order(symbol="BTCUSDT", origClientOrderId="rest")
                assert canceled["status"] == "CANCELED"
                seen = [await events.recv() for _ in range(7)]
                assert kinds(seen) == [
                    "NEW",
                    "outboundAccountPosition",
                    "NEW",
                    "TRADE",
                    "outboundAccountPosition",
                    "CANCELED",
                    "outboundAccountPosition",
                ]
                assert seen[-2]["C"] == "rest"
                assert len(await client.get_my_trades(symbol="BTCUSDT")) == 1
            assert [view["subscriptions"] for view in simulator.sim("GET", "streams")] == [{}]

    run(scenario)


def test_two_kinds_of_failure_over_its_socket(simulator: Simulator) -> None:
    async def scenario() -> None:
        async with connected(simulator) as client:
            with pytest.raises(BinanceAPIException) as refused:
                await client.ws_cancel_order(symbol="BTCUSDT", origClientOrderId="none")
            assert (refused.value.status_code, refused.value.code) == (400, -2011)
            # It encodes what it signs (docs/binance.md §8.3); the same request signed as documented is judged.
            with pytest.raises(BinanceAPIException) as wrong:
                await client.ws_get_order(symbol="币安USDT", orderId=1)
            assert wrong.value.code == -1022

    run(scenario)
    with Stream(simulator) as stream:
        judged = stream.signed("order.status", symbol="币安USDT", orderId="1")
        assert judged["error"]["code"] == -1121


def test_after_a_disconnect_it_reconnects_and_stays_silent(simulator: Simulator) -> None:
    """Its user stream never subscribes again (docs/binance.md §8.5): an error has to be treated as its end."""

    async def scenario() -> None:
        async with connected(simulator) as client, BinanceSocketManager(client).user_socket() as events:
            simulator.fault("stream_disconnect", "executionReport")
            await client.create_order(**MARKET)
            assert (await events.recv())["e"] == "error"
            assert (await events.recv())["type"] == "BinanceWebsocketClosed"
            await until(lambda: client.ws_api.ws_state is WSListenerState.STREAMING)
            await until(lambda: simulator.sim("GET", "streams"))
            await client.create_order(**MARKET)
            assert (await client.ws_get_order(symbol="BTCUSDT", orderId=2))["status"] == "FILLED"
            (view,) = simulator.sim("GET", "streams")
            assert view["subscriptions"] == {}
            assert events._queue.empty()
            events._subscription_id = None  # there is none to give back

    run(scenario)


def test_it_swallows_server_shutdown(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    async def scenario() -> None:
        async with connected(simulator) as client, BinanceSocketManager(client).user_socket() as events:
            simulator.sim("POST", "streams/shutdown", {"ms": 20})
            assert (await events.recv())["e"] == "error"
            assert "serverShutdown" in caplog.text
            await until(lambda: client.ws_api.ws_state is WSListenerState.STREAMING)
            events._subscription_id = None

    run(scenario)


@pytest.mark.parametrize(
    ("kind", "seen"),
    [
        ("stream_duplicate", ["NEW", "NEW", "TRADE", "outboundAccountPosition"]),
        ("stream_drop", ["TRADE", "outboundAccountPosition"]),
        ("stream_reorder", ["TRADE", "NEW", "outboundAccountPosition"]),
    ],
)
def test_stream_faults_reach_it(simulator: Simulator, kind: str, seen: list[str]) -> None:
    async def scenario() -> None:
        async with connected(simulator) as client, BinanceSocketManager(client).user_socket() as events:
            simulator.fault(kind, "executionReport")
            await client.create_order(**MARKET)
            assert kinds([await events.recv() for _ in seen]) == seen

    run(scenario)
