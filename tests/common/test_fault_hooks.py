"""A drill's moment kills the process that reaches it, once, and nothing else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from django.conf import LazySettings

from execution_project.common.fault_hooks import reach


def test_nothing_happens_unless_this_moment_is_armed(settings: LazySettings, tmp_path: Path) -> None:
    reach("after_claim")
    flag = tmp_path / "armed"
    flag.touch()
    settings.EXEC_FAULT_HOOK = f"after_send@{flag}"
    reach("after_claim")
    assert flag.exists()
    flag.unlink()
    reach("after_send")


@pytest.mark.drill
def test_the_first_to_reach_the_moment_is_killed_and_disarms_it(settings: LazySettings, tmp_path: Path) -> None:
    flag = tmp_path / "armed"
    flag.touch()
    settings.EXEC_FAULT_HOOK = f"after_send@{flag}"
    child = os.fork()
    if child == 0:
        reach("after_send")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert not flag.exists()
