"""``manage.py watchdog --kit FILE``: cancel everything when the engine's heart stops while orders work."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from exchanges.dead_man import LOOK_EVERY_S, STALE_AFTER_S, Watchdog
from exchanges.emergency_kit import Kit, KitUnusable, open_kit
from exchanges.management.passphrase import add_passphrase_argument, read_passphrase
from execution_project.common.management_command import EngineCommand


class Command(EngineCommand):
    """Needs no database. Takes a kit that was written anew without a restart."""

    help = "Watch the engine's heartbeat; stale with working orders: cancel all of them, from the emergency kit alone."
    needs_database = False
    requires_system_checks = []
    expected = (KitUnusable,)
    _stopping = False
    _read_at = 0.0

    def add_arguments(self, parser: CommandParser) -> None:
        """The kit, the heartbeat, and how long it may stand still."""
        parser.add_argument("--kit", type=Path, required=True, help="file of export_emergency_kit")
        parser.add_argument("--heartbeat", type=Path, default=Path(settings.EXEC_HEARTBEAT_FILE))
        parser.add_argument("--stale-after", type=float, default=STALE_AFTER_S, metavar="SECONDS")
        parser.add_argument("--once", action="store_true", help="look once, act if need be, and end")
        add_passphrase_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        """Until SIGTERM or SIGINT."""
        passphrase, path = read_passphrase(options), options["kit"]
        kit = open_kit(path, passphrase)
        watchdog = Watchdog(kit.accounts, options["heartbeat"], self._say, options["stale_after"])
        if options["once"]:
            age_s = watchdog.file_age_s()
            found = watchdog.step(age_s)
            document = {"accounts": len(kit.accounts), "heartbeat_age_s": round(age_s, 3), "found": found}
            said = f"The heart beat {age_s:.1f} s ago; {len(kit.accounts)} accounts; {found} orders found."
            self.answer(document, said)
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self._say(f"Watching {options['heartbeat']} for {len(kit.accounts)} accounts, kit of {kit.written_at:%FT%TZ}.")
        while not self._stopping:
            kit = self._newest(path, passphrase, kit)
            watchdog.accounts = kit.accounts
            watchdog.step()
            time.sleep(LOOK_EVERY_S)

    def _newest(self, path: Path, passphrase: str, kit: Kit) -> Kit:
        """The kit, read again when its file has changed; one that does not open leaves the last that did."""
        try:
            changed = path.stat().st_mtime
            if changed == self._read_at:
                return kit
            self._read_at = changed
            return open_kit(path, passphrase)
        except (OSError, KitUnusable) as error:
            self._say(f"The kit cannot be read again, the last one counts: {error}")
            return kit

    def _say(self, text: str) -> None:
        self.stderr.write(f"watchdog: {text}")

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
