"""``manage.py add_strategy NAME``: a source of orders that orders, limits and positions are attributed to."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.management_command import EngineCommand
from execution_project.common.strategies import register_strategy


class Command(EngineCommand):
    """Registers the name; it is given once and kept."""

    help = "Register a strategy."
    writes = True
    expected: ClassVar[tuple[type[Exception], ...]] = (ValueError,)

    def add_arguments(self, parser: CommandParser) -> None:
        """The strategy's name."""
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Register."""
        with self.rehearsal():
            strategy = register_strategy(options["name"], by=command("add_strategy"))
        self.answer(
            {"strategy": strategy.name}, f"{'Would register' if self.dry_run else 'Registered'} {strategy.name}."
        )
