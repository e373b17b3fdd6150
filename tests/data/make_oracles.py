"""Make the frozen figures of PyTorch anew, or with --check compare them with what is frozen.

The cases are in tests/oracle_cases.py; `make oracles` and `make test-oracles` run this.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
# The root too, and first: else tests/engine would be found as the package `engine`.
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from oracle_cases import DATA, FILES, Figures, frozen, numbers  # noqa: E402

# In units of the largest number of a case: another CPU or library rounds differently.
TOLERANCE = 1e-13


def to_text(figures: Figures) -> str:
    """One case a line, so that a change of the file shows which ones it is about."""
    lines = [f"{json.dumps(name)}: {json.dumps(figure)}" for name, figure in figures.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def first_difference(old: Figures, new: Figures) -> str:
    """Say where the figures begin to differ; the empty string if they do not."""
    for name in [*old, *[name for name in new if name not in old]]:
        if name not in old or name not in new:
            return f"the case {name!r} is {'frozen no more' if name in old else 'not frozen yet'}"
        a, b = dict(numbers(old[name])), dict(numbers(new[name]))
        if list(a) != list(b):
            return f"the case {name!r} has other places: {sorted(set(a) ^ set(b)) or list(b)}"
        sizes = [abs(x) for x in a.values() if isinstance(x, float) and math.isfinite(x)]
        allowed = TOLERANCE * max(sizes, default=0.0)
        for place, x in a.items():
            y = b[place]
            near = isinstance(x, float) and isinstance(y, float) and abs(x - y) <= allowed
            if not near and x != y and not (x != x and y != y):  # nan is like nan
                return f"the case {name!r} has {x!r} frozen at {place!r}, and now gives {y!r}"
    return ""


def main() -> int:
    """Write or compare all files; the exit code is 1 where a frozen figure differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    import torch  # not at the top: pytest imports this file where PyTorch may be missing

    for name, make in FILES.items():
        path = DATA / f"{name}.json"
        new = make(torch)
        if not check:
            path.write_text(to_text(new))
            print(f"{path}: {len(new)} cases written")
        elif not path.exists():
            print(f"{path} is missing; `make oracles` writes it")
            return 1
        elif difference := first_difference(frozen(name), new):
            print(f"{path}: {difference}; if that is meant, `make oracles` freezes it")
            return 1
        else:
            print(f"{path}: {len(new)} cases agree")
    return 0


if __name__ == "__main__":
    sys.exit(main())
