"""What the commands that write statements share: period, accounts, format, file, and a bar that shows how far it is."""

from __future__ import annotations

import argparse
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TextIO

from django.core.management.base import CommandParser

from execution_project.common.actors import command
from execution_project.common.management_command import EngineCommand, ExitCode, Refused
from positions.statement_files import FORMATS, lines_of
from positions.statement_parts import Wanted
from positions.statements import state


def moment(text: str) -> datetime:
    """A time with its zone; raises ``ArgumentTypeError``."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time with its zone, such as 2026-01-31T12:00:00Z.")
    return at


class StatementCommand(EngineCommand):
    """Writes one statement to a file or to standard output; what is said beside it goes to standard error then."""

    is_long = True
    kind: ClassVar[str]

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose, of when, and where to."""
        parser.add_argument("--account", action="append", metavar="NAME", help="of this account; may be given again")
        parser.add_argument("--from", dest="start", type=moment, metavar="T", help="at this time or later (RFC 3339)")
        parser.add_argument("--to", dest="end", type=moment, metavar="T", help="before this time; default: now")
        parser.add_argument("--format", choices=[*FORMATS], help="default: csv, with --json jsonl")
        parser.add_argument("--output", metavar="FILE", help="a new file; default: standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the statement and write it; the file is whole or not there."""
        form = options["format"] or ("jsonl" if self.as_json else "csv")
        to_file = options["output"] is not None
        if self.as_json and form == "csv" and not to_file:
            sentence = "--json on standard output goes with --format jsonl; write a CSV to a file by --output."
            raise Refused("USAGE", sentence, exit_code=ExitCode.USAGE)
        wanted = Wanted(
            self.kind,
            options["start"],
            options["end"],
            None if options["account"] is None else tuple(options["account"]),
            options.get("method") or "average",
        )
        statement = state(wanted, by=command(f"manage.py export_{self.kind}"))
        lines = lines_of(statement, form, watch=lambda parts: self.progress(parts, "parts"))
        if not to_file:
            for piece in lines:
                self.stdout.write(piece, ending="")
            return
        path = Path(options["output"])
        with _whole_file(path) as file:
            for piece in lines:
                file.write(piece)
        self.answer({"file": str(path), **statement.header}, f"Written to {path}: {statement.header['statement']}.")


@contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """A new file that appears under its name when all of it is written; raises ``Refused``."""
    if path.exists():
        raise Refused("FILE_EXISTS", f"There is a file {path} already; choose another name, or remove it.")
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with unfinished.open("x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Fails where somebody else has made the file meanwhile; a rename would replace it.
        os.link(unfinished, path)
    except OSError as error:
        raise Refused("FILE_NOT_WRITTEN", f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
