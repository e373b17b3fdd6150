"""How many wrong gradients each checker finds, and how many right ones it lets pass: a table.

Run by itself, `python tests/gradient_checkers.py`, it prints the table in the guide. Each checker
gets the catalogue of `wrong_gradients` in the form that is its own, with its defaults.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from engine.testing import WrongGradientError, assert_gradients
from wrong_gradients import FORMS, RIGHT, WRONG, Case


def ours(f: Any, *args: Any, **options: Any) -> str:
    """What is wrong; "" for nothing."""
    try:
        assert_gradients(f, *args, **options)
    except WrongGradientError as error:
        return error.kind
    return ""


def torchs(f: Any, x: Any) -> str:
    """torch.autograd.gradcheck."""
    import torch

    try:
        return "" if torch.autograd.gradcheck(f.apply, x.clone().requires_grad_()) else "wrong"
    except torch.autograd.gradcheck.__globals__["GradcheckError"]:
        return "wrong"


def jaxs(f: Any, x: Any) -> str:
    """jax.test_util.check_grads, of the first order, backwards."""
    from jax.test_util import check_grads

    try:
        check_grads(f, (x,), order=1, modes=["rev"])
    except AssertionError:
        return "wrong"
    return ""


def scipys(fun: Any, x: Any, jac: Any) -> str:
    """scipy.optimize.check_grad, whose result is an error, here asked to be below 1e-5."""
    from scipy.optimize import check_grad

    try:
        error = check_grad(fun, jac, x.astype(float))
    except ValueError:
        return "wrong"
    return "" if error < 1e-5 * max(1.0, np.abs(jac(x)).max()) else "wrong"


CHECKERS = {
    "scipy.optimize.check_grad": ("scipy", scipys),
    "torch.autograd.gradcheck": ("torch", torchs),
    "jax.test_util.check_grads": ("jax", jaxs),
}


def takes(case: Case, checker: str) -> bool:
    """SciPy's is for functions of one result and one array of numbers."""
    form, _ = CHECKERS[checker]
    fits = np.size(case.make()[0](case.x)) == 1 and case.x.ndim == 1
    return form in case.forms and (form != "scipy" or fits)


def said(case: Case, form: str, check: Any) -> str:
    """What a checker says of a case."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        f, args, options = FORMS[form](case)
        return str(check(f, *args, **options))


def row(checker: str) -> tuple[int, int, int, int, int, int, int]:
    """Cases that are wrong, found by the checker, by us, named by us; right, passed by either."""
    form, check = CHECKERS[checker]
    wrong = [case for case in WRONG if takes(case, checker)]
    right = [case for case in RIGHT if takes(case, checker)]
    names = [said(case, form, ours) for case in wrong]
    return (
        len(wrong),
        sum(bool(said(case, form, check)) for case in wrong),
        sum(map(bool, names)),
        sum(name in case.kinds for name, case in zip(names, wrong, strict=True)),
        len(right),
        sum(not said(case, form, check) for case in right),
        sum(not said(case, form, ours) for case in right),
    )


def table() -> str:
    """The table in Markdown."""
    lines = [
        "| in the form of | wrong | it finds | we find | and name | right | it passes | we pass |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [f"| `{name}` | {' | '.join(map(str, row(name)))} |" for name in CHECKERS]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
