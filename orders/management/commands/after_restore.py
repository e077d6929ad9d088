"""``manage.py after_restore``: tell the engine that its database was overwritten by an older one, before it starts."""

from __future__ import annotations

from typing import Any

from execution_project.common.actors import command
from execution_project.common.management_command import EngineCommand
from orders.boot import after_restore, count_waiting


class Command(EngineCommand):
    """Needed only where the copy cannot be told from the original: the same database of the same server."""

    writes = True
    help = "After a restore into the same database, with everything stopped: halt, take a new prefix, send nothing old."

    def handle(self, *args: Any, **options: Any) -> None:
        """One call."""
        if self.dry_run:
            waiting = count_waiting()
            self.answer({"looked_for": waiting}, f"{waiting} orders that wait would be looked for instead of sent.")
            return
        fresh, looked_for = after_restore(by=command("manage.py after_restore"))
        text = f"Client order ids start with {fresh} from now on; {looked_for} orders that waited will be looked for."
        self.answer({"prefix": fresh, "looked_for": looked_for}, text)
