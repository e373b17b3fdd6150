"""What stands in for NumPy in the playground: optimisers of `nn` end at the same bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nn
from nn import optim

STAND_IN = Path(__file__).parents[1] / "docs" / "playground" / "stand_in"
NAMES = [
    name
    for name, made in vars(optim).items()
    if isinstance(made, type) and issubclass(made, optim.Optimizer) and made.rule is not None
]
PROGRAM = """
import json, random, numpy, nn
from nn import optim

assert "stand_in" in numpy.__file__ or {anywhere}
found = {{}}
for name in {names}:
    for more in ({{}}, {{"weight_decay": 0.1}}):
        rng = random.Random(0)
        model = nn.Sequential(nn.Linear(2, 3, rng=rng), nn.Tanh(), nn.Linear(3, 1, rng=rng))
        slow = {{"params": model[0].parameters(), "lr": 0.02}}
        groups = [slow, {{"params": model[2].parameters()}}]
        optimizer = getattr(optim, name)(groups, lr=0.1, **more)
        schedule = optim.StepLR(optimizer, 3)
        for step in range(8):
            optimizer.zero_grad()
            for x, y in (((0.0, 1.0), 1.0), ((1.0, 1.0), 0.0)):
                nn.MSELoss()(model(x), [y]).backward()
            nn.clip_grad_value_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
        found[name, len(more)] = [p.data for p in model.parameters()]
        assert "array" in repr(optimizer.state_dict()) or name == "SGD"
print(json.dumps([*map(repr, found.items())]))
"""


def printed(*path: Path) -> object:
    program = PROGRAM.format(names=NAMES, anywhere=not path)
    house = str(Path(nn.__file__).parents[1])
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), house])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_optimisers_end_at_the_same_bits_as_with_numpy() -> None:
    assert len(NAMES) >= 9
    assert printed(STAND_IN) == printed()


def test_what_is_missing_is_told_by_name() -> None:
    program = "import numpy\ntry: numpy.fft\nexcept AttributeError as error: print(error)"
    env = {**os.environ, "PYTHONPATH": str(STAND_IN)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("numpy.fft is not in this page, which has no NumPy")
