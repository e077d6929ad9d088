"""Remove one guard at a time in a copy of the tree and expect the test that proves it to turn red.

``python -m tests.mutants`` runs all of them (part of ``make proof``), ``… 1 7 ban`` those of two
invariants and of bans; exit status 1 when a guard can go unnoticed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".data", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis")
INVARIANTS = "tests/invariants/test_invariant_"
CRASHES = "tests/integration/test_sweep_crashes.py"
BAN = "tests/integration/test_ban.py"
ISOLATION = "tests/integration/test_isolation.py"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard: where it stands, what stands there without it, and the test that must notice.

    ``also``: further (old, new) pairs of the same file, where a second guard would hide the loss of the first.
    """

    guard: str
    file: str
    old: str
    new: str
    test: str
    also: tuple[tuple[str, str], ...] = ()


MUTANTS = (
    Mutant(
        "4: decide and reserve are one act (many for few slots)",
        "orders/placing.py",
        "        locks.exposure(Exposure, intent.mode)\n",
        "",
        f"{INVARIANTS}04_limits_hold.py::test_invariant_04_of_many_orders_for_few_slots_exactly_as_many_pass",
    ),
    Mutant(
        "4: decide and reserve are one act (two symbols, one cap)",
        "orders/placing.py",
        "        locks.exposure(Exposure, intent.mode)\n",
        "",
        f"{INVARIANTS}04_limits_hold.py::test_invariant_04_two_symbols_together_do_not_pass_the_cap_of_the_book",
    ),
    Mutant(
        "4: live orders count",
        "risk/exposure.py",
        "return round_up(quantity * mark) + live_value(book, where, asset)",
        "return round_up(quantity * mark)",
        f"{INVARIANTS}04_limits_hold.py",
    ),
    Mutant(
        "4: a limit changes under the lock of its decisions",
        "risk/limits.py",
        "    Locks().exposure(Exposure, change.mode)\n",
        "",
        f"{INVARIANTS}04_limits_hold.py::test_invariant_04_nothing_is_approved_by_an_old_limit_after_the_new_one_commits",
    ),
    Mutant(
        "1: a claimed command is not claimed again",
        "orders/claiming.py",
        "if command.status != CommandStatus.QUEUED or (",
        "if bool(command.pk is None) or (",
        f"{INVARIANTS}01_posted_at_most_once.py::test_invariant_01_many_senders_of_one_command_post_once",
        also=(("if order.status != OrderStatus.PENDING and not replaces:", "if order.pk is None:"),),
    ),
    Mutant(
        "1: the order's row lock guards its command",
        "execution_project/common/locking.py",
        '.select_for_update(no_key=True, of=("self",))',
        "",
        f"{INVARIANTS}01_posted_at_most_once.py::test_invariant_01_many_senders_of_one_command_post_once",
    ),
    Mutant(
        "1: an unknown outcome is never sent again",
        "orders/answers.py",
        "OutcomeKind.UNKNOWN: _submit_unknown",
        "OutcomeKind.UNKNOWN: _submit_not_executed",
        f"{INVARIANTS}01_posted_at_most_once.py::test_invariant_01_no_second_exchange_order_without_proof",
    ),
    Mutant(
        "1: a second attempt is refused by the database",
        "orders/migrations/0001_initial.py",
        "name='attempt_one_post_per_client_order_id'",
        "name='attempt_mutant'",
        f"{INVARIANTS}01_posted_at_most_once.py::test_invariant_01_the_database_itself_refuses_a_second_attempt",
    ),
    Mutant(
        "2: a trade that is in the books is not booked again",
        "positions/booking.py",
        "new = insert_new(fills)",
        "new = [fill for fill in fills if insert_new([fill]) or fill]",
        f"{INVARIANTS}02_every_trade_once.py",
    ),
    Mutant(
        "3: a late fact is folded where it belongs",
        "positions/folding.py",
        "if row.restating or own[0].moment <= row.moment:",
        "if row.restating:",
        f"{INVARIANTS}03_books_balance.py",
    ),
    Mutant(
        "3: both sides of every movement are posted",
        "positions/accounting.py",
        'return [Leg(asset, "exchange", amount), Leg(asset, counter_book, -amount)]',
        'return [Leg(asset, "exchange", amount)]',
        f"{INVARIANTS}03_books_balance.py",
    ),
    Mutant(
        "3: the database refuses half a movement",
        "positions/migrations/0004_books_of_cost.py",
        "GROUP BY 1, 2 HAVING sum(amount) <> 0 LIMIT 1;",
        "GROUP BY 1, 2 HAVING false LIMIT 1;",
        f"{INVARIANTS}03_books_balance.py::test_invariant_03_the_database_itself_refuses_half_a_movement",
    ),
    Mutant(
        "6: a round counts only after the request can no longer be executed",
        "orders/absence.py",
        "counts_from_ms = last_moment_ms(order.account, attempt) + bounds.quiet_ms",
        "counts_from_ms = 0",
        f"{INVARIANTS}06_unknown_is_not_ended_by_time.py",
    ),
    Mutant(
        "6: an error is not a negative",
        "orders/absence.py",
        "seen = Seen(AbsenceVerdict.FAILED, str(error))",
        "seen = Seen(AbsenceVerdict.NEGATIVE, str(error))",
        f"{INVARIANTS}06_unknown_is_not_ended_by_time.py",
    ),
    Mutant(
        "6: as many rounds as the bounds demand",
        "orders/absence.py",
        "return len(self.rounds()) >= self.bounds.rounds",
        "return len(self.rounds()) >= 1",
        f"{INVARIANTS}06_unknown_is_not_ended_by_time.py",
        also=(("if len(rounds) < search.bounds.rounds or", "if not rounds or"),),
    ),
    Mutant(
        "1: nothing made before a restore is posted",
        "orders/claiming.py",
        "if _from_before_a_restore(command):",
        "if command.pk is None:",
        "tests/integration/test_restore.py::test_no_client_order_id_is_used_again_after_a_restore",
    ),
    Mutant(
        "2: trades of other programs are looked for",
        "orders/reconciliation/trades.py",
        "report, whole = _order_of(run, cursor, trades)",
        "report, whole = None, ()",
        f"{INVARIANTS}02_every_trade_once.py::test_invariant_02_trades_of_other_programs_are_booked_once",
    ),
    Mutant(
        "8: stale books do not grow",
        "risk/controls/health.py",
        "    if stale:\n",
        "    if stale is None:\n",
        f"{INVARIANTS}08_stale_books_do_not_grow.py::test_invariant_08_no_recent_comparison_no_new_exposure",
    ),
    Mutant(
        "8: a failed query renews nothing",
        "orders/reconciliation/run.py",
        "            result.failed[part] = str(error)\n            continue\n",
        "            fresh_at = asked_at\n",
        f"{INVARIANTS}08_stale_books_do_not_grow.py::test_invariant_08_a_failed_query_renews_nothing",
    ),
    Mutant(
        "7: a paper account with a host or a key is refused by the sender",
        "exchanges/connections.py",
        "if account.rest_url or account.ws_url or account.api_key_sealed or account.api_secret_sealed:",
        "if bool(account.name == 0):",
        "tests/integration/test_paper_opens_nothing.py::test_a_row_that_was_tampered_with_is_refused_by_the_sender",
    ),
    Mutant(
        "7: a live account that is not armed sends nothing",
        "orders/claiming.py",
        "_arming_refusal(order)\n        or _reduce_only_refusal(order, states)",
        "_reduce_only_refusal(order, states)",
        "tests/orders/test_arming_at_the_claim.py",
    ),
    Mutant(
        "7: the sender looks at the account's mode",
        "exchanges/connections.py",
        "if not re.match(PLAIN_URL, url) or not fits.get(Mode(account.mode), False):",
        "if account.mode is None:",
        f"{INVARIANTS}07_no_live_host.py::test_invariant_07_the_sender_refuses_before_any_socket",
    ),
    Mutant(
        "7: the database refuses a live host for a sandbox account",
        "exchanges/migrations/0003_streams_and_depth.py",
        "binance\\\\.com|btcturk\\\\.com",
        "nobody\\\\.invalid",
        f"{INVARIANTS}07_no_live_host.py::test_invariant_07_the_database_refuses_mode_and_host_that_do_not_match",
    ),
    Mutant(
        "10: a key is claimed by one request",
        "execution_project/common/locking.py",
        "claimed = cursor.rowcount == 1",
        "claimed = cursor.rowcount >= 0",
        f"{INVARIANTS}10_idempotency.py::test_invariant_10_one_key_from_many_clients_is_one_order",
    ),
    Mutant(
        "10: another body under a key is refused",
        "orders/placing.py",
        "if earlier.body_hash != body_hash:",
        "if earlier.body_hash is None:",
        f"{INVARIANTS}10_idempotency.py::test_invariant_10_another_body_under_the_key_is_refused_with_its_own_code",
    ),
    Mutant(
        "11: credentials are sealed at rest",
        "exchanges/credentials.py",
        'return identity.encode() + b":" + nonce + sealed',
        'return identity.encode() + b":" + nonce + sealed + text.encode()',
        f"{INVARIANTS}11_secrets.py::test_invariant_11_secrets_are_nowhere_to_be_read",
    ),
    Mutant(
        "11: attempts are stored without the signature",
        "orders/answers.py",
        '"parameters": outcome.evidence.parameters,',
        '"parameters": {**outcome.evidence.parameters, "signature": "0"},',
        f"{INVARIANTS}11_secrets.py::test_invariant_11_secrets_are_nowhere_to_be_read",
    ),
    Mutant(
        "1: what a killed worker may have sent is unknown",
        "orders/sweeping.py",
        "        return\n    command.move(CommandStatus.UNKNOWN, by)\n",
        "        return\n    command.move(CommandStatus.QUEUED, by)\n",
        f"{CRASHES}::test_killed_while_recovering_what_a_killed_worker_left",
    ),
    Mutant(
        "ban: it stops even cancels and probes",
        "exchanges/rate_budget.py",
        "        if until > now:\n",
        "        if until > now and not urgent:\n",
        BAN,
    ),
    Mutant(
        "ban: everything else waits longer than cancels and probes",
        "exchanges/rate_budget.py",
        "until = pause.until if urgent or not pause.banned else pause.until + AFTER_BAN",
        "until = pause.until",
        BAN,
    ),
    Mutant(
        "ban: the sample of the clock that a cancel needs is as urgent",
        "orders/sending.py",
        "with urgent() if is_cancel else nullcontext():",
        "with nullcontext():",
        BAN,
    ),
    Mutant(
        "ban: a probe is due when it ends",
        "orders/following.py",
        "if silent_until is not None:",
        "if order is None:",
        BAN,
    ),
    Mutant(
        "ban: it is an event",
        "exchanges/rate_budget.py",
        "new = banned and (",
        "new = host is None and (",
        BAN,
    ),
    Mutant(
        "isolation: every exchange has a queue for its submits",
        "orders/queues.py",
        'return f"submit-{exchange}"',
        'return "submit-btcturk"',
        ISOLATION,
    ),
    Mutant(
        "isolation: cancels have a queue of their own",
        "orders/queues.py",
        'return f"cancel-{exchange}"',
        'return "submit-btcturk"',
        ISOLATION,
    ),
    Mutant(
        "isolation: what is read from an exchange has a queue of its own",
        "orders/queues.py",
        'return f"housekeeping-{exchange}"',
        'return "housekeeping-btcturk"',
        "tests/orders/test_queues.py",
    ),
)


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether the test stays green without the guard. Raises ``ValueError`` when the guard is not where it was."""
    file = tree / mutant.file
    whole = file.read_text(encoding="utf-8")
    changed = whole
    for old, new in ((mutant.old, mutant.new), *mutant.also):
        if old not in changed:
            raise ValueError(f"{mutant.file} no longer has {old!r}: bring the mutant up to date.")
        changed = changed.replace(old, new)
    file.write_text(changed, encoding="utf-8")
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", mutant.test],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)},
            capture_output=True,
            text=True,
        )
    finally:
        file.write_text(whole, encoding="utf-8")
    if ran.returncode not in {0, 1}:
        raise ValueError(f"{mutant.guard}: the test did not run:\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    return ran.returncode == 0


def main() -> int:
    """Run every mutant and print a line each; 1 when one survives."""
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or mutant.guard.startswith(tuple(sys.argv[1:]))]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        for number, mutant in enumerate(chosen, 1):
            alive = survives(mutant, tree)
            survivors += alive
            print(f"{number:2}/{len(chosen)} {'SURVIVED' if alive else 'caught  '} {mutant.guard}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
