"""What commands about accounts share: finding the account, and the errors that only an exchange can cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from exchanges.accounts import AccountRefused
from exchanges.connections import WrongHost
from exchanges.credentials import CredentialsUnreadable
from exchanges.models import Account
from exchanges.reports import OutcomeKind, ReadFailed
from execution_project.common.management_command import EngineCommand, Partly, Refused
from execution_project.common.problems import Problem


class AccountCommand(EngineCommand):
    """A command that names accounts and may ask their exchange."""

    expected: ClassVar[tuple[type[Exception], ...]] = (AccountRefused, CredentialsUnreadable, ReadFailed, WrongHost)

    def sentence(self, error: Exception) -> str:
        """What an expected error says to whoever runs the command."""
        if isinstance(error, AccountRefused):
            return f"{error.field}: {error}"
        if isinstance(error, ReadFailed):
            return read_failed_sentence(error)
        return str(error)

    def account(self, name: str) -> Account:
        """The account of this name; raises ``Refused`` with the names there are."""
        account = Account.objects.filter(name=name).first()
        if account is None:
            known = ", ".join(Account.objects.order_by("name").values_list("name", flat=True)) or "none yet"
            raise Refused("UNKNOWN_ACCOUNT", f"There is no account {name!r}. Accounts: {known}.")
        return account

    def accounts(self, names: Sequence[str]) -> list[Account]:
        """The accounts of these names; without names all. Raises ``Refused`` for an unknown name, and without any."""
        if not names:
            found = list(Account.objects.order_by("name"))
            if not found:
                raise Refused("NO_ACCOUNT", "There is no account to ask for: make one with add_account.")
            return found
        return [self.account(name) for name in dict.fromkeys(names)]

    def for_each(self, accounts: Sequence[Account], act: Callable[[Account], tuple[dict[str, Any], str]]) -> None:
        """Answer for each account with what ``act`` returns; one that fails does not keep the others from their turn.

        Raises ``Partly`` when some failed, and like ``act`` when there is but one; ``Refused`` when all failed.
        """
        failed = 0
        expected: tuple[type[Exception], ...] = (Problem, *self.expected)
        for account in self.progress(accounts, "accounts"):
            try:
                document, text = act(account)
            except expected as error:
                if len(accounts) == 1:
                    raise
                failed += 1
                said = self.sentence(error)
                self.answer({"account": account.name, "ok": False, "detail": said}, f"{account.name}: {said}")
            else:
                self.answer({"account": account.name, "ok": True, **document}, f"{account.name}: {text}")
        if failed and failed == len(accounts):
            raise Refused("ALL_FAILED", "It failed for every account; each line above says why.")
        if failed:
            raise Partly(f"It failed for {failed} of {len(accounts)} accounts; their lines above say why.")


def read_failed_sentence(error: ReadFailed) -> str:
    """What a failed question to an exchange means for whoever asked."""
    outcome = error.outcome
    words = " ".join(part for part in (outcome.code, outcome.message) if part)
    said = f" ({words})" if words else ""
    if outcome.kind is OutcomeKind.AUTH:
        return f"The exchange refused the key{said}: check key, secret, permissions and address list."
    if outcome.kind in {OutcomeKind.THROTTLED, OutcomeKind.NOT_SENT}:
        return f"The exchange was not asked, or asks us to wait{said}: try again later."
    if outcome.kind is OutcomeKind.CLOCK:
        return f"The exchange refused the time stamp{said}: mend this machine's clock."
    if outcome.kind is OutcomeKind.REFUSED:
        return f"The exchange refused the question{said}."
    return f"The exchange did not answer{said}: nothing is known; try again."
