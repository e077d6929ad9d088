"""Clients and adapters that a test makes as it needs them, all closed at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.exchanges.fake_server import FakeServer


@contextmanager
def closing_all(make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """``make`` as it is, but everything it has made is closed at the end."""
    everything: list[Any] = []

    def making(*args: Any, **options: Any) -> Any:
        everything.append(make(*args, **options))
        return everything[-1]

    yield making
    for each in everything:
        each.close()


@contextmanager
def adapters_at(server: FakeServer, make: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Makes an adapter by ``make(url, **options)`` at a server that answers from the given script, if there is one."""
    with closing_all(make) as making:

        def adapt(*script: Any, **options: Any) -> Any:
            server.script = list(script) or server.script
            return making(server.url, **options)

        yield adapt
