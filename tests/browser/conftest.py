"""A real browser (Debian's chromium, headless) on a real web server with the engine behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from tests.browser.chromium import CHROMIUM, NO_BROWSER
from tests.processes import Processes
from tests.server import ROOT

SIZES = {"desktop": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of a module's tests. Without one they fail in continuous integration and are skipped elsewhere.

    It ends with the module: as long as it lives, its event loop runs in this thread, and no other can.
    """
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail(NO_BROWSER)
        pytest.skip(NO_BROWSER)
    # Django would refuse the ORM in a thread with an event loop.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def static_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the collected static files, as the supervisor would leave it."""
    folder = tmp_path_factory.mktemp("static-data")
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
        cwd=ROOT,
        env={**os.environ, "EXEC_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "execution_project.settings"},
        check=True,
    )
    return folder


@pytest.fixture
def served(static_files: Path, tmp_path: Path) -> Iterator[Processes]:
    """Processes of the engine with the static files."""
    with Processes(tmp_path, EXEC_DATA_DIR=str(static_files)) as running:
        yield running


@pytest.fixture(params=list(SIZES))
def window(request: pytest.FixtureRequest, chromium: Browser) -> Iterator[BrowserContext]:
    """A fresh window at 1440 and at 390 px. Scripts that fail and content that the policy refuses fail the test."""
    context = chromium.new_context(viewport=SIZES[request.param])  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    expect.set_options(timeout=15_000)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield context
    context.close()
    assert [text for text in complaints if "status of 403" not in text] == []
