#!/bin/sh
# PyTorch 2.13.0 (CPU): OneCycleLR can't be made where the way up is one step long.
#
# With total_steps * pct_start == 1, such as 10 steps and pct_start=0.1, or 100 and 0.01, the first phase
# begins and ends at step 0, and the constructor divides 0.0 by 0.0: a ZeroDivisionError that names no
# argument. With 11 steps, and with pct_start=0.0, it can be made. A search over pct_start, or a short
# trial run of a long training, meets it.
#
# Seen:
# 10 steps, pct_start 0.1: ZeroDivisionError: float division by zero
# 100 steps, pct_start 0.01: ZeroDivisionError: float division by zero
# 11 steps, pct_start 0.1: the first rate is 0.04
# 10 steps, pct_start 0.0: the first rate is 1.0 less a part of the way down
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import torch

seen = []
for steps, share in ((10, 0.1), (100, 0.01), (11, 0.1), (10, 0.0)):
    optimizer = torch.optim.SGD([torch.tensor(1.0, requires_grad=True)], lr=0.1, momentum=0.9)
    try:
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=steps, pct_start=share
        )
    except ZeroDivisionError as error:
        seen.append(f"ZeroDivisionError: {error}")
    else:
        seen.append(f"the first rate is {cycle.get_last_lr()[0]:.4g}")
    print(f"{steps} steps, pct_start {share}: {seen[-1]}")
assert all(text.startswith("ZeroDivisionError") for text in seen[:2])
assert not any(text.startswith("ZeroDivisionError") for text in seen[2:])
PYTHON
