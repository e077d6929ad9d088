"""What every management command shares: ``--json``, ``--dry-run``, progress, exit codes, and errors as sentences.

Exit codes: 0 done; 1 refused or failed, nothing was changed unless the sentence says so; 2 the command line is wrong;
3 partly done, or something was found (docs/commands.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db import DataError, InterfaceError, OperationalError, transaction
from rest_framework.exceptions import APIException

from execution_project.common.api.errors import as_problem
from execution_project.common.problems import Problem

NO_DATABASE = (
    "There is no database: DATABASE_URL is unset and no embedded server is running."
    " Start everything with `make run`, or set DATABASE_URL to a PostgreSQL database."
)
DATABASE_AWAY = "The database does not answer: {}. Start it, or mend DATABASE_URL, and run this again."

T = TypeVar("T")


LONGEST_REASON = 256
ENGINE_CHECKS = "engine"
"""Tag of the checks without which nothing starts: settings of a production, queues, secrets."""


def reason_text(text: str) -> str:
    """A reason for the record, 1 to 256 characters; raises ``ArgumentTypeError``."""
    if not text.strip() or len(text) > LONGEST_REASON:
        raise argparse.ArgumentTypeError(f"A reason is 1 to {LONGEST_REASON} characters.")
    return text


class ExitCode(IntEnum):
    """What a command's exit says."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    PARTLY = 3


class Refused(CommandError):
    """Refused or failed: a stable code, and a sentence that says what to do."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        exit_code: ExitCode = ExitCode.FAILED,
        errors: Sequence[Mapping[str, str]] = (),
        members: Mapping[str, Any] | None = None,
    ) -> None:
        lines = [detail, *(f"  {error['pointer']}: {error['detail']}" for error in errors if error["detail"] != detail)]
        super().__init__("\n".join(lines), returncode=int(exit_code))
        self.code = code
        self.detail = detail
        self.errors = [dict(error) for error in errors]
        self.members = dict(members or {})

    @classmethod
    def of(cls, problem: Problem) -> Refused:
        """The problem that the API would answer, as the end of a command."""
        return cls(problem.code, problem.detail, errors=problem.errors, members=problem.members)


class Partly(CommandError):
    """Partly done, or something was found: what, stands in the answer already."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, returncode=int(ExitCode.PARTLY))


class DatabaseCommand(BaseCommand):
    """A command that says what to do when there is no database, instead of a socket's error message. Before it begins,
    the engine's own checks pass; those of models and pages are ``manage.py check``'s."""

    requires_system_checks = [ENGINE_CHECKS]
    needs_database: ClassVar[bool] = True

    def wants_database(self, options: Mapping[str, Any]) -> bool:
        """Whether a run with these options uses the database."""
        return self.needs_database

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Refuse to begin without a database."""
        if self.wants_database(options) and not settings.EXEC_DATABASE_CONFIGURED:
            raise Refused("NO_DATABASE", NO_DATABASE)
        return super().execute(*args, **options)


class EngineCommand(DatabaseCommand):
    """A command that answers in words or in JSON. Subclasses call one domain function and ``answer`` with the outcome.

    ``writes``: offers ``--dry-run``, under which nothing is stored. ``is_long``: offers ``--progress``. ``expected``:
    errors of the domain whose text is a sentence for whoever runs the command.
    """

    writes: ClassVar[bool] = False
    is_long: ClassVar[bool] = False
    expected: ClassVar[tuple[type[Exception], ...]] = ()

    as_json = False
    dry_run = False
    _shows_progress = False

    def create_parser(self, prog_name: str, subcommand: str, **options: Any) -> CommandParser:
        """The command's own parser with the options that all share."""
        parser = super().create_parser(prog_name, subcommand, **options)
        # Makes the parser raise instead of exiting, so that a wrong command line is told in JSON too.
        parser.called_from_command_line = False
        parser.add_argument("--json", action="store_true", help="answer in JSON; a list is one document per line")
        if self.writes:
            parser.add_argument("--dry-run", action="store_true", help="say what would happen; store nothing")
        if self.is_long:
            parser.add_argument("--progress", action="store_true", help="show progress also when not on a terminal")
        return parser

    def run_from_argv(self, argv: list[str]) -> None:
        """Run and exit; a wrong command line ends with 2."""
        self.as_json = "--json" in argv[2:]
        try:
            super().run_from_argv(argv)
        except CommandError as error:
            # Everything else was turned into an exit by Django, unless a traceback is wanted.
            if "--traceback" in argv[2:]:
                raise
            detail = str(error).removeprefix("Error: ")
            self._tell_problem(Refused("USAGE", detail))
            self.stderr.write(f"{detail}\nSee: {argv[0]} {argv[1]} --help")
            sys.exit(int(ExitCode.USAGE))

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run; what the domain refuses ends as ``Refused`` with its sentence, and with ``--json`` as a document."""
        self.as_json = bool(options.get("json"))
        self.dry_run = bool(options.get("dry_run"))
        self._shows_progress = bool(options.get("progress"))
        for name in ("stdout", "stderr"):
            if options.get(name):
                setattr(self, name, OutputWrapper(options[name]))
        domain: tuple[type[Exception], ...] = (Problem, APIException, *self.expected)
        told: tuple[type[Exception], ...] = (*domain, DataError, OperationalError, InterfaceError)
        try:
            _refuse_unstorable(options)
            return super().execute(*args, **options)
        except Refused as error:
            self._tell_problem(error)
            raise
        except told as error:
            refused = self._refusal(error)
            self._tell_problem(refused)
            raise refused from error

    def sentence(self, error: Exception) -> str:
        """What an expected error says to whoever runs the command."""
        return str(error)

    def answer(self, document: Mapping[str, Any], text: str) -> None:
        """Write one answer: the document with ``--json``, else the text. A list calls this once for each row."""
        if not self.as_json:
            self.stdout.write(text)
            return
        body = {**document, "dry_run": True} if self.dry_run else dict(document)
        self.stdout.write(json.dumps(body, ensure_ascii=False))

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """With ``--dry-run`` undo all that the block stores; whatever it refuses is refused all the same."""
        if not self.dry_run:
            yield
            return
        with transaction.atomic():
            yield
            transaction.set_rollback(True)

    def progress(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The items, with a bar on standard error that moves as they are done: on a terminal, or with ``--progress``.

        Where the bar cannot be redrawn, a line is written for every tenth of the whole.
        """
        redraws = self.stderr.isatty()
        if not (redraws or self._shows_progress):
            yield from items
            return
        total, tenths = len(items), 0
        for done, item in enumerate(items, 1):
            yield item
            if redraws:
                filled = 30 * done // total
                self.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{total} {what}", ending="")
                if done == total:
                    self.stderr.write("")
            elif 10 * done // total > tenths:
                tenths = 10 * done // total
                self.stderr.write(f"{done}/{total} {what}")

    def _refusal(self, error: Exception) -> Refused:
        if isinstance(error, self.expected):
            return Refused("FAILED", self.sentence(error))
        if isinstance(error, OperationalError | InterfaceError):
            return Refused("DATABASE_UNAVAILABLE", DATABASE_AWAY.format(str(error).partition("\n")[0]))
        if isinstance(error, DataError):
            return Refused("DOES_NOT_FIT", f"Something given does not fit: {str(error).partition(chr(10))[0]}.")
        problem = as_problem(error)
        return Refused("FAILED", str(error)) if problem is None else Refused.of(problem)

    def _tell_problem(self, refused: Refused) -> None:
        """The problem as a document on standard output; the sentence itself goes to standard error."""
        if not self.as_json:
            return
        document = {"code": refused.code, "detail": refused.detail, "errors": refused.errors, **refused.members}
        self.stdout.write(json.dumps({"problem": document}, ensure_ascii=False))


def _refuse_unstorable(options: Mapping[str, Any]) -> None:
    """Bytes on the command line that are no text reach us as lone surrogates, which no database takes."""
    for value in options.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and any("\ud800" <= character <= "\udfff" for character in text):
                raise Refused("USAGE", "An argument is not text in UTF-8.", exit_code=ExitCode.USAGE)
