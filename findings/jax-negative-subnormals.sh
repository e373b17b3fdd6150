#!/bin/sh
# JAX 0.10.2 (CPU, float64): below 2.2e-308 a negative number is 0 to its functions, not to its domain.
#
# XLA flushes subnormal operands to zero, so that numbers which are not 0 are treated as if they were:
# sqrt(-1e-308) is -0.0 and log(-1e-308) is -inf, where NumPy has nan; the derivative of abs at
# -1e-308 is +1, of relu at 1e-308 is 0; ceil(1e-308) is 0. The comparison x < 0 that would guard
# against it is flushed as well. In float32 that is everything below 1.2e-38.
#
# Seen: sqrt -0.0, log -inf, abs 1.0, relu 0.0, ceil 0.0, less False
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
x = jnp.float64(1e-308)
assert np.asarray(x) == 1e-308
found = {
    "sqrt": float(jnp.sqrt(-x)),
    "log": float(jnp.log(-x)),
    "abs": float(jax.grad(jnp.abs)(-x)),
    "relu": float(jax.grad(jax.nn.relu)(x)),
    "ceil": float(jnp.ceil(x)),
    "less": bool(-x < 0.0),
}
print(", ".join(f"{name} {number}" for name, number in found.items()))
assert found == {"sqrt": 0.0, "log": -math.inf, "abs": 1.0, "relu": 0.0, "ceil": 0.0, "less": False}
PYTHON
