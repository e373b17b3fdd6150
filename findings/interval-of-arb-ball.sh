#!/bin/sh
# python-flint 0.9.0 with mpmath 1.3.0, CPython 3.11 (Linux x86-64): an Arb ball that is handed to
# mpmath's *interval* context becomes an interval of width 0, at the ball's midpoint. The radius is
# dropped without a warning, so that intervals computed from it no longer hold the true number.
#
# Cause: flint.arb has an attribute `_mpf_` (its midpoint), and mpmath, `mpmath.iv` included, takes
# whatever has that attribute for a number that is exact.
#
# Output seen:
#   ball [1e+0 +/- 0.501]
#   iv.mpf(ball) [1.0, 1.0]
#   ball of 1/3 [0.333333333333333 +/- 3.71e-16], as interval of width 0.0, holds 1/3: False
#   iv.exp(ball) holds exp(0.75): False
#
# What to do: hand over both bounds, mpmath.iv.mpf([mpmath.mpf(ball.lower()), mpmath.mpf(ball.upper())]).
# Exits with 0 while this is so, with 1 once it has changed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "python-flint==0.9.0" "mpmath==1.3.0"
cd "$folder"
venv/bin/python - <<'PYTHON'
import sys

import flint
import mpmath

ball = flint.arb(1, 0.5)  # every number from 0.5 to 1.5
print("ball", ball)
print("iv.mpf(ball)", mpmath.iv.mpf(ball))
third = flint.arb(1) / 3
as_interval = mpmath.iv.mpf(third)
width = float(as_interval.delta)
holds = mpmath.mpf(1) / 3 in mpmath.iv.mpf(1) / 3 and mpmath.iv.mpf(1) / 3 in as_interval
print(f"ball of 1/3 {third}, as interval of width {width}, holds 1/3: {holds}")
inside = mpmath.exp(mpmath.mpf(0.75)) in mpmath.iv.exp(ball)
print("iv.exp(ball) holds exp(0.75):", inside)
sys.exit(0 if (width, holds, inside) == (0.0, False, False) else 1)
PYTHON
