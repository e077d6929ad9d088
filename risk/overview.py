"""Trading states at a glance: which stop applies where. Reads without locks, for people and programs that look."""

from __future__ import annotations

from collections.abc import Sequence

from risk.models import State, TradingState

Scope = tuple[str, str]
GLOBAL: Scope = ("global", "")
_STRICTNESS = {State.HALTED.value: 2, State.REDUCE_ONLY.value: 1}


def stops_of(chains: Sequence[tuple[Scope, ...]]) -> list[TradingState | None]:
    """For each chain of scopes, which are given widest first, the state that counts besides the global one.

    The strictest counts, among equals the widest; None where nothing but ACTIVE applies.
    """
    wanted = {GLOBAL, *(scope for chain in chains for scope in chain)}
    rows = {
        (row.scope_kind, row.scope_key): row
        for row in TradingState.objects.filter(
            scope_kind__in={kind for kind, _ in wanted}, scope_key__in={key for _, key in wanted}
        ).exclude(state=State.ACTIVE)
    }
    found: list[TradingState | None] = []
    for chain in chains:
        stops = [rows[scope] for scope in (GLOBAL, *chain) if scope in rows]
        found.append(max(stops, key=lambda row: _STRICTNESS.get(row.state, 0), default=None))
    return found
