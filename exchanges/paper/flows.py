"""What an operator does at the paper exchange: amounts brought in and taken out, and the terms of an account."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import transaction

from exchanges.models import Account, Instrument, Mode, PaperAccount, PaperFlow
from exchanges.paper.chance import FAULTS, WRITES
from exchanges.paper.engine import floor_of
from exchanges.paper.terms import locked_row, reserve_rate
from execution_project.common import clock
from execution_project.common.actors import Actor
from execution_project.common.events import record
from execution_project.common.money import NotPlainDecimal, parse_decimal, plain
from execution_project.common.problems import Problem
from execution_project.common.rights import Right

QUIET: dict[str, Any] = {"submit_ms": 0, "ack_ms": 0, "cancel_ms": 0, "jitter_ms": 0}
_RATES = ("maker_rate", "taker_rate", "tax_rate")
_WHOLE = {
    "submit_ms": 10_000,
    "ack_ms": 10_000,
    "cancel_ms": 10_000,
    "jitter_ms": 10_000,
    "read_lag_ms": 600_000,
    "seed": 2**62,
}
_CLOCK_MS = 60_000
_HIGHEST_RATE = Decimal("0.1")
_MOST_TIERS = 20


def move_in(account: Account, asset: str, amount: Decimal, *, reason: str, by: Actor) -> PaperFlow:
    """Bring an amount to the paper exchange, or take one out (negative). Call it through ``positions.paper_deposits``,
    which books it too.

    Raises ``Problem``: 403 without the right, 400 for zero and for an asset that no pair has, 409 for an account that
    is none of paper and for more than is free.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    refuse_other_modes(account)
    if not amount:
        raise Problem(400, "INVALID_PARAMETER", "amount: any but zero; negative takes out.")
    pairs = Instrument.objects.filter(exchange=account.exchange, mode=Mode.PAPER)
    if not pairs.filter(base_asset=asset).exists() and not pairs.filter(quote_asset=asset).exists():
        raise Problem(400, "INVALID_PARAMETER", f"asset: no paper pair of {account.exchange} has {asset}.")
    with floor_of(account) as floor:
        if floor.wallet.of(asset).free + amount < 0:
            free = plain(floor.wallet.of(asset).free)
            raise Problem(409, "NOT_ENOUGH_FREE", f"{account.name} has {free} {asset} free: take out no more.")
        floor.wallet.move(asset, free=amount)
        flow = PaperFlow.objects.create(
            account=account, asset=asset, amount=amount, reason=reason[:256], actor=by.name, at=clock.now()
        )
        evidence = {"asset": asset, "amount": plain(amount), "reason": reason}
        record("account.paper_flow", "account", account.name, by, evidence=evidence)
    return flow


def set_terms(account: Account, terms: Mapping[str, Any], *, reason: str, by: Actor) -> PaperAccount:
    """Change how the paper exchange serves an account: fields of ``PaperAccount`` by name.

    Rates while no order is open only: what was set aside went by the old ones. Raises ``Problem``: 403 without the
    right, 400 for a value that cannot be, 409 for an account that is none of paper, and for rates with open orders.
    """
    by.require(Right.MANAGE_ACCOUNTS)
    refuse_other_modes(account)
    values = {name: _checked(name, value) for name, value in terms.items()}
    asset = values.get("tiers", {}).get("asset")
    if asset is not None:
        pairs = Instrument.objects.filter(exchange=account.exchange, mode=Mode.PAPER, quote_asset=asset)
        if not pairs.exists():
            raise _bad("tiers", f"no paper pair of {account.exchange} is quoted in {asset}")
    with transaction.atomic():
        row = locked_row(account)
        if {*_RATES, "tiers"} & set(values) and account.paperorder_set.filter(
            status__in=["open", "partially_filled"]
        ).exists():
            raise Problem(409, "ORDERS_WORKING", f"Orders are working on {account.name}: cancel them first.")
        for name, value in values.items():
            setattr(row, name, value)
        row.save()
        account.taker_fee_rate = reserve_rate(row)
        account.save(update_fields=["taker_fee_rate"])
        evidence = {
            "terms": {name: value if name == "tiers" else str(value) for name, value in values.items()},
            "reason": reason,
        }
        record("account.paper_terms", "account", account.name, by, evidence=evidence)
    return row


def refuse_other_modes(account: Account) -> None:
    """Raises ``Problem`` (409) for an account that is none of paper."""
    if account.mode != Mode.PAPER:
        raise Problem(409, "NOT_PAPER", f"{account.name} is a {account.mode} account: only paper is made up.")


def _checked(name: str, value: Any) -> Any:
    """Raises ``Problem`` (400)."""
    if name in _RATES:
        return _fraction(name, value) if name == "tax_rate" else _fee(name, value)
    if name in _WHOLE and isinstance(value, int) and 0 <= value <= _WHOLE[name]:
        return value
    if name == "clock_offset_ms" and isinstance(value, int) and abs(value) <= _CLOCK_MS:
        return value
    if name == "bnb_fees" and isinstance(value, bool):
        return value
    if name == "tiers":
        return _tiers(value)
    if name == "faults":
        return [_fault(each) for each in value]
    if name == "fault_rates":
        rates = {kind: str(_fraction(name, rate)) for kind, rate in value.items() if kind in FAULTS}
        if len(rates) == len(value) and sum(map(Decimal, rates.values())) <= 1:
            return rates
    raise _bad(name, f"{value!r} cannot be")


def _fraction(name: str, value: Any) -> Decimal:
    try:
        rate = Decimal(str(value))
    except InvalidOperation as error:
        raise _bad(name, "a fraction") from error
    if not 0 <= rate <= 1:
        raise _bad(name, "from 0 to 1")
    return rate


def _fee(name: str, value: Any) -> Decimal:
    rate = _fraction(name, value)
    if rate > _HIGHEST_RATE:
        raise _bad(name, f"at most {_HIGHEST_RATE}")
    return rate


def _tiers(value: Any) -> dict[str, Any]:
    """Tiers as they are stored; nothing for none. Raises ``Problem`` (400)."""
    if not value:
        return {}
    shape = f"an asset, and 1 to {_MOST_TIERS} steps of volume, maker and taker rate, lowest volume first"
    asset, steps = (value.get("asset"), value.get("steps")) if isinstance(value, Mapping) else (None, None)
    if not isinstance(asset, str) or not asset or not isinstance(steps, list) or not 1 <= len(steps) <= _MOST_TIERS:
        raise _bad("tiers", shape)
    if any(not isinstance(step, list | tuple) or len(step) != 3 for step in steps):
        raise _bad("tiers", shape)
    volumes = [_volume(volume) for volume, _, _ in steps]
    if volumes != sorted(set(volumes)):
        raise _bad("tiers", shape)
    rates = [[plain(_fee("tiers", rate)) for rate in (maker, taker)] for _, maker, taker in steps]
    return {"asset": asset, "steps": [[plain(volume), *pair] for volume, pair in zip(volumes, rates, strict=True)]}


def _volume(text: Any) -> Decimal:
    try:
        volume = parse_decimal(text)
    except NotPlainDecimal as error:
        raise _bad("tiers", f"volume {text!r}: {error}") from error
    if volume < 0:
        raise _bad("tiers", "a volume is not negative")
    return volume


def _fault(value: Mapping[str, Any]) -> dict[str, Any]:
    kind, call, times = value.get("kind"), value.get("call", "any"), value.get("times", 1)
    if kind not in FAULTS or call not in {*WRITES, "any"} or not isinstance(times, int) or not 1 <= times <= 1000:
        raise _bad("faults", f"kind: {', '.join(FAULTS)}; call: any, {', '.join(WRITES)}; times: 1 to 1000")
    return {"kind": kind, "call": call, "times": times}


def _bad(name: str, why: str) -> Problem:
    return Problem(400, "INVALID_PARAMETER", f"{name}: {why}.")
