"""``manage.py classify_transfer``: list what nothing explains, or propose what a movement was."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.clock import rfc3339
from execution_project.common.management_command import ExitCode, Partly, Refused, reason_text
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain, plain_or_none
from positions.classifying import INTO, Classification, propose_classification, what_a_classification_does
from positions.models import PostingKind
from positions.suspense import unexplained


def amount(text: str) -> Decimal:
    """A plain decimal; raises ``ArgumentTypeError``."""
    try:
        return parse_decimal(text)
    except NotPlainDecimal as error:
        raise ArgumentTypeError(f"{text!r}: {error}") from error


def moment(text: str) -> datetime:
    """A time with its zone; raises ``ArgumentTypeError``."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: give a time like 2026-05-01T12:00:00Z.") from error
    if at.tzinfo is None:
        raise ArgumentTypeError(f"{text!r}: say the time zone, e.g. 2026-05-01T12:00:00Z.")
    return at


class Command(AccountCommand):
    """Without a posting lists what is unexplained; with one proposes what it was, for a second person to approve."""

    help = "List what nothing explains, or propose what a movement was; a second person approves."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The posting, and what it was."""
        parser.add_argument("posting", nargs="?", type=UUID, help="id of the movement; without it all are listed")
        parser.add_argument("--account", action="append", metavar="NAME", help="list this account alone; repeatable")
        parser.add_argument("--as", dest="kind", choices=[kind.value for kind in INTO], help="what it was")
        parser.add_argument("--network-fee", type=amount, default=Decimal(0), help="part of what went out")
        parser.add_argument("--value", type=amount, help="worth in the reporting currency, else by its mark")
        parser.add_argument("--at", type=moment, help="when it moved, e.g. 2026-05-01T12:00:00Z; without it when noted")
        parser.add_argument("--with", dest="other", type=UUID, metavar="POSTING", help="what belongs to it")
        parser.add_argument("--reason", type=reason_text, help="where the movement can be seen")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, or propose and say what approving would do."""
        if options["posting"] is None:
            self._list(options["account"])
            return
        if options["kind"] is None or options["reason"] is None:
            wanted = "Say what it was by --as, and by --reason where that can be seen."
            raise Refused("USAGE", wanted, exit_code=ExitCode.USAGE)
        to = Classification(
            PostingKind(options["kind"]), options["network_fee"], options["value"], options["at"], options["other"]
        )
        by = command("classify_transfer")
        with self.rehearsal():
            approval = propose_classification(options["posting"], to, reason=options["reason"], by=by)
            consequences = what_a_classification_does(approval)
        said = ["Would be proposed:" if self.dry_run else f"Asked for approval {approval.id}:", *consequences]
        document = {"approval": {**approval_document(approval), "consequences": list(consequences)}}
        self.answer(document, "\n  ".join(said))
        if not self.dry_run:
            raise Partly("Nothing has moved yet: a second person has to approve it, with `approve` or in the admin.")

    def _list(self, names: list[str] | None) -> None:
        empty = True
        for account in self.accounts(names or []):
            for item in unexplained(account):
                empty = False
                posting = item.posting
                document = {
                    "account": account.name,
                    "asset": item.asset,
                    "quantity": plain(item.quantity),
                    "value": plain_or_none(item.value),
                    "posting": None if posting is None else str(posting.id),
                    "effective_at": None if posting is None else rfc3339(posting.effective_at),
                }
                what = "sold beyond everything held" if posting is None else f"posting {posting.id}"
                worth = "value unknown" if item.value is None else f"worth {plain(item.value)}"
                self.answer(document, f"{account.name} {plain(item.quantity)} {item.asset}, {worth}: {what}")
        if empty:
            self.answer({"unexplained": 0}, "Nothing is unexplained.")
            return
        raise Partly("Say what each was: `classify_transfer POSTING --as KIND --reason R`.")
