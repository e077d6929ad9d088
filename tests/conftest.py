"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib import admin
from hypothesis import HealthCheck, Phase
from hypothesis import settings as property_settings

from tests import emptying
from tests import settings as test_settings
from tests.browser.chromium import CHROMIUM, NO_BROWSER
from tests.engine_fixtures import engine, simulator, simulator_process
from tests.loopback import LoopbackGuard
from tests.processes import Processes

# How long an example takes says something of the machine, not of the code.
property_settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For who only wants to know whether a property fails, not the smallest case of it (tests/mutants.py).
property_settings.register_profile(
    "verdict", property_settings.get_profile("suite"), phases=set(Phase) - {Phase.shrink}
)
property_settings.load_profile(os.environ.get("PROPERTY_PROFILE", "suite"))

__all__ = ["engine", "simulator", "simulator_process"]


def pytest_configure(config: pytest.Config) -> None:
    """No test leaves this machine; what a test commits is deleted after it. The admin's pages are loaded, as they are
    where they are served."""
    admin.autodiscover()
    emptying.install()
    config.pluginmanager.register(LoopbackGuard(config), "loopback-guard")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A run without a browser says so last and loud."""
    if CHROMIUM is None:
        terminalreporter.write_line(f"!!! {NO_BROWSER}", red=True, bold=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """The session that started the server gives it up at its very end."""
    if test_settings.SERVER is not None:
        test_settings.SERVER.stop()


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts processes of the engine on the test database; kills them and all they started at the end."""
    with Processes(tmp_path) as running:
        yield running
