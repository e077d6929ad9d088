"""``manage.py rebuild_books``: recompute holdings and positions from the facts and compare."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from execution_project.common.actors import command
from execution_project.common.management_command import Refused
from positions.rebuilding import (
    Difference,
    Subject,
    check_ledger,
    check_subject,
    rebuild,
    subjects_of,
    tell_differences,
)


class Command(AccountCommand):
    """Reports every difference between what is stored and what the facts say; ends with 1 if there is any."""

    help = "Recompute the books from their facts and report any difference. --write replaces what differs."
    is_long = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Which accounts, and whether to repair."""
        parser.add_argument("--account", action="append", metavar="NAME", help="this account alone; repeatable")
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--check", action="store_true", help="compare and change nothing (the default)")
        what.add_argument("--write", action="store_true", help="replace what differs by what the facts say")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check everything, repair what was asked for, and check that again."""
        by = command("rebuild_books")
        accounts = self.accounts(options["account"] or [])
        subjects = subjects_of(accounts)
        found: list[Difference] = [difference for account in accounts for difference in check_ledger(account)]
        found += self._check(subjects)
        for account in accounts:
            own = [difference for difference in found if difference.subject.account == account]
            tell_differences(account, own, by=by)
        for difference in found:
            document = {
                "subject": difference.subject.name,
                "what": difference.what,
                "stored": difference.stored,
                "rebuilt": difference.rebuilt,
            }
            said = (
                f"{difference.subject.name}: {difference.what} is {difference.stored}, facts say {difference.rebuilt}"
            )
            self.answer(document, said)
        if not found:
            self.answer({"checked": len(subjects), "differences": 0}, f"{len(subjects)} checked, no difference.")
            return
        if options["write"]:
            broken = {difference.subject.name: difference.subject for difference in found}
            repaired = [subject for subject in subjects if subject.name in broken]
            for subject in repaired:
                rebuild(subject, by=by)
            left = self._check(repaired)
            unbalanced = [each for each in found if each.subject.asset == "ledger"]
            if not left and not unbalanced:
                for account in accounts:
                    tell_differences(account, [], by=by)
                self.answer({"rebuilt": len(repaired)}, f"{len(repaired)} rebuilt; stored and facts agree now.")
                return
        raise Refused("BOOKS_DIFFER", f"{len(found)} differences between what is stored and what the facts say.")

    def _check(self, subjects: list[Subject]) -> list[Difference]:
        """Every subject once; the bar moves by pages of facts."""
        pages = [subject for subject in subjects for _ in range(subject.pages)]
        bar = self.progress(pages, "pages of facts")
        found: list[Difference] = []
        for subject in subjects:
            moved = 0

            def page_done(subject: Subject = subject) -> None:
                nonlocal moved
                if moved < subject.pages:
                    next(bar, None)
                    moved += 1

            found += check_subject(subject, page_done=page_done)
            for _ in range(subject.pages - moved):
                next(bar, None)
        next(bar, None)
        return found
