"""The engine's settings for tests: nothing of a developer's ``.env``, the owner's role, a database of our own.

The server is started here because everything that reads settings comes after; the pytest-xdist controller does it and
its workers inherit ``DATABASE_URL``.
"""

import os

from tests.server import TestServer, data_dir

SERVER: TestServer | None = None

os.environ["EXEC_READ_DOTENV"] = "0"
os.environ["EXEC_DATABASE_ROLE"] = ""
if "PYTEST_XDIST_WORKER" not in os.environ:
    folder = data_dir()
    if not os.environ.get("DATABASE_URL"):
        SERVER = TestServer(folder)
        os.environ["DATABASE_URL"] = SERVER.start()
    os.environ["EXEC_DATA_DIR"] = str(folder)

from execution_project.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # noqa: F405  whitenoise warns otherwise
