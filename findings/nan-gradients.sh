#!/bin/sh
# PyTorch 2.13.0 and JAX 0.10.2 (CPU): a nan goes in, and ordinary numbers come out as gradients.
#
# PyTorch: torch.sign(nan) is 0.0 (NumPy and JAX: nan), and so is the gradient of abs at nan. JAX: the
# gradient of abs at nan is -1.0, whatever the sign bit. Of the maximum of nan and 1, which is nan,
# PyTorch gives the gradient 1 to both operands, twice as much as it is given, and JAX 0 to both. A
# check for nan in the gradients alone sees nothing.
#
# Seen: torch sign 0.0, abs [0.0], maximum [1.0, 1.0]; jax sign nan, abs -1.0, maximum (0.0, 0.0)
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import jax
import jax.numpy as jnp
import torch


def gradients(f, *numbers):
    xs = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in numbers]
    y = f(*xs)
    assert math.isnan(y.item())
    return [g.item() for g in torch.autograd.grad(y, xs)]


jax.config.update("jax_enable_x64", True)
sign = torch.sign(torch.tensor(math.nan, dtype=torch.float64)).item()
torch_abs, torch_maximum = gradients(torch.abs, math.nan), gradients(torch.maximum, math.nan, 1.0)
print(f"torch sign {sign}, abs {torch_abs}, maximum {torch_maximum}")
assert (sign, torch_abs, torch_maximum) == (0.0, [0.0], [1.0, 1.0])
sign = float(jnp.sign(math.nan))
jax_abs = float(jax.grad(jnp.abs)(math.nan))
jax_maximum = tuple(map(float, jax.grad(jnp.maximum, (0, 1))(math.nan, 1.0)))
print(f"jax sign {sign}, abs {jax_abs}, maximum {jax_maximum}")
assert math.isnan(sign) and (jax_abs, jax_maximum) == (-1.0, (0.0, 0.0))
PYTHON
