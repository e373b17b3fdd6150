#!/bin/sh
# PyTorch 2.13.0 (CPU, float64): the gradient of atan2 is exactly 0 at small and at large points.
#
# With y = x = 1e-200 the derivatives of atan2(y, x) are x / (x^2 + y^2) = 5e199 and -5e199. The sum of
# squares underflows to 0, and PyTorch, which takes a sum of 0 for the origin, gives 0 for both: no inf
# and no nan that one could notice. At 1e-160, where the sum is not 0 yet, it gives inf and -inf; at
# 1e160, where it overflows, 0 again in place of 5e-161 and -5e-161. The value is right at all of them.
# With s = max(|x|, |y|) the quotient (x/s) / ((x/s)^2 + (y/s)^2) / s is right everywhere.
#
# Seen: 1e-200 [0.0, -0.0]; 1e-160 [inf, -inf]; 1e-150 [5e+149, -5e+149]; 1e+160 [0.0, -0.0]
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import torch

found = {}
for size in (1e-200, 1e-160, 1e-150, 1e160):
    y, x = (torch.tensor(size, dtype=torch.float64, requires_grad=True) for _ in range(2))
    angle = torch.atan2(y, x)
    assert angle.item() == math.pi / 4.0
    found[size] = [g.item() for g in torch.autograd.grad(angle, (y, x))]
    print(size, found[size])
assert found[1e-200] == [0.0, 0.0]
assert found[1e-160] == [math.inf, -math.inf]
assert all(abs(g / t - 1.0) < 1e-12 for g, t in zip(found[1e-150], (5e149, -5e149)))
assert found[1e160] == [0.0, 0.0]
PYTHON
