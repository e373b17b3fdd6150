#!/bin/sh
# scipy 1.17.1 and torch 2.13.0: the modified Bessel functions i0 and i1 grow without bound and are
# inf at 1e308, but nan at inf (and at -inf).
# Exits with an error once one of them is inf at inf.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import math

import scipy
import torch
from scipy import special

assert scipy.__version__ == "1.17.1" and torch.__version__.split("+")[0] == "2.13.0"
functions = [
    special.i0,
    special.i1,
    *[
        lambda x, f=f: f(torch.tensor(x, dtype=torch.float64)).item()
        for f in (torch.special.i0, torch.special.i1)
    ],
]
for f in functions:
    print(f(1e308), f(math.inf), f(-math.inf))
    assert f(1e308) == math.inf and math.isnan(f(math.inf)) and math.isnan(f(-math.inf))
PYTHON
