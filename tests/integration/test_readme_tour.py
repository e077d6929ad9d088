"""The README's tour, run line by line against web, clusters and ticker as real processes."""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from exchanges.models import Quote
from execution_project.common import clock
from tests.engines import Engine, make_engine
from tests.integration.test_worker_processes import start_web
from tests.processes import Processes
from tests.server import ROOT
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MARK = "@@@"
PROMISE = re.compile(r"   # → (\d{3})(.*)$")


def tour() -> list[str]:
    """The lines of the tour's sh blocks."""
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Tour\n")
    section, _, _ = rest.partition("\n## ")
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def promised(line: str) -> tuple[str, list[str]] | None:
    """The HTTP status and the texts that a line says its answer has."""
    found = PROMISE.search(line)
    if found is None:
        return None
    texts = found[2].strip()
    return found[1], [texts] if " " in texts and '"' not in texts else texts.split()


def test_every_line_answers_as_promised(engine: Engine, processes: Processes) -> None:
    turk = make_engine(engine.simulator, exchange="btcturk")
    for queue in ("submit-binance", "submit-btcturk", "cancel", "housekeeping"):
        processes.manage("run_cluster", queue)
    processes.manage("run_ticker")
    base = start_web(processes)
    placed_at = clock.now()
    wait_until(lambda: Quote.objects.filter(confirmed_at__gt=placed_at).count() >= 8, 30, "quotes of both exchanges")
    lines = tour()
    script = "\n".join(f"{line}\necho '{MARK}'" for line in lines)
    script = script.replace("sim-binance", engine.account.name).replace("sim-btcturk", turk.account.name)
    script = re.sub(r"^sleep \d$", "sleep 8", script, flags=re.MULTILINE)  # a busy machine
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        env={**os.environ, "BASE": f"{base}/api/exec", "KEY": engine.api_key},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = done.stdout.split(f"{MARK}\n")[:-1]
    assert len(answers) == len(lines)
    promises = [
        (line, answer, promise) for line, answer in zip(lines, answers, strict=True) if (promise := promised(line))
    ]
    assert len(promises) >= 14
    for line, answer, (status, texts) in promises:
        assert answer.rstrip().rsplit("\n", 1)[-1] == status, f"{line}\n{answer}"
        for text in texts:
            assert text in answer, f"{line}\n{answer}"
