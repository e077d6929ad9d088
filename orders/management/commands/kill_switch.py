"""``manage.py kill_switch [--scope S] --reason R``: latch a scope and end every order in it, until that is proven.

``--kit FILE`` does it at the exchanges alone, with neither database nor workers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from exchanges.emergency_cancel import Canceled, cancel_everything
from exchanges.emergency_kit import Kit, KitUnusable, open_kit
from exchanges.management.passphrase import add_passphrase_argument, read_passphrase
from execution_project.common.actors import command
from execution_project.common.management_command import ExitCode, Partly, Refused, reason_text
from orders.api.kills import kill_document
from orders.canceling import working_orders
from orders.kill_driving import carry_on
from orders.killing import Killed, kill
from risk.kill_episodes import sentence_of
from risk.management.scope_command import ScopeCommand
from risk.models import KillEpisode, KillVerdict

WAITS_S = 15.0
KIT_WAITS_S = 240.0
SAID_OF_UNPROVEN = 20


class Command(ScopeCommand):
    """Asks nothing: the latch stands before anything else is done, and stands whatever becomes of the rest."""

    help = (
        "Kill trading in a scope (default: everything) and end all orders in it; lifting it takes a second person."
        " With --kit: cancel everything at the exchanges from that file alone, without a database."
    )
    requires_system_checks = []
    expected = (KitUnusable,)

    def add_arguments(self, parser: CommandParser) -> None:
        """Scope and reason, or a kit; and how long to wait for the proof."""
        self.add_scope_argument(parser, default="global")
        parser.add_argument("--reason", type=reason_text, help="why, for the record; required without --kit")
        parser.add_argument("--kit", type=Path, metavar="FILE", help="file of export_emergency_kit; uses no database")
        parser.add_argument(
            "--wait",
            type=float,
            metavar="SECONDS",
            help=f"for the proof that nothing works any more (default {WAITS_S:g}; {KIT_WAITS_S:g} with --kit)",
        )
        add_passphrase_argument(parser)

    def wants_database(self, options: Mapping[str, Any]) -> bool:
        """Not with a kit."""
        return options.get("kit") is None

    def handle(self, *args: Any, **options: Any) -> None:
        """Kill."""
        if options["kit"] is not None:
            self._kill_by_kit(options)
            return
        if options["reason"] is None:
            raise Refused("USAGE", "Say why with --reason.", exit_code=ExitCode.USAGE)
        scope = self.scope(options)
        if self.dry_run:
            count = working_orders(scope.kind, scope.key).count()
            document = {**self.state_document(scope), "cancels_requested": count}
            self.answer(document, f"{scope.name} would be latched, the end of {count} orders asked for.")
            return
        killed = kill(scope.kind, scope.key, reason=options["reason"], by=command("kill_switch"))
        self.stderr.write(f"{scope.name} is latched: nothing new goes out. Lifting it takes a second person.")
        wait_s = WAITS_S if options["wait"] is None else options["wait"]
        episode = carry_on(killed.episode, within_s=wait_s, say=self._say)
        document = {
            **self.state_document(scope),
            "cancels_requested": killed.cancels_requested,
            "kill": kill_document(episode),
        }
        self.answer(document, self._words(killed, episode))
        if episode.verdict != KillVerdict.VERIFIED:
            raise Partly("It is not proven yet that nothing works any more. Run this again: it goes on where it is.")

    def _say(self, episode: KillEpisode) -> None:
        self.stderr.write(f"{episode.verdict}: {len(episode.unproven)} things are not proven")

    def _words(self, killed: Killed, episode: KillEpisode) -> str:
        lines = [f"Kill {episode.id}: {episode.verdict}. {killed.cancels_requested} orders were asked to end."]
        lines += [f"  {sentence_of(each)}" for each in episode.unproven[:SAID_OF_UNPROVEN]]
        if len(episode.unproven) > SAID_OF_UNPROVEN:
            lines.append(f"  and {len(episode.unproven) - SAID_OF_UNPROVEN} more")
        return "\n".join(lines)

    def _kill_by_kit(self, options: dict[str, Any]) -> None:
        """Everything at the exchanges; one row per account, exit code 3 unless every account is verified."""
        kit = open_kit(options["kit"], read_passphrase(options))
        if self.dry_run:
            names = [account.name for account in kit.accounts]
            self.answer({"accounts": names}, f"Everything would be canceled on {', '.join(names) or 'no account'}.")
            return
        within_s = KIT_WAITS_S if options["wait"] is None else options["wait"]
        results = cancel_everything(kit.accounts, within_s=within_s, say=self.stderr.write)
        self._table(kit, results)
        if not kit.accounts or not all(result.verified for result in results):
            raise Partly("Not every account is proven to have no working order. Run this again.")

    def _table(self, kit: Kit, results: list[Canceled]) -> None:
        if not self.as_json:
            self.stdout.write(f"Kit of {kit.written_at:%Y-%m-%d %H:%M:%S} UTC. It does not halt the engine itself.")
            self.stdout.write(f"{'account':<24}{'exchange':<10}{'listed':>7}{'left':>6}  verdict")
        for result in results:
            verdict = "VERIFIED" if result.verified else f"NOT VERIFIED {result.detail}".strip()
            document = {
                "account": result.account,
                "exchange": result.exchange,
                "listed": result.listed,
                "left": result.left,
                "verified": result.verified,
                "detail": result.detail,
            }
            left = len(result.left)
            self.answer(document, f"{result.account:<24}{result.exchange:<10}{result.listed:>7}{left:>6}  {verdict}")
