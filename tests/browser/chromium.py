"""The browser of this machine, if it has one."""

from __future__ import annotations

import shutil

CHROMIUM = shutil.which("chromium")
NO_BROWSER = (
    "NO BROWSER: chromium is not installed, so nothing of the admin was tried in a browser (apt install chromium)."
)
