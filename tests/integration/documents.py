"""Documents that promise answers: their sh and python blocks, run line by line against a running engine.

A line may end in ``# → 200 "text" "text"``: the HTTP status that the answer ends with, and what else stands in it. For
commands that are no calls the status is left out.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.server import ROOT

MARK = "@@@"
PROMISE = re.compile(r"   # → (?:(\d{3})(?= |$))?(.*)$")


def blocks(name: str, section: str = "") -> list[tuple[str, str]]:
    """(language, text) of every sh and python block of a document, or of one of its ``##`` sections."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if section:
        _, _, rest = text.partition(f"\n## {section}\n")
        text, _, _ = rest.partition("\n## ")
    found = re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found, f"{name} {section} has no block"
    return found


def promised(line: str) -> tuple[str, list[str]] | None:
    """The status ('' for none) and the texts that a line says its answer has."""
    found = PROMISE.search(line)
    if found is None:
        return None
    texts = found[2].strip()
    return found[1] or "", [texts] if " " in texts and '"' not in texts else texts.split()


def run_shell(lines: list[str], *, names: dict[str, str], cwd: Path = ROOT, **environment: str) -> int:
    """Run lines in one shell and check every promise; returns how many there were. ``names``: text to put in place."""
    script = "\n".join(f"{line}\necho '{MARK}'" for line in lines)
    for written, real in names.items():
        script = script.replace(written, real)
    script = re.sub(r"^sleep \d$", "sleep 8", script, flags=re.MULTILINE)  # a busy machine
    done = subprocess.run(
        ["bash", "-eu"],
        input=script,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = done.stdout.split(f"{MARK}\n")[:-1]
    assert len(answers) == len(lines)
    kept = 0
    for line, answer in zip(lines, answers, strict=True):
        promise = promised(line)
        if promise is None:
            continue
        status, texts = promise
        if status:
            assert answer.rstrip().rsplit("\n", 1)[-1] == status, f"{line}\n{answer}"
        for text in texts:
            for written, real in names.items():
                text = text.replace(written, real)
            assert text in answer, f"{line}\n{answer}"
        kept += 1
    return kept


def run_python(text: str, *, names: dict[str, str], **environment: str) -> None:
    """Run a program as a reader would; a failed ``assert`` of it fails the test."""
    for written, real in names.items():
        text = text.replace(written, real)
    done = subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
