"""What the task queues leave behind: beats that prove a cluster hears, chores, and doorbells nobody could read."""

from __future__ import annotations

from django.db import models


class QueueBeat(models.Model):
    """The last beat sent through one queue and the last one that its cluster answered."""

    queue = models.CharField(max_length=64, primary_key=True)
    sent_at = models.DateTimeField(null=True)
    beaten_at = models.DateTimeField(null=True)
    worker_pid = models.PositiveIntegerField(null=True)

    def __str__(self) -> str:
        return self.queue


class DeadTask(models.Model):
    """A queue row whose payload could not be read; kept as evidence, its work is rung again by the sweeper."""

    queue = models.CharField(max_length=64)
    payload = models.TextField()
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.queue}: {self.reason}"


class Chore(models.Model):
    """A recurring piece of housekeeping: rung again only when the last ringing was answered or is long overdue."""

    name = models.CharField(max_length=128, primary_key=True)
    rung_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=512, blank=True)

    def __str__(self) -> str:
        return self.name
