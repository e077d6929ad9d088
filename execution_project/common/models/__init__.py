"""The cellar's rows."""

from execution_project.common.models.queues import Chore, DeadTask, QueueBeat
from execution_project.common.models.records import (
    Act,
    ApiKey,
    ApiKeyUse,
    AppendOnlyError,
    AppendOnlyModel,
    Approval,
    Event,
    FailedLogins,
    IdempotencyKey,
    Installation,
    Strategy,
)

__all__ = [
    "Act",
    "ApiKey",
    "ApiKeyUse",
    "AppendOnlyError",
    "AppendOnlyModel",
    "Approval",
    "Chore",
    "DeadTask",
    "Event",
    "FailedLogins",
    "IdempotencyKey",
    "Installation",
    "QueueBeat",
    "Strategy",
]
