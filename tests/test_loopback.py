"""The guard of tests/loopback.py bites: here, in children, and at the end of a run that saw nothing."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.loopback import SITE, LeftLoopback, expecting, guard_children
from tests.processes import Processes

OUTSIDE = ("192.0.2.1", 443)  # reserved for documentation: nobody is there


def over_tcp(call: str) -> None:
    with socket.socket() as outgoing:
        outgoing.setblocking(False)
        getattr(outgoing, call)(OUTSIDE)


def over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outgoing:
        outgoing.sendto(b"hello", OUTSIDE)


def over_asyncio() -> None:
    asyncio.run(asyncio.open_connection(*OUTSIDE))


def over_ipv6() -> None:
    with socket.socket(socket.AF_INET6) as outgoing:
        outgoing.setblocking(False)
        outgoing.connect(("2001:db8::1", 443))


@pytest.mark.parametrize(
    ("leave", "named"),
    [
        (lambda: over_tcp("connect"), "socket.connect 192.0.2.1:443"),
        (lambda: over_tcp("connect_ex"), "socket.connect 192.0.2.1:443"),
        (lambda: socket.create_connection(OUTSIDE, 1), "socket.connect 192.0.2.1:443"),
        (over_udp, "socket.sendto 192.0.2.1:443"),
        (over_asyncio, "socket.connect 192.0.2.1:443"),
        (over_ipv6, "socket.connect 2001:db8::1:443"),
        (lambda: socket.getaddrinfo("exchange.example", 443), "socket.getaddrinfo exchange.example:443"),
        (lambda: socket.gethostbyname("exchange.example"), "socket.gethostbyname exchange.example:"),
        (lambda: requests.get("https://exchange.example/", timeout=1), "socket.getaddrinfo exchange.example:443"),
    ],
)
def test_nothing_leaves_this_process(leave: Callable[[], object], named: str) -> None:
    with expecting() as seen, pytest.raises(LeftLoopback, match=named):
        leave()
    assert seen == [named]


def test_what_stays_here_may_pass(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "127.1.2.3", "0.0.0.0"):  # noqa: S104
            with socket.socket() as outgoing:
                outgoing.connect_ex((host, port))
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as outgoing:
        listening.bind(str(tmp_path / "socket"))
        listening.listen()
        outgoing.connect(str(tmp_path / "socket"))
    assert socket.getaddrinfo("192.0.2.1", 443)  # an address is not looked up anywhere


SWALLOWS = """
import socket
try:
    socket.create_connection(("192.0.2.1", 443), 1)
except Exception as error:
    print("swallowed", type(error).__name__)
"""


def test_a_child_is_guarded_too_and_what_it_swallows_is_on_record(tmp_path: Path) -> None:
    log = tmp_path / "violations.log"
    environment = dict(os.environ)
    guard_children(environment, log)
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(SITE)
    grandparent = (
        f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {SWALLOWS!r}]).decode())"
    )
    said = subprocess.run(
        [sys.executable, "-c", grandparent], env=environment, capture_output=True, text=True, check=True, timeout=30
    ).stdout
    assert "swallowed LeftLoopback" in said
    (line,) = log.read_text().splitlines()
    assert line.startswith("socket.connect 192.0.2.1:443 by pid ")
    assert "test_a_child_is_guarded_too" in line


def test_processes_of_the_engine_are_guarded(processes: Processes, tmp_path: Path) -> None:
    log = tmp_path / "violations.log"
    managed = processes.start("-c", SWALLOWS, DATABASE_URL="", LOOPBACK_GUARD_LOG=str(log))
    assert managed.process.wait(30) == 0
    assert "swallowed LeftLoopback" in managed.output()
    assert "192.0.2.1" in log.read_text()


RUN = """
import sys
import pytest
from tests.loopback import LoopbackGuard

class Plugin:
    def pytest_configure(self, config):
        config.pluginmanager.register(LoopbackGuard(config))

sys.exit(pytest.main([*sys.argv[1:], "-p", "no:django", "-p", "no:cacheprovider"], plugins=[Plugin()]))
"""


@pytest.mark.parametrize(("body", "status"), [("pass", 0), (SWALLOWS, 1)])
def test_a_run_with_a_swallowed_violation_fails_at_its_end(tmp_path: Path, body: str, status: int) -> None:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    (tmp_path / "test_inner.py").write_text(f"def test_inner():\n{lines}\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    root = str(Path(__file__).resolve().parent.parent)
    hidden = {"DJANGO_SETTINGS_MODULE", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "LOOPBACK_GUARD_LOG", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    ended = subprocess.run(
        [sys.executable, "-c", RUN, "-c", str(tmp_path / "pytest.ini"), str(tmp_path / "test_inner.py")],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == status, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout
    assert ("socket.connect 192.0.2.1:443" in ended.stdout) is bool(status)
