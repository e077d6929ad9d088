"""Refuses and records every connection out of this machine; needs nothing but the standard library.

An audit hook instead of replaced functions: nothing that a test or a library patches, binds early or subclasses gets
past it, and it cannot be taken off again. It sees what goes through Python's socket module. Code in C with sockets of
its own is not seen: libpq (the test database), libuv, c-ares.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

LOG = "LOOPBACK_GUARD_LOG"
_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_LOOKS_UP = {"socket.getaddrinfo", "socket.gethostbyname"}
_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost"}
_FAMILIES = {2, 10}  # AF_INET and AF_INET6; unix and netlink sockets do not leave the machine

_installed = False
_expected: list[str] | None = None


class LeftLoopback(RuntimeError):
    """Something tried to reach another machine."""


def stays_here(host: str) -> bool:
    """Whether connecting to this host or address stays on this machine."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host.lower().rstrip(".") in _NAMES
    mapped = getattr(address, "ipv4_mapped", None) or address
    return bool(mapped.is_loopback or mapped.is_unspecified)


def is_address(host: str) -> bool:
    """Whether resolving it asks nobody."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def install() -> None:
    """Once per process, for good."""
    global _installed
    if not _installed:
        _installed = True
        sys.addaudithook(_watch)


@contextmanager
def expecting() -> Iterator[list[str]]:
    """Violations of this process are raised as ever, but gathered here instead of failing the run."""
    global _expected
    _expected = found = []
    try:
        yield found
    finally:
        _expected = None


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not event.startswith("socket."):
        return
    if event in _CONNECTS:
        connection, address = arguments
        if connection.family not in _FAMILIES or not isinstance(address, tuple):
            return
        host, port = address[0], address[1]
    elif event in _LOOKS_UP:
        host, port = arguments[0], arguments[1] if len(arguments) > 1 else ""
        if host is None:
            return
    else:
        return
    host = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else str(host)
    if stays_here(host) or (event in _LOOKS_UP and is_address(host)):
        return
    text = f"{event} {host}:{port}"
    _record(text)
    raise LeftLoopback(f"connection out of this machine: {text}")


def _record(text: str) -> None:
    if _expected is not None:
        _expected.append(text)
        return
    test = os.environ.get("PYTEST_CURRENT_TEST", "outside of a test")
    line = f"{text} by pid {os.getpid()} ({' '.join(sys.orig_argv[1:4])[:120]!r}), {test}\n"
    path = os.environ.get(LOG)
    if path is None:
        sys.stderr.write(line)
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode("utf-8", "replace"))
    finally:
        os.close(descriptor)
