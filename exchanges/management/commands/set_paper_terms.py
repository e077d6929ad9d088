"""``manage.py set_paper_terms ACCOUNT``: how the paper exchange serves an account, and faults on demand."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from exchanges.management.account_command import AccountCommand
from exchanges.paper.chance import FAULTS, WRITES
from exchanges.paper.flows import set_terms
from exchanges.paper.terms import tiers_in_words
from execution_project.common.actors import command
from execution_project.common.management_command import ExitCode, Refused

_WHOLE = {
    "submit_ms": "ms a placement takes to arrive",
    "ack_ms": "ms an answer takes to come back",
    "cancel_ms": "ms a cancel takes to arrive",
    "jitter_ms": "up to as many ms more, by chance",
    "read_lag_ms": "ms by which reads lag",
    "seed": "of everything left to chance",
}


class Command(AccountCommand):
    """Latency, fees, clock, faults."""

    help = "Change latency, fees and faults of a paper account; what is not given stays as it is."
    writes = True

    def add_arguments(self, parser: CommandParser) -> None:
        """Account and what to change."""
        parser.add_argument("account", metavar="ACCOUNT")
        for name, text in _WHOLE.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=text)
        parser.add_argument("--clock-offset-ms", type=int, metavar="N", help="its clock against ours")
        for name in ("maker-rate", "taker-rate", "tax-rate"):
            parser.add_argument(f"--{name}", metavar="FRACTION")
        parser.add_argument("--bnb-fees", choices=["on", "off"])
        parser.add_argument(
            "--tier",
            action="append",
            default=[],
            metavar="VOLUME:MAKER:TAKER",
            help="rates from this volume of 30 days on; all tiers together, lowest volume first",
        )
        parser.add_argument("--tier-asset", metavar="ASSET", help="quote asset in which the volume of tiers is counted")
        parser.add_argument("--no-tiers", action="store_true", help="the rates alone, whatever is traded")
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="KIND[:CALL[:TIMES]]",
            help=f"arm a fault; KIND: {', '.join(FAULTS)}; CALL: any, {', '.join(WRITES)}",
        )
        parser.add_argument("--fault-rate", action="append", default=[], metavar="KIND=PROBABILITY")
        parser.add_argument("--reason", required=True)

    def handle(self, *args: Any, **options: Any) -> None:
        """One call."""
        account = self.account(options["account"])
        names = [*_WHOLE, "clock_offset_ms", "maker_rate", "taker_rate", "tax_rate"]
        terms: dict[str, Any] = {name: options[name] for name in names if options[name] is not None}
        if options["bnb_fees"] is not None:
            terms["bnb_fees"] = options["bnb_fees"] == "on"
        if options["tier"] or options["tier_asset"] or options["no_tiers"]:
            terms["tiers"] = _tiers(options)
        if options["fault"]:
            terms["faults"] = [_fault(text) for text in options["fault"]]
        if options["fault_rate"]:
            terms["fault_rates"] = dict(text.partition("=")[::2] for text in options["fault_rate"])
        if not terms:
            raise Refused("NOTHING_TO_CHANGE", "Say what to change.")
        with self.rehearsal():
            set_terms(account, terms, reason=options["reason"], by=command("set_paper_terms"))
        told = {name: tiers_in_words(value) if name == "tiers" else str(value) for name, value in terms.items()}
        document = {"account": account.name, "terms": told}
        self.answer(document, f"{account.name}: {', '.join(f'{name} {value}' for name, value in told.items())}.")


def _tiers(options: dict[str, Any]) -> dict[str, Any]:
    if options["no_tiers"]:
        if options["tier"] or options["tier_asset"]:
            raise Refused("USAGE", "Give either --tier with --tier-asset, or --no-tiers.", exit_code=ExitCode.USAGE)
        return {}
    if not options["tier"] or not options["tier_asset"]:
        sentence = "Tiers need both: --tier VOLUME:MAKER:TAKER for each, and --tier-asset ASSET."
        raise Refused("USAGE", sentence, exit_code=ExitCode.USAGE)
    return {"asset": options["tier_asset"], "steps": [text.split(":") for text in options["tier"]]}


def _fault(text: str) -> dict[str, Any]:
    kind, _, rest = text.partition(":")
    call, _, times = rest.partition(":")
    return {"kind": kind, "call": call or "any", "times": int(times) if times.isdigit() else 1}
