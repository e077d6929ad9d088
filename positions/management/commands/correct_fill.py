"""``manage.py correct_fill FILL bust|correct``: propose that a fill was taken back or changed by the exchange."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from exchanges.reports import Fee
from execution_project.common.actors import command
from execution_project.common.api.approvals import approval_document
from execution_project.common.management_command import EngineCommand, ExitCode, Partly, Refused, reason_text
from execution_project.common.money import NotPlainDecimal, parse_decimal
from positions.correcting import (
    Corrected,
    as_it_stands,
    bust,
    fee_of,
    fill_of,
    propose_correction,
    what_a_correction_does,
)
from positions.models import Fill

OF_A_CORRECTION = ("price", "quantity", "quote_quantity", "fee", "no_fee")


def amount(text: str) -> Decimal:
    """A plain decimal; raises ``ArgumentTypeError``."""
    try:
        return parse_decimal(text)
    except NotPlainDecimal as error:
        raise ArgumentTypeError(f"{text!r}: {error}") from error


def fee(text: str) -> Fee:
    """``ASSET=AMOUNT[:tax]``; raises ``ArgumentTypeError``."""
    try:
        return fee_of(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


class Command(EngineCommand):
    """Proposes, for a second person to approve; what is not named stays as the fill stands."""

    help = "Propose that the exchange took a fill back (bust) or changed it (correct); a second person approves."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """The fill, and what it is now."""
        parser.add_argument(
            "fill", type=UUID, metavar="FILL", help="id of the fill, as GET /fills and its page have it"
        )
        parser.add_argument("kind", choices=["bust", "correct"], help="bust: it never was; correct: it was otherwise")
        parser.add_argument("--price", type=amount, help="quote per base")
        parser.add_argument("--quantity", type=amount, help="in base")
        parser.add_argument("--quote-quantity", type=amount, help="in quote; with every new price or quantity")
        fees = parser.add_mutually_exclusive_group()
        fees.add_argument(
            "--fee", type=fee, action="append", metavar="ASSET=AMOUNT[:tax]", help="all fees that it has; repeatable"
        )
        fees.add_argument("--no-fee", action="store_true", help="it has none")
        parser.add_argument("--reason", type=reason_text, required=True, help="where the exchange says so")

    def handle(self, *args: Any, **options: Any) -> None:
        """Propose, and say what approving would do."""
        fill = fill_of(options["fill"])
        to = _bust(fill, options) if options["kind"] == "bust" else _correction(fill, options)
        with self.rehearsal():
            approval = propose_correction(fill, to, reason=options["reason"], by=command("correct_fill"))
            consequences = what_a_correction_does(approval)
        said = ["Would be proposed:" if self.dry_run else f"Asked for approval {approval.id}:", *consequences]
        document = {"approval": {**approval_document(approval), "consequences": list(consequences)}}
        self.answer(document, "\n  ".join(said))
        if not self.dry_run:
            raise Partly("Nothing has changed yet: a second person has to approve it, with `approve` or in the admin.")


def _bust(fill: Fill, options: Mapping[str, Any]) -> Corrected:
    if any(options[name] not in (None, False) for name in OF_A_CORRECTION):
        wanted = "A bust takes the whole fill back: it has no price, quantities or fees."
        raise Refused("USAGE", wanted, exit_code=ExitCode.USAGE)
    return bust(fill)


def _correction(fill: Fill, options: Mapping[str, Any]) -> Corrected:
    """What the fill is now: what was named, and for the rest what it is in the books."""
    price, quantity, quote = (options[name] for name in ("price", "quantity", "quote_quantity"))
    if quote is None and (price is not None or quantity is not None):
        wanted = "With a new price or quantity say --quote-quantity, as the exchange has it: exchanges round it."
        raise Refused("USAGE", wanted, exit_code=ExitCode.USAGE)
    stands = as_it_stands(fill)
    fees = stands.fees if options["fee"] is None else tuple(options["fee"])
    return Corrected(
        stands.price if price is None else price,
        stands.quantity if quantity is None else quantity,
        stands.quote_quantity if quote is None else quote,
        () if options["no_fee"] else fees,
    )
