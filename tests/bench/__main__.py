"""``make bench CASE=…``: measure one case beside its floor. Without a case: list them."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
PREFIX = "case_"


def cases() -> dict[str, str]:
    """Name and first line of every ``case_<name>.py``; read without importing, which would need a database."""
    found = {}
    for path in sorted(HERE.glob(f"{PREFIX}*.py")):
        said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.removeprefix(PREFIX)] = said.partition("\n")[0]
    return found


def main() -> int:
    """Command line."""
    known = cases()
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "case", nargs="?", choices=[*sorted(known), "all"], metavar="CASE", help="a case, or all of them"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often subject and floor take turns (default 5)")
    parser.add_argument("--share", type=float, default=1.0, help="of the acts of a round, e.g. 0.1 to try a case")
    arguments = parser.parse_args()
    if arguments.case is None:
        for name, said in known.items():
            print(f"  make bench CASE={name:<18} {said}")
        return 0
    for name in [name for name in os.environ if name.startswith("EXEC_") and name != "EXEC_DATA_DIR"]:
        del os.environ[name]
    os.environ["EXEC_READ_DOTENV"] = "0"
    os.environ["EXEC_LOG_LEVEL"] = "ERROR"
    os.environ["DJANGO_SETTINGS_MODULE"] = "execution_project.settings"
    with tempfile.TemporaryDirectory(prefix="execution-bench-", dir=os.environ.get("EXEC_DATA_DIR")) as folder:
        os.environ["EXEC_DATA_DIR"] = folder
        from tests.bench.frame import Bench, describe_machine

        print(describe_machine())
        with Bench(Path(folder), arguments.share) as bench:
            import django

            django.setup()
            for case in sorted(known) if arguments.case == "all" else [arguments.case]:
                print(f"\n{case}: {known[case]}\n", flush=True)
                bench.begin_case()
                importlib.import_module(f"tests.bench.{PREFIX}{case}").run(bench, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
