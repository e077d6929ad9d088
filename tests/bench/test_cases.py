"""Every benchmark runs and prints its ratio; what it measures is not judged here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.bench.__main__ import cases
from tests.server import ROOT


@pytest.mark.xdist_group("engines")
@pytest.mark.drill
@pytest.mark.timeout(240)
def test_one_small_round_of_every_case_runs() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench", "all", "--rounds", "1", "--share", "0.05"],
        cwd=ROOT,
        env={
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("EXEC_", "DATABASE_", "COVERAGE_"))
            },
            "BENCH_BOOKS": "100,60,20/40",
            "REPLAY_ORDERS": "8",
            "REPLAY_SECONDS": "20",
        },
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("ratio") >= len(cases()), ran.stdout
