"""Lines and branches that the tests reach: all together ``WHOLE_FLOOR`` percent, no domain package below
``PACKAGE_FLOOR``, no module of one below ``MODULE_FLOOR``. Measured in the test processes, the simulator and the
programs that ``tests/measuring.py`` starts; what other started processes run does not count, nor what
slipcover does not look into: a ``__main__``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

WHOLE_FLOOR, PACKAGE_FLOOR, MODULE_FLOOR = 80.0, 90.0, 70.0
DOMAIN = ("orders/", "risk/", "positions/", "exchanges/", "execution_project/common/")

if __name__ == "__main__":
    files = json.loads(Path(sys.argv[1]).read_text())["files"]
    files = {name: values for name, values in files.items() if not name.endswith("/__main__.py")}
    low = []
    for package in ("", *DOMAIN):
        own = {name: values["summary"] for name, values in sorted(files.items()) if name.startswith(package)}
        reached = sum(summary["covered_lines"] + summary["covered_branches"] for summary in own.values())
        whole = reached + sum(summary["missing_lines"] + summary["missing_branches"] for summary in own.values())
        percent = 100 * reached / whole
        floor = PACKAGE_FLOOR if package else WHOLE_FLOOR
        print(f"coverage of {package or 'everything':<26}{percent:5.1f} %")
        if percent < floor:
            low.append(f"{package or 'everything'}: {percent:.1f} % is covered, {floor:.0f} % is the floor")
        low += (
            []
            if not package
            else [
                f"{name}: {summary['percent_covered']:.0f} % is covered, {MODULE_FLOOR:.0f} % is the floor"
                for name, summary in own.items()
                if summary["percent_covered"] < MODULE_FLOOR
            ]
        )
    print("\n".join(low))
    sys.exit(bool(low))
