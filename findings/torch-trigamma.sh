#!/bin/sh
# torch 2.13.0: torch.polygamma(1, x) in float64 has nine to ten digits only: at 1 it gives
# 1.64493406763825 where pi ** 2 / 6 is 1.6449340668482264, a relative error of 4.8e-10. So has the
# second derivative of torch.lgamma. The order 2 has all digits, as scipy 1.17.1 has for both. At the
# pole -1 it gives 6.58e+32 instead of inf.
# Exits with an error once the error at 1 is below 1e-12, or the pole is infinite.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 scipy==1.17.1
"$folder/venv/bin/python" - <<'PYTHON'
import math

import torch
from scipy import special

assert torch.__version__.split("+")[0] == "2.13.0"


def polygamma(n, x):
    return torch.polygamma(n, torch.tensor(x, dtype=torch.float64)).item()


true = math.pi**2 / 6
x = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
(first,) = torch.autograd.grad(torch.lgamma(x), x, create_graph=True)
(second,) = torch.autograd.grad(first, x)
print(polygamma(1, 1.0), second.item(), float(special.polygamma(1, 1.0)), true)
print(polygamma(1, -1.0))
assert second.item() == polygamma(1, 1.0)
for point in (-0.5, 0.3, 1.0, 2.5):
    assert 1e-11 < abs(polygamma(1, point) / special.polygamma(1, point) - 1) < 1e-9
    assert abs(polygamma(2, point) / special.polygamma(2, point) - 1) < 1e-14
assert abs(special.polygamma(1, 1.0) / true - 1) < 1e-15
assert math.isfinite(polygamma(1, -1.0)) and special.polygamma(1, -1.0) == math.inf
PYTHON
