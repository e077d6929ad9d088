"""``manage.py check --deploy`` as a careful production would run it; a warning is a failure."""

from __future__ import annotations

import base64
import os
import secrets
import subprocess
import sys
from pathlib import Path

environment = {name: value for name, value in os.environ.items() if not name.startswith(("EXEC_", "DATABASE_URL"))}
environment |= {
    "EXEC_READ_DOTENV": "0",
    "EXEC_ENV": "production",
    "EXEC_SECRET_KEY": secrets.token_urlsafe(64),
    "EXEC_ENCRYPTION_KEYS": f"main:{base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}",
    "EXEC_ALLOWED_HOSTS": "engine.example",
}
command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"]
sys.exit(subprocess.run(command, env=environment, cwd=Path(__file__).resolve().parent.parent, check=False).returncode)
