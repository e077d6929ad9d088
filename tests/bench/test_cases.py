"""Every benchmark runs and prints its ratio; what it measures is not judged here."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.server import ROOT

pytestmark = [pytest.mark.drill, pytest.mark.timeout(240)]


@pytest.mark.parametrize("case", ["enqueue_to_start", "post_order", "simulator"])
def test_one_round_of_the_case_runs(case: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench", case, "--rounds", "1"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith(("EXEC_", "DATABASE_"))},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "ratio" in ran.stdout
