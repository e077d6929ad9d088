"""What all management commands share: answers in JSON, exit codes, dry runs, progress; keys and strategies."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.core.management.base import CommandParser

from execution_project.common.api_keys import create_api_key
from execution_project.common.management_command import EngineCommand, ExitCode, Partly, Refused
from execution_project.common.models import ApiKey, Event, Strategy
from execution_project.common.problems import Problem
from tests.commands import run, run_program
from tests.factories import BY


class Probe(EngineCommand):
    """Ends as its argument says."""

    writes = True
    is_long = True
    needs_database = False
    expected = (ZeroDivisionError,)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("end", choices=["done", "problem", "partly", "expected", "defect", "long"])

    def handle(self, *args: Any, **options: Any) -> None:
        if options["end"] == "problem":
            raise Problem(409, "NOT_NOW", "Try again tomorrow.", errors=[{"pointer": "/x", "code": "X", "detail": "y"}])
        if options["end"] == "expected":
            raise ZeroDivisionError("Nothing to divide by.")
        if options["end"] == "defect":
            raise RuntimeError("a defect")
        if options["end"] == "long":
            assert [*self.progress(list(range(40)), "things")] == list(range(40))
        self.answer({"end": options["end"]}, "An answer.")
        if options["end"] == "partly":
            raise Partly("Half of it.")


def probe(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command(Probe(), *arguments, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), f"{err.getvalue()}{error}"
    return 0, out.getvalue(), err.getvalue()


def test_an_answer_is_words_or_one_json_document() -> None:
    assert probe("done") == (ExitCode.DONE, "An answer.\n", "")
    assert probe("done", "--json") == (ExitCode.DONE, '{"end": "done"}\n', "")
    assert probe("done", "--json", "--dry-run")[1] == '{"end": "done", "dry_run": true}\n'


def test_what_is_refused_is_a_sentence_and_with_json_a_document_too() -> None:
    assert probe("problem") == (ExitCode.FAILED, "", "Try again tomorrow.\n  /x: y")
    code, out, err = probe("problem", "--json")
    assert (code, err) == (ExitCode.FAILED, "Try again tomorrow.\n  /x: y")
    assert out == (
        '{"problem": {"code": "NOT_NOW", "detail": "Try again tomorrow.",'
        ' "errors": [{"pointer": "/x", "code": "X", "detail": "y"}]}}\n'
    )
    assert probe("expected") == (ExitCode.FAILED, "", "Nothing to divide by.")


def test_a_partly_done_command_answers_and_ends_with_3() -> None:
    assert probe("partly", "--json") == (ExitCode.PARTLY, '{"end": "partly"}\n', "Half of it.")


def test_a_defect_is_not_dressed_up_as_a_refusal() -> None:
    with pytest.raises(RuntimeError, match="a defect"):
        call_command(Probe(), "defect")


def test_progress_is_shown_on_request_and_never_mixed_into_the_answer() -> None:
    assert probe("long") == (0, "An answer.\n", "")
    code, out, err = probe("long", "--progress", "--json")
    assert (code, out) == (0, '{"end": "long"}\n')
    assert err.splitlines() == [f"{done}/40 things" for done in range(4, 41, 4)]


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    call_command(Probe(), "long", stdout=StringIO(), stderr=terminal)
    assert "\r[" + "#" * 15 + "." * 15 + "] 20/40 things" in terminal.getvalue()
    assert terminal.getvalue().endswith("] 40/40 things\n")


@pytest.mark.parametrize("name", ["add_strategy", "halt", "check_exchange", "run_ticker"])
def test_without_a_database_a_command_says_make_run(settings: Any, name: str) -> None:
    settings.EXEC_DATABASE_CONFIGURED = False
    arguments = {"add_strategy": ["s"], "halt": ["--reason", "x"]}.get(name, [])
    ran = run(name, *arguments)
    assert ran.code == ExitCode.FAILED
    assert "`make run`" in ran.err


@pytest.mark.django_db(transaction=True)
def test_programs_end_with_the_documented_codes(tmp_path: Any) -> None:
    done = run_program("add_strategy", "momentum", "--json")
    assert (done.code, done.document) == (ExitCode.DONE, {"strategy": "momentum"})
    refused = run_program("add_strategy", "momentum", "--json")
    assert refused.code == ExitCode.FAILED
    assert refused.document["problem"]["detail"] == "There is a strategy momentum already."
    assert refused.err == "Refused: There is a strategy momentum already.\n"
    usage = run_program("add_strategy", "--json")
    assert usage.code == ExitCode.USAGE
    assert usage.document["problem"]["code"] == "USAGE"
    assert "the following arguments are required: name" in usage.err
    away = run_program("add_strategy", "other", "--json", DATABASE_URL="postgresql://x@127.0.0.1:1/x")
    assert away.code == ExitCode.FAILED
    assert away.document["problem"]["code"] == "DATABASE_UNAVAILABLE"
    assert "Traceback" not in away.err
    none = run_program("add_strategy", "other", "--json", DATABASE_URL=None, EXEC_DATA_DIR=str(tmp_path))
    assert none.code == ExitCode.FAILED
    assert none.document["problem"]["code"] == "NO_DATABASE"
    assert "`make run`" in none.err
    assert set(Strategy.objects.values_list("name", flat=True)) == {"momentum"}


@pytest.mark.django_db
def test_what_cannot_be_stored_is_refused_as_such() -> None:
    ran = run("revoke_api_key", "\udcff", "--json")
    assert (ran.code, ran.document["problem"]["detail"]) == (ExitCode.USAGE, "An argument is not text in UTF-8.")
    assert "1 to 256 characters" in run("halt", "--reason", "x" * 257).err


def test_members_of_a_problem_reach_the_json_document() -> None:
    problem = Problem(422, "DENIED", "No.", members={"order": {"id": "1"}})
    assert Refused.of(problem).members == {"order": {"id": "1"}}


@pytest.mark.django_db
def test_a_strategy_is_registered_once_under_a_plain_name() -> None:
    assert run("add_strategy", "trend", "--dry-run").out == "Would register trend.\n"
    assert not Strategy.objects.exists()
    assert run("add_strategy", "trend").code == 0
    assert Event.objects.get(kind="strategy.registered").actor.startswith("command:")
    for name in ("trend", "no blanks", ""):
        assert run("add_strategy", name).code == ExitCode.FAILED
    assert Strategy.objects.count() == 1


@pytest.mark.django_db
def test_a_key_is_revoked_by_id_or_name_and_never_repeated() -> None:
    key, text = create_api_key("client", ["trade"], by=BY)
    assert "Would revoke client" in run("revoke_api_key", "client", "--dry-run").out
    assert ApiKey.objects.get().revoked_at is None
    whole = run("revoke_api_key", text)
    assert whole.code == ExitCode.FAILED
    assert text.rpartition("_")[2] not in whole.err + whole.out
    assert run("revoke_api_key", key.id, "--json").document["revoked_at"] is not None
    assert run("revoke_api_key", "client").out.startswith("Was revoked before")
    assert Event.objects.filter(kind="api_key.revoked").count() == 1
