"""The engine's database settings with django-q2 as it comes: its own ORM broker at its default poll."""

from execution_project.settings import *  # noqa: F403

# The name is that of the engine's clusters, because payloads are signed with it.
Q_CLUSTER = {"name": "exec", "orm": "default", "workers": 2, "timeout": 30, "retry": 105, "ALT_CLUSTERS": {}}
