"""The engine's settings with one more queue, whose short timeout keeps the drills short."""

from execution_project import settings as engine
from execution_project.settings import *  # noqa: F403

QUEUE = {"workers": 2, "timeout": 6, "retry": 30}

EXEC_QUEUES = {**engine.EXEC_QUEUES, "drill": QUEUE}
Q_CLUSTER = {
    **engine.Q_CLUSTER,
    "ALT_CLUSTERS": {**engine.Q_CLUSTER["ALT_CLUSTERS"], "drill": {**QUEUE, "queue_limit": 2}},
}
