"""Entry points of the housekeeping queue for the books, and the ticks that ring them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

import structlog
from django.db import OperationalError

from exchanges.models import Account
from execution_project.common import clock
from execution_project.common.actors import engine
from execution_project.common.chores import answering, ring_chore
from execution_project.common.locking import ordered
from execution_project.common.models import Chore
from positions.folding import restate_piece
from positions.models import Inventory, PendingRate, Position
from positions.position_folding import restate_position_piece
from positions.rates import look_again
from positions.rebuilding import Difference, Subject, check_ledger, check_subject, subjects_of, tell_differences
from positions.suspense import recheck_suspense
from positions.warnings import differ_since

HOUSEKEEPING = "housekeeping"
CHECKED_EVERY = timedelta(days=1)
RESTATING, RATES, CHECK = "books:restating", "books:rates", "books:check"
CHECKS_FOR, ONE_CHECK = timedelta(seconds=10), timedelta(seconds=30)
"""After so long no further check is begun, and one that takes longer is given up: a task ends within 40 seconds."""
CHECKER = engine("books", "the daily check")
WORKS_FOR = timedelta(seconds=20)
"""A restatement goes on in the next ringing after so long; the queue allows a task a minute."""

log = structlog.get_logger(__name__)


def ring_restating() -> None:
    """Go on with holdings and positions that wait to be folded anew."""
    if Inventory.objects.filter(restating=True).exists() or Position.objects.filter(restating=True).exists():
        ring_chore(HOUSEKEEPING, RESTATING, "positions.tasks.restate_due")


def restate_due() -> None:
    """Fold what waits, piece by piece, for about 20 seconds."""
    until = clock.now() + WORKS_FOR
    with answering(RESTATING):
        while clock.now() < until and (_restate_one_holding() or _restate_one_position()):
            pass


def _restate_one_holding() -> bool:
    row = Inventory.objects.filter(restating=True).select_related("account").order_by("pk").first()
    if row is None:
        return False
    with ordered() as locks:
        restate_piece(locks, row.account, row.asset)
    return True


def _restate_one_position() -> bool:
    row = Position.objects.filter(restating=True).order_by("pk").first()
    if row is None:
        return False
    with ordered() as locks:
        restate_position_piece(locks, row)
    return True


def ring_missing_rates() -> None:
    """Look again for rates that facts lack."""
    if PendingRate.objects.filter(next_at__lte=clock.now()).exists():
        ring_chore(HOUSEKEEPING, RATES, "positions.tasks.find_missing_rates")


def find_missing_rates() -> None:
    """One round of looking."""
    with answering(RATES):
        look_again()


def ring_book_checks() -> None:
    """Compare the books with their facts, each part of them once a day."""
    if Account.objects.filter(books_opened_at__isnull=False).exists():
        ring_chore(HOUSEKEEPING, CHECK, "positions.tasks.check_books")


@dataclass(frozen=True, slots=True)
class _Part:
    """What is checked by itself: the holdings of an asset, a position, or (no subject) the ledger of an account."""

    name: str
    account: Account
    subject: Subject | None = None


def _parts() -> list[_Part]:
    found = []
    accounts = Account.objects.filter(books_opened_at__isnull=False).in_bulk()
    for pk, account in accounts.items():
        found.append(_Part(f"{CHECK}:{pk}:ledger", account))
    for pk, asset in Inventory.objects.filter(account__in=accounts).values_list("account_id", "asset"):
        found.append(_Part(f"{CHECK}:{pk}:asset {asset}", accounts[pk], Subject(accounts[pk], asset)))
    for row in Position.objects.filter(account__in=accounts):
        account = accounts[row.account_id]
        found.append(_Part(f"{CHECK}:{account.pk}:position {row.pk}", account, Subject(account, position=row)))
    return found


def check_books() -> int:
    """Recompute what was not checked for a day, longest unchecked first, for about ten seconds.

    A difference is an event and an error in the log. Returns how many there are.
    """
    count, until = 0, monotonic() + CHECKS_FOR.total_seconds()
    with answering(CHECK):
        checked = dict(Chore.objects.filter(name__startswith=f"{CHECK}:").values_list("name", "finished_at"))
        never = datetime.min.replace(tzinfo=UTC)
        before = clock.now() - CHECKED_EVERY
        due = [(checked.get(part.name) or never, part.name, part) for part in _parts()]
        done = []
        for _, _, part in sorted((each for each in due if each[0] <= before), key=lambda each: each[:2]):
            count += _check(part)
            done.append(part)
            if monotonic() >= until:
                break
        _tell_agreement({part.account for part in done}, _parts())
    return count


def _tell_agreement(accounts: Iterable[Account], parts: Sequence[_Part]) -> None:
    """Books that differed agree again when every part of them was found right since."""
    right = dict(Chore.objects.filter(name__startswith=f"{CHECK}:").values_list("name", "succeeded_at"))
    never = datetime.min.replace(tzinfo=UTC)
    for account in accounts:
        since = differ_since(account)
        names = [part.name for part in parts if part.account == account]
        if since is not None and all((right.get(name) or never) > since for name in names):
            tell_differences(account, [], by=CHECKER)


def _check(part: _Part) -> int:
    """One part that takes too long must not keep the others from their turn: its error is kept beside it."""
    began, error, found = clock.now(), "", list[Difference]()
    try:
        found = _differences(part)
    except (TimeoutError, OperationalError) as wrong:
        error = f"not checked within {ONE_CHECK.seconds} s ({type(wrong).__name__}): run rebuild_books --check"
        log.error("books were not checked", part=part.name, account=part.account.name, error=error)
    if part.subject is None:
        recheck_suspense(part.account)
    if found:
        error = f"{len(found)} differences"
        tell_differences(part.account, found, by=CHECKER)
        log.error("books differ from their facts", account=part.account.name, differences=len(found))
    now = clock.now()
    noted = {"rung_at": began, "finished_at": now, "error": error, **({} if error else {"succeeded_at": now})}
    Chore.objects.update_or_create(name=part.name, defaults=noted)
    return len(found)


def _differences(part: _Part) -> list[Difference]:
    until = monotonic() + ONE_CHECK.total_seconds()

    def in_time() -> None:
        if monotonic() > until:
            raise TimeoutError

    if part.subject is not None:
        return check_subject(part.subject, page_done=in_time, within=ONE_CHECK)
    found = check_ledger(part.account, within=ONE_CHECK)
    return found + [
        # What has facts and no inventory is nobody else's part.
        difference
        for subject in subjects_of([part.account])
        if subject.position is None and not Inventory.objects.filter(account=part.account, asset=subject.asset).exists()
        for difference in check_subject(subject, page_done=in_time, within=ONE_CHECK)
    ]
