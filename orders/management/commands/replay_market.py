"""``manage.py replay_market FILE``: a rehearsal of the engine on a recorded market, in a database of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection
from psycopg import sql

from exchanges.paper.recording import NotARecording, read
from execution_project.common import installation
from execution_project.common.management_command import EngineCommand, Refused
from orders.models import Order
from orders.rehearsal import Rehearsal, Result
from orders.rehearsal_plan import seeded_plan

SCRATCH = "exec_rehearsal_"
MOST_ORDERS = 1_000_000


def _count(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= MOST_ORDERS:
        raise ArgumentTypeError(f"0 to {MOST_ORDERS}")
    return int(text)


class Command(EngineCommand):
    """Makes a scratch database, runs itself there, and drops it again: nothing of the engine's own is touched."""

    help = "Place orders on a recorded market and print the trades: the same ones for the same file, orders and seed."
    is_long = True
    expected: ClassVar[tuple[type[Exception], ...]] = (NotARecording,)

    def add_arguments(self, parser: CommandParser) -> None:
        """File, how many orders, seed."""
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--orders", type=_count, default=100, metavar="N", help="spread over the recording")
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the orders and of the exchange")
        parser.add_argument("--here", action="store_true", help="in this database, which must hold no order yet")

    def handle(self, *args: Any, **options: Any) -> None:
        """Here, or in a database of its own."""
        if not options["file"].is_file():
            raise Refused("FILE", f"There is no file {options['file']}.")
        if options["here"]:
            self._rehearse(options)
            return
        _, events = read(options["file"])
        next(events, None)
        with scratch_database() as url:
            environment = {**os.environ, "DATABASE_URL": url, "EXEC_DATABASE_ROLE": "", "EXEC_LOG_LEVEL": "ERROR"}
            manage = [sys.executable, str(Path(settings.BASE_DIR) / "manage.py")]
            made = subprocess.run(
                [*manage, "migrate", "--verbosity", "0"], env=environment, capture_output=True, text=True
            )
            if made.returncode:
                raise Refused(
                    "DATABASE_UNAVAILABLE", f"The database of the rehearsal is not made: {made.stderr[-400:]}"
                )
            again = [str(options["file"]), "--orders", str(options["orders"]), "--seed", str(options["seed"]), "--here"]
            again += [f"--{flag}" for flag in ("json", "progress") if options[flag]]
            ran = subprocess.run([*manage, "replay_market", *again], env=environment, stdout=subprocess.PIPE, text=True)
            self.stdout.write(ran.stdout, ending="")
        if ran.returncode:
            raise Refused("FAILED", "The rehearsal failed; see above.", members={"exit_code": ran.returncode})

    def _rehearse(self, options: dict[str, Any]) -> None:
        if Order.objects.exists():
            raise Refused("NOT_EMPTY", "This database holds orders: a rehearsal takes one of its own.")
        installation.prefix.cache_clear()
        header, events = read(options["file"])
        end = header.start
        for event in read(options["file"])[1]:
            end = event.at
        plan = seeded_plan(header, end - timedelta(seconds=1), options["orders"], options["seed"])
        result = Rehearsal(header, events, seed=options["seed"]).run(
            plan, lambda steps: self.progress(steps, "orders and cancels")
        )
        for trade in result.trades:
            at, order, side, price, quantity, fees = row = trade.as_json()
            self.answer(
                dict(zip(("at", "order", "side", "price", "quantity", "fees"), row, strict=True)),
                f"{at}  #{order}  {side} {quantity} at {price}, fee {fees or '0'}",
            )
        self.stderr.write(summary(result))


def summary(result: Result) -> str:
    """The whole in one sentence."""
    states = ", ".join(f"{count} {status}" for status, count in sorted(result.statuses.items())) or "none"
    rate = result.orders / result.seconds if result.seconds else 0
    return (
        f"{result.orders} orders ({states}), {len(result.trades)} trades, {result.events} market events"
        f" in {result.seconds:.1f} s: {rate:.0f} orders/s."
    )


@contextmanager
def scratch_database() -> Iterator[str]:
    """The URL of a new database on the engine's server, dropped at the end. Raises ``Refused`` when that fails."""
    parameters = connection.get_connection_params()
    keys = ("host", "port", "user", "password")
    server = {key: parameters[key] for key in keys if parameters.get(key)}
    name = f"{SCRATCH}{uuid4().hex[:12]}"
    try:
        with psycopg.connect(**server, dbname=parameters["dbname"], autocommit=True) as owner:
            owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.Error as error:
        raise Refused(
            "DATABASE_UNAVAILABLE", f"No database can be made for the rehearsal ({error}): its user must be allowed to."
        ) from error
    try:
        yield _url_of(name)
    finally:
        with psycopg.connect(**server, dbname=parameters["dbname"], autocommit=True) as owner:
            owner.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _url_of(name: str) -> str:
    url = urlsplit(settings.EXEC_DATABASE_URL)
    return urlunsplit(url._replace(path=f"/{name}"))
