"""Thin entry points of the task queues. Each takes one id; the row that it names is the truth."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from exchanges.connections import adapter_for
from exchanges.host_clock import sample
from exchanges.models import Account, Mode
from exchanges.paper.feed import what_the_market_did
from exchanges.paper.public import public_market
from exchanges.reports import ReadFailed, Report, TradeReport
from exchanges.syncing import sync_balances, sync_instruments, sync_quotes
from execution_project.common.actors import engine
from execution_project.common.chores import answering
from execution_project.common.models import Chore
from orders import following, looking, sending
from orders.boot import finish_boot
from orders.flattening import flatten_step
from orders.ingest import ingest
from orders.kill_sweep import sweep_account
from orders.killing import judge
from orders.models import Attempt, Command
from orders.queues import ring_reading
from orders.reconciliation import NotReconciled, reconcile
from orders.reconciling_schedule import TRADES_WITHIN
from risk.models import KillEpisode

_SCHEDULE = engine("reconciler", "schedule")


def submit(command_id: str) -> None:
    """Carry out one submit command."""
    _send(command_id)


def cancel(command_id: str) -> None:
    """Carry out one cancel command."""
    _send(command_id)


def replace(command_id: str) -> None:
    """Carry out one replace command."""
    _send(command_id)


def _send(command_id: str) -> None:
    outcome = sending.send_command(UUID(command_id))
    if outcome is not None and _shows_trades(outcome.reports):
        account_id = Command.objects.values_list("order__account_id", flat=True).get(id=UUID(command_id))
        _refresh_balances_soon(account_id)


def _shows_trades(reports: tuple[Report, ...]) -> bool:
    return any(isinstance(report, TradeReport) for report in reports)


def _refresh_balances_soon(account_id: int) -> None:
    account = Account.objects.get(pk=account_id)
    ring_reading(account.exchange, f"balances:{account_id}", "orders.tasks.refresh_balances", account_id)


def look(attempt_id: str) -> None:
    """Look after one answered cancel or replace."""
    if _shows_trades(looking.look_after(UUID(attempt_id))):
        account_id = Attempt.objects.values_list("command__order__account_id", flat=True).get(id=UUID(attempt_id))
        _refresh_balances_soon(account_id)


def find_exchange_id(order_id: str) -> None:
    """Look for the exchange's id of one order, for the cancel that needs it."""
    with answering(f"find:{order_id}", expected=ReadFailed):
        looking.find_exchange_id(UUID(order_id))


def probe(order_id: str) -> None:
    """Look for one order whose outcome is unknown, at once; the sweeper rings ``probe_chore`` from then on."""
    with suppress(ReadFailed):
        following.probe(UUID(order_id))


def probe_chore(order_id: str) -> None:
    """The same, rung by the sweeper."""
    with answering(f"probe:{order_id}", expected=ReadFailed):
        following.probe(UUID(order_id))


def sweep_killed_account(sweep_id: str) -> None:
    """One step of a kill's sweep of one account, and the verdict after it."""
    with answering(f"kill-sweep:{sweep_id}"):
        sweep_account(UUID(sweep_id))
        judge(KillEpisode.objects.get(sweeps__id=UUID(sweep_id)))


def flatten_account(flatten_id: str, account_id: int) -> None:
    """One step of a flatten on one account."""
    with answering(f"flatten:{flatten_id}:{account_id}"):
        flatten_step(UUID(flatten_id), account_id)


def follow(account_id: int) -> None:
    """Bring one account's working orders up to date and settle its ended ones."""
    with answering(f"follow:{account_id}", expected=ReadFailed):
        account = Account.objects.get(pk=account_id)
        moved = 0
        try:
            moved += following.follow_account(account)
        finally:
            moved += following.settle_account(account)
        if moved:
            _refresh_balances_soon(account_id)


def refresh_quotes(account_id: int) -> None:
    """Best bid and ask of the account's exchange."""
    account = Account.objects.get(pk=account_id)
    with answering(f"quotes:{account.exchange}:{account.mode}", expected=ReadFailed):
        sync_quotes(account)


def refresh_instruments(account_id: int) -> None:
    """Pairs, filters and status of the account's exchange."""
    account = Account.objects.get(pk=account_id)
    with answering(f"instruments:{account.exchange}:{account.mode}", expected=ReadFailed):
        sync_instruments(account)


def refresh_public_quotes(exchange: str) -> None:
    """Best bid and ask of the market that feeds paper accounts, where no account of it does."""
    account = public_market(exchange)
    if account is not None:
        with answering(f"quotes:{account.exchange}:{account.mode}", expected=ReadFailed):
            sync_quotes(account)


def refresh_public_instruments(exchange: str) -> None:
    """Pairs, filters and status of it, and of the paper market that copies them."""
    account = public_market(exchange)
    if account is not None:
        with answering(f"instruments:{account.exchange}:{account.mode}", expected=ReadFailed):
            sync_instruments(account)
            sync_instruments(Account.objects.filter(exchange=exchange, mode=Mode.PAPER).earliest("pk"))


def refresh_balances(account_id: int) -> None:
    """The account's balances, compared with its ledger."""
    with answering(f"balances:{account_id}", expected=(ReadFailed, NotReconciled)):
        account = Account.objects.get(pk=account_id)
        if account.books_opened_at is None:
            sync_balances(account)
            return
        outcome = reconcile(account, parts=("balances",), by=_SCHEDULE)
        outcome.require()
        if any(difference.became == "suspected" for difference in outcome.differences):
            # Perhaps trades of an order that is not ours, or of a symbol that is read in five minutes only.
            ring_reading(
                account.exchange,
                f"reconcile-all:{account_id}",
                "orders.tasks.reconcile_all_trades",
                account_id,
            )


def reconcile_orders(account_id: int) -> None:
    """The account's working orders, compared with the exchange's list."""
    with answering(f"reconcile-orders:{account_id}", expected=NotReconciled):
        reconcile(Account.objects.get(pk=account_id), parts=("orders",), by=_SCHEDULE).require()


def reconcile_trades(account_id: int) -> None:
    """Trades of the symbols that are due, for a few seconds."""
    with answering(f"reconcile-trades:{account_id}", expected=NotReconciled):
        account = Account.objects.get(pk=account_id)
        reconcile(account, parts=("trades",), by=_SCHEDULE, only_due=True, within=TRADES_WITHIN).require()


def reconcile_all_trades(account_id: int) -> None:
    """Trades of every symbol, due or not, but for those that were read since this was rung."""
    name = f"reconcile-all:{account_id}"
    with answering(name, expected=NotReconciled):
        rung_at = Chore.objects.filter(name=name).values_list("rung_at", flat=True).first()
        account = Account.objects.get(pk=account_id)
        reconcile(account, parts=("trades",), by=_SCHEDULE, unless_read_since=rung_at).require()


def reconcile_after_boot(account_id: int) -> None:
    """All parts, and then the halt of the start is lifted."""
    with answering(f"reconcile-boot:{account_id}"):
        finish_boot(Account.objects.get(pk=account_id))


def match_paper(account_id: int) -> None:
    """The open orders of a paper account against the market of now; what traded is booked like a stream's event."""
    with answering(f"paper:{account_id}"):
        account = Account.objects.get(pk=account_id)
        reports = what_the_market_did(account)
        if reports and ingest(account, reports, by=engine("paper", "the market moved")).new_fills:
            _refresh_balances_soon(account_id)


def sample_clock(account_id: int) -> None:
    """The exchange's clock against ours."""
    with answering(f"clock:{account_id}", expected=ReadFailed):
        account = Account.objects.get(pk=account_id)
        sample(account, adapter_for(account))
