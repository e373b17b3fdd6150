#!/bin/sh
# PyTorch 2.13.0: binary_cross_entropy is finite at p = 0 and 1, its gradient by the target is not.
#
# The loss clamps its logarithms at -100, so at p = 0 it is 100 * t, a line in the target t with the
# slope 100. The gradient by p is kept finite. The gradient by the target is log(1 - p) - log(p)
# without the clamp: inf at p = 0, -inf at p = 1, and 690.8 instead of 100 at p = 1e-300, where
# differences of the loss say 100. Soft targets that are learnt (label models, distillation both ways)
# get an infinite gradient from a loss that is documented as always finite.
#
# Seen: p 0.0: slope of the loss 100.0, gradient inf; p 1e-300: 100.0 and 690.7755278982137
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math
import torch

bce = torch.nn.functional.binary_cross_entropy
for p, expected in ((0.0, math.inf), (1e-300, 690.7755278982137)):
    chance = torch.tensor(p, dtype=torch.float64)
    t = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    bce(chance, t).backward()
    low, high = (bce(chance, torch.tensor(z, dtype=torch.float64)).item() for z in (0.25, 0.75))
    slope = (high - low) / 0.5
    print(f"p {p}: slope of the loss {slope}, gradient {t.grad.item()}")
    assert slope == 100.0
    assert t.grad.item() == expected or abs(t.grad.item() - expected) < 1e-9
PYTHON
