"""``manage.py record_market FILE``: what the engine sees of a market, in a file for ``replay_market``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from exchanges.models import Exchange, Instrument, Mode
from exchanges.paper.recording import Kind, Recorder, Writer, header_of
from execution_project.common.management_command import Refused

LOOKS_PER_S = 4
LONGEST_S = 7 * 86_400


class Command(AccountCommand):
    """Copies books, quotes and public trades as they come in; the engine has to run."""

    help = "Record books, quotes and public trades of a market while the engine runs."
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """File, market, pairs, length."""
        parser.add_argument("file", metavar="FILE", type=Path, help="is made; never written over")
        parser.add_argument("--exchange", choices=Exchange.values, default=Exchange.BINANCE)
        parser.add_argument("--mode", choices=Mode.values, default=Mode.SANDBOX)
        parser.add_argument("--symbol", action="append", default=[], metavar="S", help="default: all with a book")
        parser.add_argument("--seconds", type=int, default=3600, metavar="N")

    def handle(self, *args: Any, **options: Any) -> None:
        """Look a few times a second until the time is over."""
        path: Path = options["file"]
        if not 1 <= options["seconds"] <= LONGEST_S:
            raise Refused("INVALID_PARAMETER", f"--seconds: 1 to {LONGEST_S}.")
        instruments = self._instruments(options)
        header = header_of(options["exchange"], options["mode"], instruments)
        part = path.with_name(path.name + ".part")
        try:
            with part.open("xb"):
                pass
            if path.exists():
                part.unlink()
                raise FileExistsError(path)
            with Writer(part, header) as writer:
                recorder = Recorder(writer, instruments)
                for _ in self.progress(range(options["seconds"] * LOOKS_PER_S), "looks"):
                    recorder.look()
                    time.sleep(1 / LOOKS_PER_S)
            part.rename(path)
        except OSError as error:
            raise Refused("FILE", f"{path} cannot be written: {error.strerror or 'it exists already'}.") from error
        counts = {kind.name.lower(): recorder.counts[kind] for kind in Kind}
        document = {"file": str(path), "bytes": path.stat().st_size, "events": counts, "pairs": len(instruments)}
        told = ", ".join(f"{count} of {name}" for name, count in counts.items())
        self.answer(document, f"{path}: {told}, {document['bytes']} bytes.")

    def _instruments(self, options: dict[str, Any]) -> list[Instrument]:
        found = Instrument.objects.filter(exchange=options["exchange"], mode=options["mode"], is_trading=True)
        symbols = options["symbol"]
        wanted = found.filter(symbol__in=symbols) if symbols else found.filter(depth__isnull=False)
        instruments = list(wanted.order_by("symbol"))
        unknown = set(symbols) - {row.symbol for row in instruments}
        if unknown or not instruments:
            market = f"{options['exchange']} in mode {options['mode']}"
            lacking = f"has no {', '.join(sorted(unknown))}" if unknown else "has no pair with a book: trade one first"
            raise Refused("NO_MARKET_DATA", f"The market of {market} {lacking}.")
        return instruments
