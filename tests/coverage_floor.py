"""No domain module may hide behind the average: each is covered by at least ``FLOOR`` percent."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FLOOR = 70.0
DOMAIN = ("orders/", "risk/", "positions/", "exchanges/", "execution_project/common/")

if __name__ == "__main__":
    files = json.loads(Path(sys.argv[1]).read_text())["files"]
    low = {
        name: values["summary"]["percent_covered"]
        for name, values in sorted(files.items())
        if name.startswith(DOMAIN) and values["summary"]["percent_covered"] < FLOOR
    }
    print("\n".join(f"{name}: {percent:.0f} % is covered, {FLOOR:.0f} % is the floor" for name, percent in low.items()))
    sys.exit(bool(low))
