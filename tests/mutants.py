"""Remove one guard at a time in a copy of the tree and expect the test that proves it to turn red.

``python -m tests.mutants`` runs all of them (part of ``make proof``), ``… 1 7 ban`` those of two
invariants and of bans, ``--jobs 2`` two at a time; exit status 1 when a guard can go unnoticed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".data", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis")
INVARIANTS = "tests/invariants/test_invariant_"
KILLS = f"{INVARIANTS}05_kills_are_final.py"
READABLE = f"{INVARIANTS}09_readable_afterwards.py"
SWEEP = "tests/integration/test_kill_sweep.py"
FLATTEN = "tests/integration/test_flatten.py"
CONTROLS = "tests/risk/test_controls.py"
LIMIT_CONTROLS = "tests/risk/test_limit_controls.py"
CRASHES = "tests/integration/test_sweep_crashes.py"
BAN = "tests/integration/test_ban.py"
ISOLATION = "tests/integration/test_isolation.py"
FLOW = f"{INVARIANTS}04_random_flow.py"
COUNTING = "tests/orders/monitors/test_counting.py"
PAUSES = "tests/risk/monitors/test_pauses.py"
TRIPPED = "tests/orders/test_tripped.py"
OVERRIDING = "tests/orders/test_overriding.py"


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
        f"{INVARIANTS}04_limits_hold.py::test_invariant_04_a_limit_waits_for_the_decision_that_read_the_old_one",
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
        "new = insert_new([_fill(account, booking) for booking in sorted(bookings, key=_moment)])",
        "new = [f for f in (_fill(account, b) for b in sorted(bookings, key=_moment)) if insert_new([f]) or f]",
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
        "isolation: what is asked about single orders has a queue of its own",
        "orders/queues.py",
        'return f"probe-{exchange}"',
        'return f"cancel-{exchange}"',
        "tests/orders/test_queues.py",
    ),
    Mutant(
        "isolation: a look after a cancel is not made by who sends cancels",
        "orders/sending.py",
        "    if is_submit:\n        if look:\n",
        "    if True:\n        if look:\n",
        f"{SWEEP}::test_with_every_read_hanging_the_cancels_of_a_kill_leave_at_once",
    ),
    Mutant(
        "isolation: what is read from an exchange has a queue of its own",
        "orders/queues.py",
        'return f"housekeeping-{exchange}"',
        'return "housekeeping-btcturk"',
        "tests/orders/test_queues.py",
    ),
    Mutant(
        "4: what live orders may still bring is found by its asset",
        "risk/exposure.py",
        "            if row.gained_asset == asset\n",
        "            if row.gained_asset is None\n",
        f"{INVARIANTS}04_limits_hold.py::test_invariant_04_an_order_of_unknown_outcome_counts_in_full",
    ),
    Mutant(
        "4: the limits of all scopes are looked at, not the last alone",
        "risk/controls/judging.py",
        "for limit, seen in checked if broken_by(",
        "for limit, seen in checked[-1:] if broken_by(",
        f"{LIMIT_CONTROLS}::test_all_scopes_are_checked_and_a_narrower_one_never_loosens",
    ),
    Mutant(
        "4: the limits of all scopes are looked at, not the first alone",
        "risk/controls/judging.py",
        "for limit, seen in checked if broken_by(",
        "for limit, seen in checked[:1] if broken_by(",
        f"{LIMIT_CONTROLS}::test_all_scopes_are_checked_and_a_narrower_one_never_loosens",
    ),
    Mutant(
        "4: a decision and what it reserves are one act (random flow)",
        "orders/placing.py",
        "        locks.exposure(Exposure, intent.mode)\n",
        "",
        FLOW,
    ),
    Mutant(
        "4: the limits of all scopes are looked at (random flow)",
        "risk/controls/judging.py",
        "for limit, seen in checked if broken_by(",
        "for limit, seen in checked[:1] if broken_by(",
        FLOW,
    ),
    Mutant(
        "4: of a replace the greater of old and new counts",
        "risk/inputs.py",
        "else max(self.reported_notional, self.own_exposure)",
        "else self.reported_notional",
        "tests/orders/test_placing_with_limits.py::test_a_replace_by_less_counts_as_what_works_until_then",
    ),
    Mutant(
        "4: what a canceled order has traded and is not booked stays reserved (random flow)",
        "risk/reservations.py",
        "        if facts.ended:\n            base = unbooked\n",
        "        if facts.ended:\n            base = ZERO\n",
        FLOW,
    ),
    Mutant(
        "4: an adopted order counts like any other (random flow)",
        "orders/adopting.py",
        "        set_reservation(locked[order.id], row)\n",
        "",
        FLOW,
        also=(("exposure_price=exposure_price,", "exposure_price=ZERO,"),),
    ),
    Mutant(
        "4: approving is no part of operating",
        "execution_project/common/rights.py",
        "            *(Right.SYNC, Right.RESOLVE, Right.CHANGE_LIMITS),\n",
        "            *(Right.SYNC, Right.RESOLVE, Right.CHANGE_LIMITS, Right.APPROVE),\n",
        "tests/common/test_approvals_api.py::test_whoever_asked_is_no_second_person_by_another_key",
    ),
    Mutant(
        "4: a ramp lets money limits count in part",
        "risk/ramp.py",
        "ramps.get(scope, WHOLE)))",
        "WHOLE))",
        "tests/risk/test_ramp.py",
    ),
    Mutant(
        "monitor: a limit is met at equality",
        "risk/monitors/acting.py",
        "    return observed > 0 and observed >= limit\n",
        "    return observed > 0 and observed > limit\n",
        PAUSES,
    ),
    Mutant(
        "monitor: what only warns latches nothing",
        "risk/monitors/acting.py",
        "if finding.limit.enforcement == Enforcement.BLOCK]\n    _note",
        "if finding.limit.enforcement]\n    _note",
        f"{COUNTING}::test_what_does_not_block_is_told_once_per_crossing",
    ),
    Mutant(
        "monitor: each scope has a crossing of its own",
        "risk/monitors/acting.py",
        "*narrower, *filter(None, [self.about])",
        "*narrower",
        f"{COUNTING}::test_of_two_strategies_of_an_account_each_has_its_own_crossing",
    ),
    Mutant(
        "monitor: an alert ends with the limit that warned",
        "risk/monitors/stops.py",
        "    end_warnings_without_limit()\n",
        "",
        f"{COUNTING}::test_an_alert_stands_while_a_limit_that_warns_is_met_and_no_longer_than_it_warns",
    ),
    Mutant(
        "monitor: only two persons begin the count anew",
        "orders/monitors/repeated_execution.py",
        '            evidence__has_key="approval",\n',
        "",
        f"{COUNTING}::test_only_two_persons_begin_the_count_anew",
    ),
    Mutant(
        "monitor: cancels do not count as a storm",
        "orders/monitors/reject_storm.py",
        "        kind__in=[AttemptKind.SUBMIT, AttemptKind.REPLACE, AttemptKind.AMEND],\n",
        "",
        f"{COUNTING}::test_a_storm_of_rejects_latches_the_account_and_no_other",
    ),
    Mutant(
        "monitor: a storm that lasts holds its latch",
        "risk/monitors/acting.py",
        "if f.broken and f.limit.enforcement == Enforcement.BLOCK]",
        "if f.broken and f.limit.enforcement is None]",
        f"{COUNTING}::test_a_storm_that_lasts_is_not_lifted",
    ),
    Mutant(
        "monitor: an exchange order without a decision is not explained",
        "risk/monitors/output_equals_input.py",
        "        if not row.approved:\n",
        "        if row.approved is None:\n",
        "tests/risk/monitors/test_output_equals_input.py",
    ),
    Mutant(
        "monitor: no more goes out than was decided",
        "risk/monitors/output_equals_input.py",
        "    if bound is None or total > bound + slack:\n",
        "    if bound is None:\n",
        "tests/orders/monitors/test_output_equals_input.py::test_one_exchange_order_too_much_latches_the_account_once",
    ),
    Mutant(
        "monitor: a loss that equals its limit breaks it",
        "risk/controls/losing.py",
        "    return value is None or value >= limit\n",
        "    return value is None or value > limit\n",
        "tests/risk/test_loss_monitor.py::test_a_loss_that_equals_its_limit_latches_and_one_just_under_does_not",
    ),
    Mutant(
        "monitor: paper never stops live",
        "risk/monitors/losses.py",
        'if kind == "account" or (kind == "strategy" and mode == Mode.LIVE):',
        'if kind in {"account", "strategy"}:',
        "tests/risk/test_loss_monitor.py::test_paper_never_stops_live",
    ),
    Mutant(
        "tripping: a latch is not set twice",
        "risk/tripping.py",
        "        if row.latched and control in controls_of(row):\n",
        "        if row.pk is None and row.latched:\n",
        f"{TRIPPED}::test_a_trip_is_made_once_and_recorded_with_what_was_seen",
    ),
    Mutant(
        "tripping: a halted scope stays halted",
        "risk/tripping.py",
        "        if row.state != State.HALTED:\n",
        "        if row.state is not None:\n",
        f"{TRIPPED}::test_a_halted_scope_becomes_latched_and_stays_halted",
    ),
    Mutant(
        "tripping: the monitor is asked before its latch is lifted",
        "risk/tripping.py",
        "        if control in _RECHECKS:\n",
        "        if control is None:\n",
        f"{TRIPPED}::test_two_persons_lift_it_when_its_monitor_has_nothing_against_it",
    ),
    Mutant(
        "pausing: it denies what increases",
        "risk/controls/paused.py",
        "    if not standing:\n",
        "    if standing or not standing:\n",
        f"{PAUSES}::test_of_several_pauses_the_last_to_end_is_told_and_exits_pass",
    ),
    Mutant(
        "pausing: it is never drawn out",
        "risk/pausing.py",
        "        if standing().filter(",
        "        if Pause.objects.none().filter(",
        f"{PAUSES}::test_a_pause_is_set_once_never_drawn_out_and_at_most_a_day",
    ),
    Mutant(
        "pausing: one of paper stops paper alone",
        "risk/reading.py",
        "    WHERE p.mode = %(mode)s AND p.until > %(now)s::timestamptz)",
        "    WHERE p.until > %(now)s::timestamptz)",
        "tests/orders/test_placing_with_limits.py"
        "::test_a_pause_of_any_scope_of_the_order_denies_what_increases_in_its_mode_alone",
    ),
    Mutant(
        "pausing: a second move within the hour latches",
        "risk/monitors/volatility.py",
        "clock.now() - last.began_at < AGAIN_WITHIN:",
        "clock.now() - last.began_at < timedelta(0):",
        f"{PAUSES}::test_a_first_move_pauses_and_a_second_within_the_hour_latches",
    ),
    Mutant(
        "overriding: only what was named is let through",
        "risk/overriding.py",
        "or result.control not in self.controls:",
        "or result.control is None:",
        f"{OVERRIDING}::test_a_limit_that_is_not_named_denies_again",
    ),
    Mutant(
        "overriding: never what is no limit",
        "risk/overriding.py",
        "    if spec is None or spec.number in NEVER:\n",
        "    if spec is None:\n",
        f"{OVERRIDING}::test_nothing_that_is_no_limit_and_nothing_unknown_is_overridable",
    ),
    Mutant(
        "overriding: once for a denied order",
        "orders/overriding.py",
        "    if Order.objects.filter(idempotency_key=_key(order)",
        "    if Order.objects.none().filter(idempotency_key=_key(order)",
        f"{OVERRIDING}::test_a_denied_order_is_placed_once_past_the_limit_that_denied_it",
    ),
    Mutant(
        "9: what others use of a limit is not told",
        "risk/api/withheld.py",
        "if not knows_usage(reader, result",
        "if result is None and knows_usage(reader, result",
        "tests/risk/test_withheld.py::test_no_answer_tells_a_bound_key_how_much_of_a_wider_limit_is_used",
    ),
    Mutant(
        "4: loosening a limit takes a second person",
        "risk/limits.py",
        "        if before is not None and looser(change, before):\n",
        "        if before is not None and change.mode is None:\n",
        "tests/risk/test_limit_changes.py::test_a_limit_is_set_and_tightened_at_once_and_loosened_by_a_second_person",
    ),
    Mutant(
        "4: orders are counted against the rate",
        "risk/controls/order_rate.py",
        "else found.increasing) + 1",
        "else Decimal(0)) + 1",
        f"{INVARIANTS}04_limits_hold.py::test_invariant_04_the_windows_slide",
    ),
    Mutant(
        "5: a halt that was lifted outranks what was accepted before",
        "risk/trading_state.py",
        "        if state.last_halt_seq >= gate_seq:\n",
        "        if state.last_halt_seq is None:\n",
        f"{KILLS}::test_invariant_05_a_halt_that_was_lifted_still_outranks_what_was_accepted_before",
    ),
    Mutant(
        "5: a halted scope takes nothing",
        "risk/controls/trading_state.py",
        "    if stopping:\n",
        "    if stopping is None:\n",
        f"{KILLS}::test_invariant_05_nothing_new_passes_a_kill_whether_it_reduces_or_not",
    ),
    Mutant(
        "5: two persons lift a latch",
        "risk/trading_state.py",
        "        if approval is None and _takes_two(row, episode):\n",
        "        if approval is None and row.pk is None:\n",
        "tests/risk/test_trading_state.py::test_a_latch_is_not_lifted_by_one_person_nor_loosened_by_a_plain_halt",
    ),
    Mutant(
        "5: what speaks against a start is looked at when it is approved",
        "risk/trading_state.py",
        "            _refuse_held(row, episode)\n            evidence[",
        "            evidence[",
        "tests/risk/test_trading_state.py::test_what_speaks_against_a_start_is_said_before_anybody_decides_and_looked_at_again_after",
    ),
    Mutant(
        "5: an exchange that does not answer is not empty",
        "orders/kill_sweep.py",
        "        proven = False\n        failed =",
        "        proven = True\n        failed =",
        f"{SWEEP}::test_an_exchange_that_does_not_answer_is_not_taken_for_empty",
    ),
    Mutant(
        "5: two empty lists, apart from each other, prove a kill",
        "orders/kill_sweep.py",
        "    if asked_at - sweep.empty_since < gap:\n",
        "    if asked_at < sweep.empty_since:\n",
        f"{SWEEP}::test_a_kill_ends_ours_and_foreign_orders_and_says_verified_by_evidence",
    ),
    Mutant(
        "5: what works after VERIFIED opens the kill again",
        "orders/killing.py",
        "            if not left:\n                return episode\n",
        "            if left is not None:\n                return episode\n",
        f"{SWEEP}::test_an_order_that_another_program_places_after_verified_opens_the_kill_again",
    ),
    Mutant(
        "5: a flatten follows a verified kill",
        "orders/flattening.py",
        "    if episode.verdict != KillVerdict.VERIFIED:\n",
        "    if episode.verdict is None:\n",
        f"{FLATTEN}::test_it_follows_a_verified_kill_only_and_sells_what_was_shown_only",
    ),
    Mutant(
        "5: a flatten sells what was shown",
        "orders/flattening.py",
        "        if plan.confirm != confirm:\n",
        "        if plan.confirm is None:\n",
        f"{FLATTEN}::test_it_follows_a_verified_kill_only_and_sells_what_was_shown_only",
    ),
    Mutant(
        "5: nothing is sold on old prices",
        "orders/flattening.py",
        "    if stale or quote is None or",
        "    if quote is None or",
        f"{FLATTEN}::test_nothing_is_sold_on_old_prices_and_in_the_end_that_is_said",
    ),
    Mutant(
        "5: a kit believes no answer that is none",
        "exchanges/emergency_cancel.py",
        "            desk.pauses.note(desk.host, error.outcome)\n            empty_since = None\n",
        "            result.verified = True\n            return\n",
        "tests/exchanges/test_emergency_kit.py::test_a_kit_says_what_it_could_not_prove",
    ),
    Mutant(
        "8: a state that nobody knows halts",
        "risk/inputs.py",
        '        if self.state in {"ACTIVE", "REDUCE_ONLY"}:\n',
        '        if self.state != "HALTED":\n',
        f"{CONTROLS}::test_the_strictest_state_of_all_scopes_counts",
    ),
    Mutant(
        "8: a limit that must be set and is not denies",
        "risk/controls/judging.py",
        "        if not any(limit.scope.startswith(",
        "        if limits and not any(limit.scope.startswith(",
        f"{CONTROLS}::test_without_a_limit_for_the_account_nothing_that_increases_passes",
    ),
    Mutant(
        "8: what is not known breaks a limit",
        "risk/controls/judging.py",
        "    return value is None or value > limit\n",
        "    return value is not None and value > limit\n",
        f"{LIMIT_CONTROLS}::test_an_unpriced_asset_stops_the_whole_book_but_not_another_asset",
    ),
    Mutant(
        "8: caps hold up no exit",
        "risk/controls/judging.py",
        "    if inputs.is_reducing and not spec.reducing:\n",
        "    if inputs.is_reducing and spec is None:\n",
        f"{LIMIT_CONTROLS}::test_caps_never_hold_up_an_exit",
    ),
    Mutant(
        "8: an old price values nothing",
        "risk/inputs.py",
        "is not None and now - self.confirmed_at <= within",
        "is not None",
        f"{CONTROLS}::test_a_price_that_cannot_be_used_denies_what_it_would_value",
    ),
    Mutant(
        "9: a breach names the limit's version",
        "risk/controls/judging.py",
        '            "limit_version": limit.version,\n',
        '            "limit_version": None,\n',
        f"{READABLE}::test_invariant_09_a_denied_order_tells_every_breach_and_by_which_limit",
    ),
    Mutant(
        "9: a halt is on record with its reason",
        "risk/trading_state.py",
        'evidence={"reason": reason, "latched":',
        'evidence={"reason": "", "latched":',
        f"{READABLE}::test_invariant_09_acts_of_people_are_on_record_with_their_reason",
    ),
    Mutant(
        "9: the database refuses another past",
        "execution_project/roles.py",
        "        if plain not in protected:",
        "        if plain in protected:",
        f"{READABLE}::test_invariant_09_the_database_itself_refuses_another_past",
    ),
)


def without_guard(mutant: Mutant, whole: str) -> str:
    """The file's text without the guard. Raises ``ValueError`` when that is not where it was."""
    changed = whole
    for old, new in ((mutant.old, mutant.new), *mutant.also):
        if old not in changed:
            raise ValueError(f"{mutant.file} no longer has {old!r}: bring the mutant up to date.")
        changed = changed.replace(old, new)
    return changed


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether the test stays green without the guard. Raises ``ValueError`` when the test does not run."""
    file = tree / mutant.file
    whole = file.read_text(encoding="utf-8")
    file.write_text(without_guard(mutant, whole), encoding="utf-8")
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", mutant.test],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree), "PROPERTY_PROFILE": "verdict"},
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
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("guards", nargs="*", help="how the guards begin that are removed; none: all")
    parser.add_argument("--jobs", type=int, default=1, help="how many at a time, each in a copy of its own (default 1)")
    arguments = parser.parse_args()
    begins = tuple(arguments.guards) or ("",)
    chosen = [mutant for mutant in MUTANTS if mutant.guard.startswith(begins)]
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        trees: SimpleQueue[Path] = SimpleQueue()
        for job in range(arguments.jobs):
            tree = Path(folder) / f"tree{job}"
            shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
            trees.put(tree)

        def judged(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                return survives(mutant, tree)
            finally:
                trees.put(tree)

        for number, (mutant, alive) in enumerate(zip(chosen, pool.map(judged, chosen), strict=True), 1):
            survivors += alive
            print(f"{number:2}/{len(chosen)} {'SURVIVED' if alive else 'caught  '} {mutant.guard}", flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
