"""A minute of everything failing at once, judged to the last digit; ``make proof`` runs ten seeds of three minutes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.server import ROOT

SECONDS = 60
NO_LONGER_THAN_S = 600


@pytest.mark.xdist_group("engines")
@pytest.mark.drill
@pytest.mark.timeout(NO_LONGER_THAN_S + 30)
def test_a_minute_of_chaos_doubles_and_loses_nothing() -> None:
    """The command's exit status is its verdict; its table tells what differed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seed", "1", "--seconds", str(SECONDS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=NO_LONGER_THAN_S,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-4000:]}"
    assert "client order ids POSTed twice" in done.stdout
