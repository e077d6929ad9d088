"""``manage.py draw_lifecycle``: write docs/lifecycle.md from the transition table, or check that it is current."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from execution_project.common.management_command import EngineCommand, Refused
from orders.lifecycle import diagram

PATH = Path("docs") / "lifecycle.md"
HEADING = "# The lifecycle of an order\n\nDrawn from `orders/lifecycle.py` by `manage.py draw_lifecycle`.\n"


def document() -> str:
    """The whole file."""
    return f"{HEADING}\n```mermaid\n{diagram()}```\n"


class Command(EngineCommand):
    """Writes the diagram; with ``--check`` writes nothing and exits 1 when the file is stale."""

    help = "Draw the order lifecycle into docs/lifecycle.md."
    requires_system_checks: list[str] = []
    needs_database: ClassVar[bool] = False
    writes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        """``--check``; ``--path`` for another file."""
        parser.add_argument("--check", action="store_true", help="only tell whether the file is current")
        parser.add_argument("--path", type=Path, default=settings.BASE_DIR / PATH)

    def handle(self, *args: Any, **options: Any) -> None:
        """Write or check."""
        path: Path = options["path"]
        current = path.is_file() and path.read_text(encoding="utf-8") == document()
        if options["check"] and not current:
            raise Refused("NOT_CURRENT", f"{path} is not current: run manage.py draw_lifecycle.")
        writes = not (options["check"] or current or self.dry_run)
        if writes:
            path.write_text(document(), encoding="utf-8")
        said = "is current" if current else "is written" if writes else "would be written"
        self.answer({"path": str(path), "current": current, "written": writes}, f"{path} {said}.")
