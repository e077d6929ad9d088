"""The engine's settings with the floor's path, so that one web server answers for both."""

from execution_project.settings import *  # noqa: F403

ROOT_URLCONF = "tests.bench.floor_urls"
