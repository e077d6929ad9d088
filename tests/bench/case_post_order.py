"""POST /api/exec/order, accepted LIMIT orders without wait; floor: a bare DRF view in the same gunicorn.

No cluster runs, so accepting alone is measured. Before each batch quotes and balances are refreshed and the orders of
the batch before are ended, so that the number of live reservations stays that of one batch.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from uuid import uuid4

from django.db import connection

from execution_project.roles import ENGINE_ROLE
from tests.bench import floor
from tests.bench.frame import Bench, Figure, Sample, interleave, table
from tests.engines import Engine, make_engine
from tests.simulators import Simulator
from tests.waiting import wait_until

BATCH_S = 3.0  # quotes are trusted for 5 s
CONNECTIONS = (1, 8)
WORKERS, THREADS = 2, 8


class Client:
    """One keep-alive connection; as little Python as possible, for it shares the machine with what it measures."""

    def __init__(self, port: int, path: str, token: str, body: bytes) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nIdempotency-Key: "
        )
        self._head, self._tail = head.encode(), b"\r\n\r\n" + body

    def post(self) -> float:
        """One request; seconds until its answer was read. Anything but 202 ends the bench."""
        began = time.perf_counter()
        self._socket.sendall(self._head + uuid4().hex.encode() + self._tail)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += self._receive()
        took = time.perf_counter() - began
        if b" 202 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"not accepted: {head!r} {body[:1000]!r}")
        return took

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise RuntimeError("the server closed the connection")
        return data

    def close(self) -> None:
        """Drop the connection."""
        self._socket.close()


def batch(clients: list[Client], seconds: float) -> Sample:
    """All clients at once, each one request after the other."""
    latencies: list[list[float]] = [[] for _ in clients]
    errors: list[Exception] = []
    deadline = time.monotonic() + seconds

    def drive(client: Client, taken: list[float]) -> None:
        try:
            while time.monotonic() < deadline:
                taken.append(client.post())
        except Exception as error:
            errors.append(error)

    began = time.monotonic()
    threads = [threading.Thread(target=drive, args=pair) for pair in zip(clients, latencies, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.monotonic() - began
    if errors:
        raise errors[0]
    return Sample([took for taken in latencies for took in taken], elapsed)


def prepare_floor() -> None:
    """Its tables and the two rows that every request needs; the web server works as the engine's role."""
    with connection.schema_editor() as editor:
        for model in floor.MODELS:
            editor.create_model(model)
    with connection.cursor() as cursor:
        for model in floor.MODELS:
            cursor.execute(f"GRANT ALL ON {model._meta.db_table} TO {ENGINE_ROLE}")
        cursor.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {ENGINE_ROLE}")
    floor.FloorToken.objects.create(key=floor.TOKEN)
    floor.FloorBucket.objects.create(id=1)


def start_web(bench: Bench) -> int:
    """The project's web server, sized as by default, with the floor's path; returns its port once it listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    bench.processes.start(
        *("-m", "gunicorn", "execution_project.wsgi", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"),
        *("--workers", WORKERS, "--threads", THREADS, "--keep-alive", 60, "--no-control-socket"),
        DJANGO_SETTINGS_MODULE="tests.bench.floor_settings",
    )

    def listens() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, 30, "the web server to listen")
    return port


def end_orders_and_refresh(engine: Engine) -> None:
    """What workers and ticker would do meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE risk_reservation SET amount = 0, exposure = 0, live = false WHERE live")
        cursor.execute("DELETE FROM django_q_ormq")
    engine.refresh()


def run(bench: Bench, rounds: int) -> None:
    """Measure and print."""
    simulator = Simulator(bench.folder / "simulator", "--frozen")
    try:
        simulator.book("BTCUSDT", "60000.00", "60010.00")
        engine = make_engine(simulator, balances={"USDT": "100000000"})
        prepare_floor()
        port = start_web(bench)
        order = {"account": engine.account.name, "symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT"}
        order |= {"quantity": "0.001", "price": "59000.00", "time_in_force": "GTC"}
        body = json.dumps(order).encode()

        def measure(path: str, token: str, count: int, seconds: float) -> Sample:
            clients = [Client(port, path, token, body) for _ in range(count)]
            end_orders_and_refresh(engine)
            try:
                return batch(clients, seconds)
            finally:
                for client in clients:
                    client.close()

        def subject(count: int, seconds: float) -> Sample:
            return measure("/api/exec/order", engine.api_key, count, seconds)

        def bare(count: int, seconds: float) -> Sample:
            return measure("/bench/floor", floor.TOKEN, count, seconds)

        for warm_up in (bare, subject):
            warm_up(8, bench.seconds(1.5))
        rows: list[list[str]] = []
        for count in CONNECTIONS:
            figures = interleave(
                rounds,
                {
                    "order": lambda c=count: subject(c, bench.seconds(BATCH_S)),  # type: ignore[misc]
                    "floor": lambda c=count: bare(c, bench.seconds(BATCH_S)),  # type: ignore[misc]
                },
            )
            rows += lines(count, figures["order"], figures["floor"])
        table(["connections", "requests", "per second", "p50 ms", "p99 ms"], rows)
    finally:
        simulator.stop()


def lines(count: int, order: Figure, bare: Figure) -> list[list[str]]:
    """Three rows of the table."""

    def line(name: str, of: Figure) -> list[str]:
        return [f"{count}  {name}", str(of.acts), f"{of.rate:.0f}", f"{of.p50:.1f}", f"{of.p99:.1f}"]

    ratio = [
        f"{count}  ratio",
        "",
        f"{order.rate / bare.rate:.2f}",
        f"{order.p50 / bare.p50:.2f}",
        f"{order.p99 / bare.p99:.2f}",
    ]
    return [line("POST order", order), line("bare view", bare), ratio]
