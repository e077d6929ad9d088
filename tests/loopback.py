"""A test run that connects to any other machine fails, also when the violation was swallowed or a child's.

The guard raises where it happens and writes a line to a file that all processes of the run share; the end of the run
reads it. Children inherit the guard by PYTHONPATH and ``sitecustomize``.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

SITE = Path(__file__).resolve().parent / "loopback_site"
if str(SITE) not in sys.path:
    sys.path.insert(0, str(SITE))  # so that the guard of sitecustomize and ours are one module

import loopback_guard  # noqa: E402

LeftLoopback = loopback_guard.LeftLoopback
expecting = loopback_guard.expecting
LOG = loopback_guard.LOG


def guard_children(environment: dict[str, str] | os._Environ[str], log: Path) -> None:
    """Processes started with this environment guard themselves and write to ``log``."""
    paths = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(SITE)]
    environment["PYTHONPATH"] = os.pathsep.join([str(SITE), *paths])
    environment[LOG] = str(log)


class LoopbackGuard:
    """The pytest plugin. With pytest-xdist the controller owns the file, and the workers inherit its name."""

    def __init__(self, config: pytest.Config) -> None:
        self._owns = not hasattr(config, "workerinput")
        self._violations: list[str] = []
        if self._owns:
            descriptor, name = tempfile.mkstemp(prefix="loopback-guard-", suffix=".log")
            os.close(descriptor)
            guard_children(os.environ, Path(name))
        self._log = Path(os.environ[LOG])
        loopback_guard.install()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """A run with violations has failed, whatever its tests say."""
        if not self._owns:
            return
        self._violations = self._log.read_text(encoding="utf-8").splitlines()
        if self._violations:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Names them."""
        if self._violations:
            terminalreporter.section("connections out of this machine", red=True, bold=True)
            for line in self._violations:
                terminalreporter.line(line)

    def pytest_unconfigure(self) -> None:
        """The file goes with the run."""
        if self._owns:
            self._log.unlink(missing_ok=True)
