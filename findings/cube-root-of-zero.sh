#!/bin/sh
# python-flint 0.9.0 (FLINT's Arb; 0.7.1 does the same), CPython 3.11, Linux x86-64: the cube root of
# an exact 0 is nan, and so are its fifth and eighth ones, where the square root and the fourth root
# of the same 0 are 0. As a power, 0 ** (1/3) is 0, too.
#
# Output seen:
#   roots of 0: 1: 0, 2: 0, 3: nan, 4: 0, 5: nan, 6: nan, 8: nan
#   as a power: 0
#
# What to do: ask for 0 before arb.root(3).
# Exits with 0 while this is so, with 1 once it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "python-flint==0.9.0"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

from flint import arb

zero = arb(0)
roots = {k: str(zero.root(k)) for k in (1, 2, 3, 4, 5, 6, 8)}
power = str(zero ** (arb(1) / 3))
print("roots of 0:", ", ".join(f"{k}: {root}" for k, root in roots.items()))
print("as a power:", power)
sys.exit(0 if (roots[2], roots[3], roots[4], power) == ("0", "nan", "0", "0") else 1)
PYTHON
