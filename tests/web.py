"""A real web server of the engine, and calls to it as a stranger's client would make them."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

from tests.processes import Processes
from tests.waiting import wait_until


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start_web(processes: Processes, *, threads: int = 8, **environment: str) -> str:
    """A gunicorn with the project's own application; returns its base URL once it answers."""
    port = free_port()
    processes.start(
        *("-m", "gunicorn", "execution_project.wsgi", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread"),
        *("--workers", 1, "--threads", threads, "--no-control-socket"),
        EXEC_WEB_THREADS=str(threads),
        **environment,
    )
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            urllib.request.urlopen(f"{base}/api/exec/positions", timeout=2)
        except urllib.error.HTTPError as error:
            return error.code == 401
        except OSError:
            return False
        return False

    wait_until(answers, 30, "the web server to answer")
    return base


def call(base: str, key: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One HTTP call of the API; returns (status, document)."""
    request = urllib.request.Request(
        f"{base}/api/exec/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
