"""Signed orders per second that the exchange simulator takes on one core; floor: its bare ``ping`` in the same run.

The simulator is bound to the first core and the client to the last. The client is a loop over four keep-alive sockets,
one request under way on each, signed when it is sent.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import selectors
import socket
import time
from collections.abc import Callable
from itertools import count
from urllib.parse import urlsplit

from tests.bench.frame import Bench, Sample, interleave, table
from tests.simulators import Simulator

CONNECTIONS = 4
PER_ROUND = 4000
KEY, SECRET = "k" * 64, "s" * 64
BALANCES = {"USDT": "1000000000", "BTC": "1000000"}


def run(bench: Bench, rounds: int) -> None:
    """Measure and print."""
    simulator = Simulator(bench.folder / "simulator", "--frozen")
    try:
        account = {"name": "bench", "api_key": KEY, "api_secret": SECRET, "balances": BALANCES}
        simulator.call("POST", "/sim/accounts", account)
        wide = {"request_weight": 10**9, "raw_requests": 10**9, "orders_10s": 10**9, "orders_1d": 10**9}
        simulator.call("POST", "/sim/limits", wide)
        simulator.book("BTCUSDT", "60000.00", "60010.00", "1000000")
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(simulator.pid, {cores[0]})
        os.sched_setaffinity(0, {cores[-1]})
        numbers = count()

        def order() -> bytes:
            side = "BUY" if next(numbers) % 2 else "SELL"
            query = (
                f"symbol=BTCUSDT&side={side}&type=MARKET&quantity=0.001&newClientOrderId=b{next(numbers)}"
                f"&timestamp={int(time.time() * 1000)}"
            )
            signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
            body = f"{query}&signature={signature}"
            return (
                f"POST /api/v3/order HTTP/1.1\r\nHost: x\r\nX-MBX-APIKEY: {KEY}\r\n"
                f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()

        def ping() -> bytes:
            return b"GET /api/v3/ping HTTP/1.1\r\nHost: x\r\n\r\n"

        address = urlsplit(simulator.url)
        figures = interleave(
            rounds,
            {
                "signed market orders": lambda: measure(
                    address.hostname or "", address.port or 0, order, bench.acts(PER_ROUND)
                ),
                "ping": lambda: measure(address.hostname or "", address.port or 0, ping, bench.acts(PER_ROUND)),
            },
        )
        executed = simulator.call("GET", "/sim/counters")["calls"]["POST /api/v3/order"]
    finally:
        simulator.stop()
    orders, floor = figures["signed market orders"], figures["ping"]
    table(
        ["simulator on one core", "requests", "per second", "p50 ms", "p99 ms"],
        [
            ["signed market orders", str(orders.acts), f"{orders.rate:.0f}", f"{orders.p50:.2f}", f"{orders.p99:.2f}"],
            ["ping", str(floor.acts), f"{floor.rate:.0f}", f"{floor.p50:.2f}", f"{floor.p99:.2f}"],
            ["ratio", "", f"{orders.rate / floor.rate:.2f}", "", ""],
        ],
    )
    print(f"{executed} orders were executed by the simulator's own count.")


def measure(host: str, port: int, make: Callable[[], bytes], requests: int) -> Sample:
    """So many requests over ``CONNECTIONS`` sockets; raises ``AssertionError`` on an answer that is not 200."""
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for _ in range(CONNECTIONS):
            connection = socket.create_connection((host, port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(make())
            selector.register(connection, selectors.EVENT_READ, [time.perf_counter()])
        while len(latencies) < requests:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                answer = key.fileobj.recv(65536)
                assert answer.startswith(b"HTTP/1.1 200"), answer[:400]
                now = time.perf_counter()
                latencies.append(now - key.data[0])
                key.data[0] = now
                key.fileobj.sendall(make())
        elapsed = time.perf_counter() - began
        for key in list(selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
    return Sample(latencies, elapsed)
