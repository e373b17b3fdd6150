#!/bin/sh
# scipy 1.17.1: special.gammaln(x) is inf for 0 < x < 5.56e-309, where the logarithm of the gamma
# function is finite, about -log(x): 736.8 at 1e-320. The function itself overflows there, but not
# its logarithm. special.loggamma is inf there too; math.lgamma of the same number gives 736.8.
# Exits with an error once gammaln(1e-320) is finite.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import math

import scipy
from scipy import special

assert scipy.__version__ == "1.17.1"
for x in (1e-320, 5e-309, 6e-309):
    print(x, special.gammaln(x), special.loggamma(x), math.lgamma(x))
assert special.gammaln(1e-320) == special.gammaln(5e-309) == math.inf
assert abs(special.gammaln(6e-309) - 709.7) < 0.1
assert special.loggamma(1e-320) == math.inf
assert abs(math.lgamma(1e-320) - 736.827) < 0.001
PYTHON
