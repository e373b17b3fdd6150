#!/bin/sh
# JAX 0.10.2 and SciPy 1.17.1: gammaln(x) loses digits where it is small, beside its zeros 1 and 2.
#
# Relative errors in float64, against mpmath 1.4.1 at 40 digits:
#
#   x             log gamma      JAX      SciPy
#   1 + 1e-7      -5.772e-08     1.7e-09  1.4e-10
#   1 + 1e-10     -5.772e-11     4.4e-06  1.7e-10
#   2 - 1e-7      -4.228e-08     1.6e-08  2.6e-09
#   1.5           -1.208e-01     below 1e-14 in both
#
# The absolute error stays below 1e-15, but what divides by it, or takes its logarithm, sees more.
# Exits with an error once both are within 1e-12 everywhere.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q jax==0.10.2 jaxlib==0.10.2 scipy==1.17.1 mpmath==1.4.1
env -u PYTHONPATH JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import jax
import mpmath
from jax.scipy.special import gammaln as of_jax
from scipy.special import gammaln as of_scipy

jax.config.update("jax_enable_x64", True)
mpmath.mp.dps = 40


def errors(x):
    true = mpmath.loggamma(mpmath.mpf(x))
    found = [float(abs((float(f(x)) - true) / true)) for f in (of_jax, of_scipy)]
    print(x, float(true), *(f"{error:.1e}" for error in found))
    return found


for x, least in ((1 + 1e-7, (5e-10, 5e-11)), (1 + 1e-10, (1e-6, 5e-11)), (2 - 1e-7, (5e-9, 5e-10))):
    assert all(error > bound for error, bound in zip(errors(x), least)), "digits came back"
assert max(errors(1.5)) < 1e-14
PYTHON
