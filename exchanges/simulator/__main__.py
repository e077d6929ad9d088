"""Start the exchange simulator: python -m exchanges.simulator --port 8900 --data-dir DIR --seed 7."""

from __future__ import annotations

import argparse
import asyncio
import gc
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import uvloop
from aiohttp import web

from exchanges.simulator.btcturk_venue import BtcturkVenue
from exchanges.simulator.journal import Entry, Journal, JournalBusy, chosen, tagged
from exchanges.simulator.server import Simulator
from exchanges.simulator.venue import Venue

GRACE_SECONDS = 1.0


def loopback(host: str) -> str:
    """A loopback address: the simulator holds secrets in clear text and takes orders from anybody who connects."""
    name = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{host} is not an address") from None
    if not address.is_loopback:
        raise argparse.ArgumentTypeError(f"{host} is not a loopback address")
    return name


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python -m exchanges.simulator", description="Exchange simulator")
    result.add_argument("--host", type=loopback, default="127.0.0.1", help="loopback address to listen on")
    result.add_argument("--port", type=int, default=8900, help="port to listen on, 0 for any free one")
    result.add_argument("--data-dir", type=Path, required=True, help="directory of the journal")
    result.add_argument("--seed", type=int, default=7, help="seed of the market")
    result.add_argument("--frozen", action="store_true", help="the market moves by the control API only")
    result.add_argument("--short-bounds", action="store_true", help="give up late executions early (for tests)")
    return result


async def run(options: argparse.Namespace, journal: Journal) -> None:
    """Serve until SIGTERM or SIGINT."""
    venue = Venue(options.seed, journal.append)
    btcturk = BtcturkVenue(options.seed, lambda entry: journal.append({**entry, "exchange": "btcturk"}))
    for exchange, each in (("binance", venue), ("btcturk", btcturk)):
        each.restore(chosen(exchange, journal.load()))
        each.frozen = each.frozen or options.frozen

    def snapshot() -> Iterator[Entry]:
        return chain(venue.snapshot(), tagged("btcturk", btcturk.snapshot()))

    journal.rewrite(snapshot())
    simulator = Simulator(venue, btcturk, seed=options.seed, short_bounds=options.short_bounds)
    server = web.Server(simulator.serve, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.create_server((options.host, options.port), family=family, backlog=512)
    await web.SockSite(runner, listener).start()
    port = listener.getsockname()[1]
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    shown = f"[{options.host}]" if family == socket.AF_INET6 else options.host
    print(f"simulator listening on http://{shown}:{port}", flush=True)
    heart = asyncio.create_task(simulator.beat())
    heart.add_done_callback(lambda task: stopping.set())
    await stopping.wait()
    failed = heart.done() and not heart.cancelled() and heart.exception()
    heart.cancel()
    simulator.sockets.shut_down(None, 0)
    simulator.btcturk.streams.disconnect(None, reset=False)
    await runner.cleanup()
    await simulator.stop()
    journal.rewrite(snapshot())
    if failed:
        raise failed


def main() -> int:
    """Entry point; the exit status."""
    options = parser().parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    try:
        journal = Journal(options.data_dir)
    except JournalBusy as error:
        print(error, file=sys.stderr)
        return 1
    # Orders and trades live as long as the process, so scanning them for garbage over and over is wasted time.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    try:
        uvloop.run(run(options, journal))
    finally:
        journal.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
