"""The cluster process of one queue, as ``run_cluster`` starts it; not meant to be run by hand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django_q import signals
from django_q.cluster import Cluster

from execution_project.broker import NotifyBroker
from execution_project.processes import tie_forks
from execution_project.worker_marks import WorkerMarks


class Command(BaseCommand):
    """django-q2's ``qcluster`` with its processes tied together; the queue comes as ``Q_CLUSTER_NAME``."""

    help = __doc__ or ""
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Both are set by ``run_cluster``."""
        parser.add_argument("--marks", type=int, required=True, help="descriptor of the workers' marks")
        parser.add_argument("--beat-key", required=True, help="queue key of the parent's own beats")

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Run until SIGTERM; running tasks are finished first."""
        # Without this, killing this process or the sentinel leaves workers that go on trading unguarded.
        tie_forks()
        marks = WorkerMarks(options["marks"])

        def idle(**_: Any) -> None:
            marks.note(busy=False)

        def busy(**_: Any) -> None:
            marks.note(busy=True)

        signals.post_spawn.connect(idle, weak=False)
        signals.pre_execute.connect(busy, weak=False)
        signals.post_execute_in_worker.connect(idle, weak=False)
        NotifyBroker.beat_key = options["beat_key"]
        Cluster().start()
