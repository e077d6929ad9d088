"""Run the task cluster of one queue and replace it when it goes deaf."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from execution_project.clusters import BEAT_EVERY_S, DEAF_AFTER_S, ClusterParent
from execution_project.common.management_command import DatabaseCommand, ExitCode, Refused


class Command(DatabaseCommand):
    """``manage.py run_cluster QUEUE``: one process per queue and host."""

    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        """The times are options for drills; the defaults are meant for production."""
        parser.add_argument("queue", choices=sorted(settings.EXEC_QUEUES))
        parser.add_argument("--beat-every", type=float, default=BEAT_EVERY_S, help="seconds between two beats")
        parser.add_argument("--deaf-after", type=float, default=DEAF_AFTER_S, help="seconds without an answer")

    def handle(self, *arguments: Any, **options: Any) -> None:
        """Run until SIGTERM, which lets running tasks end. Raises ``Refused`` unless the queue is named first:
        ``manage.py`` names the cluster by that word before anything else is loaded."""
        if os.environ.get("Q_CLUSTER_NAME") != options["queue"]:
            told = f"Name the queue first: manage.py run_cluster {options['queue']} [options]."
            raise Refused("USAGE", told, exit_code=ExitCode.USAGE)
        ClusterParent(options["queue"], beat_every=options["beat_every"], deaf_after=options["deaf_after"]).run()
