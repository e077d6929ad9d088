"""The engine's settings with a queue for the bench, sized as a submit queue."""

from execution_project import settings as engine
from execution_project.settings import *  # noqa: F403

QUEUE = {**engine.EXEC_QUEUES["submit-binance"], "workers": 2}

EXEC_QUEUES = {**engine.EXEC_QUEUES, "bench": QUEUE}
Q_CLUSTER = {
    **engine.Q_CLUSTER,
    "ALT_CLUSTERS": {**engine.Q_CLUSTER["ALT_CLUSTERS"], "bench": {**QUEUE, "queue_limit": QUEUE["workers"]}},
}
