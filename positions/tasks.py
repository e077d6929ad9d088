"""Entry points of the housekeeping queue for the books, and the ticks that ring them."""

from __future__ import annotations

from datetime import timedelta

import structlog

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
from positions.rebuilding import check_ledger, check_subject, subjects_of, tell_differences
from positions.suspense import recheck_suspense

HOUSEKEEPING = "housekeeping"
CHECKED_EVERY = timedelta(days=1)
RESTATING, RATES, CHECK = "books:restating", "books:rates", "books:check"
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
    """Compare each account's books with its facts once a day, one account at a time."""
    before = clock.now() - CHECKED_EVERY
    checked = set(
        Chore.objects.filter(name__startswith=f"{CHECK}:", finished_at__gt=before).values_list("name", flat=True)
    )
    for account in Account.objects.filter(books_opened_at__isnull=False).order_by("pk"):
        name = f"{CHECK}:{account.pk}"
        if name not in checked:
            ring_chore(HOUSEKEEPING, name, "positions.tasks.check_books", account.pk)
            return


def check_books(account_id: int) -> int:
    """Recompute an account's books; a difference is an event and an error in the log. Returns how many there are."""
    account = Account.objects.get(pk=account_id)
    with answering(f"{CHECK}:{account_id}"):
        found = check_ledger(account)
        for subject in subjects_of([account]):
            found += check_subject(subject)
        tell_differences(account, found, by=engine("books", "the daily check"))
        recheck_suspense(account)
        if found:
            log.error("books differ from their facts", account=account.name, differences=len(found))
    return len(found)
