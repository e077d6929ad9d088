"""A raw HTTP server over plain sockets that answers from a script and keeps every byte it was sent."""

from __future__ import annotations

import json
import socket
import threading
from dataclasses import dataclass, field
from typing import Any

DROP = object()  # read the whole request, then close without an answer
HANG = object()  # read the whole request, then say nothing until the server is closed


@dataclass
class Seen:
    """One request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: str

    @property
    def payload(self) -> str:
        """What the exchange would verify: raw query and raw body, without a separator."""
        return self.target.partition("?")[2] + self.body


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> bytes:
    """A response as bytes; ``body`` as JSON unless it is bytes already."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Scripted", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


@dataclass
class FakeServer:
    """Answers request n with ``script[n]`` (the last entry repeats). ``raw`` holds all bytes that ever arrived."""

    script: list[Any] = field(default_factory=lambda: [answer({})])
    seen: list[Seen] = field(default_factory=list)
    raw: bytes = b""
    connections: int = 0
    ended: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))  # one per closed connection
    _closing: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> FakeServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for each in (self._listener, *self._sockets):
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while self._one(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()
            self.ended.release()

    def _receive(self, connection: socket.socket) -> bytes:
        data = connection.recv(65536)
        self.raw += data
        return data

    def _one(self, connection: socket.socket) -> bool:
        buffer = b""
        while b"\r\n\r\n" not in buffer:
            data = self._receive(connection)
            if not data:
                return False
            buffer += data
        head, _, body = buffer.partition(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest)}
        while len(body) < int(headers.get("content-length", "0")):
            body += self._receive(connection)
        method, target, _ = first.split(" ")
        self.seen.append(Seen(method, target, headers, body.decode()))
        reply = self.script[min(len(self.seen), len(self.script)) - 1]
        if reply is DROP:
            return False
        if reply is HANG:
            self._closing.wait(30)
            return False
        connection.sendall(reply)
        return True
