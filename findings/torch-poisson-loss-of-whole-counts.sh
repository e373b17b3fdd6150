#!/bin/sh
# PyTorch 2.13.0 (CPU): PoissonNLLLoss(full=True) of float64 numbers has eight digits where the counts
# are whole numbers by type.
#
# Stirling's approximation of log(t!), which full=True adds, is computed of the target alone, and of an
# int64 or int32 tensor in single precision; the sum has the input's dtype, float64, and nothing tells
# that half of its digits are gone. The same counts as a float64 tensor give all digits. So counts, which
# are naturally of an integer type, are to be converted first.
#
# Seen (loss at input 0, target 3):
# torch.int64 target: torch.float64 2.764081597328186, off by 5.4e-08
# torch.float64 target: torch.float64 2.764081543543057, off by 0.0e+00
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import math

import torch

expected = 1.0 + 3.0 * math.log(3.0) - 3.0 + 0.5 * math.log(2.0 * math.pi * 3.0)
y, off = torch.tensor([0.0], dtype=torch.float64), {}
for dtype in (torch.int64, torch.float64):
    loss = torch.nn.PoissonNLLLoss(full=True)(y, torch.tensor([3], dtype=dtype))
    off[dtype] = abs(loss.item() - expected)
    print(f"{dtype} target: {loss.dtype} {loss.item()!r}, off by {off[dtype]:.1e}")
    assert loss.dtype == torch.float64
assert 1e-8 < off[torch.int64] < 1e-7
assert off[torch.float64] < 1e-15
PYTHON
