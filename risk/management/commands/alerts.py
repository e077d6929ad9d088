"""``manage.py alerts``: what somebody has to look at, and taking it."""

from __future__ import annotations

import argparse
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.management_command import EngineCommand, Partly
from risk.alerts import acknowledge, standing_alerts
from risk.api.alerts import alert_document
from risk.models import Alert

COLUMNS = ("id", "raised_at", "severity", "acknowledged_by", "subject")
NEWEST = 1000


def alert_id(text: str) -> UUID:
    """An alert's id; raises ``ArgumentTypeError``."""
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no alert's id: `alerts` lists them.") from None


class Command(EngineCommand):
    """Lists, or acknowledges with ``--ack``."""

    help = "List the alerts that stand, newest first; exit code 3 when nobody has taken one. --ack takes one."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """What to list, or the one to take."""
        parser.add_argument("--ack", metavar="ID", type=alert_id, help="take this alert: you look after it")
        parser.add_argument("--all", action="store_true", help="also those that are over or for the record alone")

    def handle(self, *args: Any, **options: Any) -> None:
        """One acknowledgement, or a line for each alert and a count."""
        if options["ack"] is not None:
            with self.rehearsal():
                row = acknowledge(options["ack"], by=command("alerts --ack"))
            self.answer(alert_document(row), f"{row.acknowledged_by} looks after it: {row.subject}")
            return
        rows = list((Alert.objects.order_by("-id") if options["all"] else standing_alerts())[:NEWEST])
        documents = [alert_document(row) for row in rows]
        for document in documents:
            self.answer(document, "  ".join(str(document[name] or "–") for name in COLUMNS))
        waiting = standing_alerts().filter(acknowledged_at__isnull=True).count()
        self.answer({"alerts": len(rows), "waiting": waiting}, f"{len(rows)} alerts; {waiting} that nobody has taken.")
        if waiting:
            raise Partly("Somebody has to look after them: `alerts --ack ID` puts your name on one.")
