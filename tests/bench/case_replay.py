"""An hour of recorded market with 5,000 orders through place, queues, adapter and books; floor: the market alone.

The floor is the same recording with no order in it: what reading and showing the market costs by itself. Smaller with
REPLAY_ORDERS and REPLAY_SECONDS in the environment.
"""

from __future__ import annotations

import os
import resource
from datetime import timedelta

from django.core.management import call_command

from exchanges.paper.recording import read
from execution_project.common import installation
from orders.management.commands.replay_market import summary
from orders.rehearsal import Rehearsal, Result
from orders.rehearsal_plan import seeded_plan
from tests.bench.frame import Bench, table
from tests.exchanges.paper.recordings import START, write_recording

ORDERS = int(os.environ.get("REPLAY_ORDERS", "5000"))
SECONDS = int(os.environ.get("REPLAY_SECONDS", "3600"))


def run(bench: Bench, rounds: int) -> None:
    """Measure once, whatever the rounds, and print."""
    path = bench.folder / "market"
    lines = write_recording(path, SECONDS)

    def rehearsed(count: int) -> Result:
        installation.prefix.cache_clear()
        header, events = read(path)
        plan = seeded_plan(header, START + timedelta(seconds=SECONDS - 5), count, seed=1)
        try:
            return Rehearsal(header, events).run(plan)
        finally:
            call_command("flush", interactive=False, verbosity=0)

    bare, whole = rehearsed(0), rehearsed(ORDERS)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rows = [
        ["market alone", "0", "0", f"{bare.seconds:.1f}", f"{bare.events / bare.seconds:.0f}", ""],
        [
            "with orders",
            str(whole.orders),
            str(len(whole.trades)),
            f"{whole.seconds:.1f}",
            f"{whole.events / whole.seconds:.0f}",
            f"{whole.orders / whole.seconds:.1f}",
        ],
        ["ratio", "", "", f"{whole.seconds / bare.seconds:.2f}", "", ""],
    ]
    table(["recording", "orders", "trades", "seconds", "events/s", "orders/s"], rows)
    print(f"\n{summary(whole)} Refused: {whole.refused or 'none'}.")
    print(f"{SECONDS} s of market, {lines} lines, {path.stat().st_size} bytes; peak memory {peak_mb} MB")
