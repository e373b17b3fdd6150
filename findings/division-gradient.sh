#!/bin/sh
# JAX 0.10.2 and PyTorch 2.13.0 (CPU, float64): the derivative of a / y by y is infinite, or 0, at
# moderate numbers, and in PyTorch it depends on whether a is a tensor.
#
# The derivative is -(a / y) / y. JAX divides by y^2 instead, which underflows below about 1e-154 and
# overflows above 1e154: at a = y = 1e-170 it gives -inf for -1e170, at a = y = 1e170 -0.0 for -1e-170,
# where value, dividend and truth are far from the ends of float64. PyTorch is right at both where a
# is a tensor; where a is a Python number it computes a * reciprocal(y), and gives what JAX gives. In
# float32 the limits are 1e-19 and 1e19, which sums of squares and variances do reach.
#
# Seen: 1e-170: jax -inf, torch -1e+170 by a tensor and -inf by a number
# 1e+170: jax -0.0, torch -1e-170 by a tensor and -0.0 by a number; float32 1e-23: jax -inf
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2 torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import jax
import jax.numpy as jnp
import torch

jax.config.update("jax_enable_x64", True)
for size, expected in ((1e-170, -math.inf), (1e170, 0.0)):
    found = float(jax.grad(lambda y: size / y)(size))
    torches = []
    for a in (torch.tensor(size, dtype=torch.float64), size):
        y = torch.tensor(size, dtype=torch.float64, requires_grad=True)
        (a / y).backward()
        torches.append(y.grad.item())
    print(f"{size}: jax {found}, torch {torches[0]} by a tensor and {torches[1]} by a number")
    assert found == torches[1] == expected
    assert abs(torches[0] * size + 1.0) < 1e-12
small = jnp.float32(1e-23)
found = float(jax.grad(lambda y: small / y)(small))
print(f"float32 1e-23: jax {found}")
assert found == -math.inf
PYTHON
