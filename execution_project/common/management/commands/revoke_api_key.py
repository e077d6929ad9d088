"""``manage.py revoke_api_key KEY``: end a client's key for good."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.db.models import Q

from execution_project.common.actors import command
from execution_project.common.api_keys import revoke_api_key
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import EngineCommand, Refused
from execution_project.common.models import ApiKey


class Command(EngineCommand):
    """From the next request on the key is refused; revoking it again changes nothing."""

    help = "Revoke an API key."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The key's id or its name; never the key itself."""
        parser.add_argument("key", help="the key's id (the part after exk_) or its name; never the whole key")

    def handle(self, *args: Any, **options: Any) -> None:
        """Find and revoke."""
        found = ApiKey.objects.filter(Q(id=options["key"]) | Q(name=options["key"])).first()
        if found is None:
            # What was typed may be a whole key: it is not repeated.
            raise Refused("UNKNOWN_API_KEY", "There is no API key with this id or name.")
        with self.rehearsal():
            key = revoke_api_key(found.id, by=command("revoke_api_key"))
        said = "Would revoke" if self.dry_run else "Revoked"
        if found.revoked_at is not None:
            said = "Was revoked before:"
        document = {
            "id": key.id,
            "name": key.name,
            "revoked_at": None if key.revoked_at is None or self.dry_run else rfc3339(key.revoked_at),
        }
        self.answer(document, f"{said} {key.name} ({key.id}).")
