"""The drill in short on a real engine, and its table; ``make drill`` stages every scene."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.drill.__main__ import SCENES, Scene, play
from tests.drill.desk import Desk, DrillFailed
from tests.drill.report import Report, table
from tests.server import ROOT

NO_LONGER_THAN_S = 420


@pytest.mark.xdist_group("engines")
@pytest.mark.drill
@pytest.mark.timeout(NO_LONGER_THAN_S + 30)
def test_the_quick_scenes_end_as_they_have_to() -> None:
    """The command's exit status is its verdict; its table tells what was not as it has to be."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.drill", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=NO_LONGER_THAN_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    quick = [scene.name for scene in SCENES if scene.quick]
    assert done.stdout.splitlines()[-1] == f"{len(quick)} scenes, 0 failed"
    assert all(f"\n{name} " in done.stdout for name in quick)


class Nowhere(Desk):
    """A desk without an engine: nothing has to be put right."""

    def __init__(self) -> None:
        super().__init__(lambda text: None)
        self.calmed = 0

    def await_prices(self) -> None:
        """There are none."""

    def calm(self) -> None:
        """Count."""
        self.calmed += 1


def test_a_scene_that_cannot_be_staged_or_ends_otherwise_has_failed_and_leaves_nothing() -> None:
    def stops(desk: Desk, report: Report) -> None:
        raise DrillFailed("not within 5 s: the cancel")

    def differs(desk: Desk, report: Report) -> None:
        report.saw(True, "denied")
        report.saw(False, "a ban")

    desk = Nowhere()
    stopped, other = (play(desk, Scene(act.__name__, act)) for act in (stops, differs))
    assert not stopped.passed and stopped.wrong == ["not within 5 s: the cancel"]
    assert not other.passed and other.happened == ["denied"] and "whole scene" in other.times
    assert desk.calmed == 2
    shown = table([stopped, other])
    assert shown.count("FAILED") == 2
    assert "NOT AS IT HAS TO BE: a ban" in shown


def test_the_table_wraps_to_its_columns_and_says_ok() -> None:
    report = Report("fat-finger", done="ten times the price " * 5)
    report.saw(True, "denied for everything")
    report.took_ms("denied after", 12.4)
    lines = table([report]).splitlines()
    assert max(len(line) for line in lines) <= 150
    assert lines[2].startswith("fat-finger") and lines[2].endswith("OK")
    assert "denied after: 12 ms" in lines[2]
