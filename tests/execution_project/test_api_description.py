"""The API's description of itself: committed, whole, and true about its error codes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import URLResolver, get_resolver
from rest_framework import exceptions

from execution_project.api_description import openapi
from execution_project.common.api.errors import as_problem
from execution_project.common.problem_codes import DENIALS, PROBLEMS

ROOT = Path(__file__).resolve().parent.parent.parent
APPS = ("orders", "risk", "positions", "exchanges", "execution_project")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in openapi()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_committed_document_is_the_one_that_is_served() -> None:
    committed = json.loads((ROOT / "docs" / "openapi.json").read_text())
    served = Client().get("/api/exec/schema").json()
    assert served["openapi"].startswith("3.1.")
    assert committed == served, (
        "The API has changed. If that is meant, write its description anew and look at the difference: "
        "manage.py spectacular --format openapi-json --file docs/openapi.json --validate --fail-on-warn"
    )


def api_paths(resolver: URLResolver, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from api_paths(entry, path)
        elif path.startswith("api/exec/"):
            yield "/" + re.sub(r"<(\w+:)?(\w+)>", r"{\2}", path), entry.callback


def test_every_method_of_every_path_is_described() -> None:
    described = {(path, method.upper()) for path, method, _ in operations()}
    served = {
        (path, method.upper())
        for path, callback in api_paths(get_resolver())
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(getattr(callback, "view_class", None), method)
    }
    assert served - described == {("/api/exec/schema", "GET"), ("/api/exec/docs", "GET")}
    assert described <= served


def test_every_operation_says_what_it_takes_and_every_way_it_may_fail() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    for _, _, operation in operations():
        assert operation["summary"]
        assert operation["description"]
        assert operation["security"] == [{"apiKey": []}]
        everywhere = {"401", "403", "406", "500", "503"}
        assert everywhere <= set(operation["responses"]), operation["operationId"]
        for status, response in operation["responses"].items():
            if status.startswith(("4", "5")):
                narrowed = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]
                assert {(int(status), code) for code in narrowed["code"]["enum"]} <= PROBLEMS
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]
            assert set(content) == {"application/json"}
            assert content["application/json"]["examples"], operation["operationId"]


def _stated(node: ast.Call) -> str | None:
    """The code that a call of one of these states in so many words."""
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    problems = {"Problem": 1, "_refuse": 0, "_breach": 0, "ControlResult": 3}
    controls = {"Observation": 1, "_said": 1, "observation": 2, "with_this_order": 3, "_with_this": 3, "judge_loss": 2}
    place = (problems | controls).get(name)
    if place is None or len(node.args) <= place:
        return None
    argument = node.args[place]
    return argument.value or None if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else None


def stated_in_code() -> set[tuple[int | None, str]]:
    """(status where it stands beside it, code) of every error that the code base can name."""
    found: set[tuple[int | None, str]] = set()
    for app in APPS:
        for file in (ROOT / app).rglob("*.py"):
            if "simulator" in file.parts or "migrations" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and (code := _stated(node)) is not None:
                    status = getattr(node.args[0], "value", None)
                    found.add((status if isinstance(status, int) else None, code))
    for error in (
        exceptions.ParseError(),
        exceptions.NotAuthenticated(),
        exceptions.AuthenticationFailed(),
        exceptions.PermissionDenied(),
        exceptions.NotFound(),
        exceptions.MethodNotAllowed("PUT"),
        exceptions.UnsupportedMediaType("text/plain"),
        exceptions.NotAcceptable(),
        exceptions.Throttled(),
    ):
        problem = as_problem(error)
        assert problem is not None
        found.add((problem.status, problem.code))
    filters = ast.parse((ROOT / "exchanges/filters.py").read_text())
    names = {node.value for node in ast.walk(filters) if isinstance(node, ast.Constant)}
    return found | {(422, code) for code in DENIALS if code.startswith("FILTER_") and code[7:] in names}


def test_every_code_in_the_code_base_is_registered_with_its_status_and_none_is_made_up() -> None:
    found = stated_in_code()
    assert {code for _, code in found} == {code for _, code in PROBLEMS}, (
        "see execution_project/common/problem_codes.py"
    )
    assert {(status, code) for status, code in found if status is not None} - PROBLEMS == set()


def test_the_readme_lists_every_code_under_its_status() -> None:
    readme = (ROOT / "README.md").read_text().split("### Errors", 1)[1].split("\n## ", 1)[0]
    listed: set[tuple[int, str]] = set()
    for line in readme.splitlines():
        if re.match(r"\| [0-9, ]+ \|", line):
            statuses, codes = (cell.strip() for cell in line.split("|")[1:3])
            numbers = [int(number) for number in statuses.split(",")]
            named = re.findall(r"`([A-Z_]+)`", codes)
            # A row with several statuses has one code for each; every other row has one status.
            listed |= set(zip(numbers, named, strict=True)) if len(numbers) > 1 else {(numbers[0], c) for c in named}
    assert listed == PROBLEMS


def test_the_browsable_page_takes_everything_from_this_server() -> None:
    page = Client().get("/api/exec/docs")
    assert page.status_code == 200
    html = page.content.decode()
    addresses = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert len(addresses) >= 4
    for address in addresses:
        assert address.startswith("/"), address
        if address.startswith("/static/"):
            assert finders.find(address.removeprefix("/static/")) is not None, address
    script = Client().get("/api/exec/docs", {"script": ""})
    assert script["Content-Type"].startswith("application/javascript")
    assert "/api/exec/schema" in script.content.decode()
    assert re.findall(r"https?://", html) == []
