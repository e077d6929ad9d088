"""Do the locked requirements belong to the ones asked for? Needs no network; ``make lock`` is what to do otherwise."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def asked_for(name: str) -> dict[str, Requirement]:
    """The requirements of an .in file by name."""
    lines = [line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Version and the text of hashes and origins of each package in a .txt file."""
    entries = re.split(r"^(?=[A-Za-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)
    matches = [(re.match(r"([A-Za-z0-9_.-]+)(?:\[[^]]*])?==([^\s;\\]+)", entry), entry) for entry in entries]
    return {canonicalize_name(match[1]): (match[2], entry) for match, entry in matches if match}


def drift(stem: str) -> list[str]:
    """What does not fit between ``stem``.in and ``stem``.txt."""
    wanted, pinned = asked_for(f"{stem}.in"), locked(f"{stem}.txt")
    problems = [f"{stem}.txt: {name} has no hash" for name, (_, entry) in pinned.items() if "--hash=" not in entry]
    for name, requirement in wanted.items():
        if name not in pinned:
            problems.append(f"{stem}.txt lacks {name}")
        elif not requirement.specifier.contains(pinned[name][0], prereleases=True):
            problems.append(f"{stem}.txt has {name} {pinned[name][0]}, but {requirement} is asked for")
    problems += [
        f"{stem}.txt keeps {name}, which {stem}.in does not ask for any more"
        for name, (_, entry) in pinned.items()
        if re.search(rf"-r {stem}\.in\b", entry) and name not in wanted
    ]
    return problems


if __name__ == "__main__":
    problems = drift("requirements") + drift("requirements-dev")
    print("\n".join([*problems, "Run `make lock`."] if problems else ["in step"]))
    sys.exit(bool(problems))
