"""``make drill``: stages on a real engine what must stop trading, and prints what happened and how fast.

Exit status 0 when in every scene everything happened that has to, else 1.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from execution_project.common import clock
from tests.drill.desk import Desk, DrillFailed
from tests.drill.kill_scenes import flatten, outage, without_database
from tests.drill.orders_scenes import drawdown, fat_finger, runaway, stale_price
from tests.drill.report import Report, table


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing to stage; ``quick``: it takes less than ten seconds and leaves the database alone."""

    name: str
    play: Callable[[Desk, Report], None]
    quick: bool = False


SCENES = (
    Scene("fat-finger", fat_finger, quick=True),
    Scene("stale-price", stale_price, quick=True),
    Scene("runaway", runaway),
    Scene("outage", outage),
    Scene("no-database", without_database),
    Scene("flatten", flatten),
    Scene("drawdown", drawdown),
)


def play(desk: Desk, scene: Scene) -> Report:
    """Stage one scene; whatever stops it is what went wrong, and nothing of it is left for the next."""
    report = Report(scene.name)
    began = time.monotonic()
    try:
        desk.await_prices()
        scene.play(desk, report)
    except (DrillFailed, OSError, ValueError, KeyError) as error:
        report.wrong.append(str(error) if isinstance(error, DrillFailed) else f"{type(error).__name__}: {error}")
    finally:
        desk.calm()
    report.took("whole scene", time.monotonic() - began)
    return report


def main() -> int:
    """Command line."""
    names = [scene.name for scene in SCENES]
    parser = argparse.ArgumentParser(prog="python -m tests.drill", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="the scenes that take less than ten seconds each")
    parser.add_argument("--keep", action="store_true", help="leave the folder with log and database behind")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table to this file as well")
    arguments = parser.parse_args()
    chosen = [s for s in SCENES if s.name in (arguments.only or names) and (s.quick or not arguments.quick)]
    if not chosen:
        parser.error("no scene is both named and quick")

    began = time.monotonic()

    def say(text: str) -> None:
        print(f"drill {time.monotonic() - began:5.0f} s: {text}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    reports: list[Report] = []
    with Desk(say, durable=not arguments.quick, keep=arguments.keep) as desk:
        say("an engine starts")
        desk.await_ready()
        for number, scene in enumerate(chosen, 1):
            say(f"{number}/{len(chosen)} {scene.name}")
            reports.append(play(desk, scene))
            say(f"{number}/{len(chosen)} {scene.name}: {'OK' if reports[-1].passed else 'FAILED'}")
        desk.keep = desk.keep or not all(report.passed for report in reports)
    told = table(reports)
    failed = [report.name for report in reports if not report.passed]
    told += f"\n\n{len(reports)} scenes, {len(failed)} failed" + (f": {', '.join(failed)}" if failed else "")
    print(told, flush=True)
    if arguments.write is not None:
        head = f"What `make drill` printed. {clock.now():%Y-%m-%d}, {os.cpu_count()} processors, short absence bounds."
        arguments.write.write_text(f"{head}\n\n{told}\n", encoding="utf-8")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
