"""assert_gradients on functions of other libraries, as their users write them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.testing import WrongGradientError, assert_gradients

pytestmark = pytest.mark.oracle


def wrong(f: Any, *args: Any) -> WrongGradientError:
    with pytest.raises(WrongGradientError) as caught:
        assert_gradients(f, *args)
    return caught.value


# --- PyTorch ----------------------------------------------------------------------------------


def test_torch_functions_modules_and_operations() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.0, -1.0, 2.0], dtype=torch.float64)
    assert_gradients(torch.relu, x)
    assert_gradients(torch.relu, x.float())
    assert_gradients(lambda x, y: {"a": x * y, "b": y.sum()}, x, x + 1.0)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.GELU(), torch.nn.Linear(4, 2))
    before = [p.clone() for p in model.parameters()]
    assert_gradients(model, torch.randn(2, 3))
    assert all(map(torch.equal, before, model.parameters()))
    assert_gradients(lambda x, i: x[i].exp(), x, torch.tensor([0, 2]))


def test_torch_what_is_detached_is_missed() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
    error = wrong(lambda x: (x * x.detach().sin()).sum(), x)
    assert (error.kind, error.input) == ("term", "x[0]")
    error = wrong(lambda x: torch.cat([x[:1].detach(), x[1:]]).sum(), x)
    assert (error.kind, error.input, error.given) == ("off by one", "x[0]", 0.0)


def test_torch_two_inputs_of_a_function() -> None:
    torch = pytest.importorskip("torch")

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            ctx.save_for_backward(a, b)
            return a * b

        @staticmethod
        def backward(ctx: Any, w: Any) -> Any:
            _, b = ctx.saved_tensors
            return w * b, w * b  # not a

    a, b = torch.tensor([2.0, 3.0]).double(), torch.tensor([5.0, 7.0]).double()
    error = wrong(Product, a, b)
    assert error.name == "Product" and error.input.startswith("argument 1[")
    assert error.output == "output[0]" and error.given == 5.0
    assert error.expected == pytest.approx(2.0)
    assert wrong(Product.apply, a, b).name == "Product.apply"


# --- JAX --------------------------------------------------------------------------------------


@pytest.mark.parametrize("double", [False, True])
def test_jax_custom_rules(double: bool) -> None:
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", double)
    try:

        @jax.custom_jvp
        def f(x: Any, p: Any) -> Any:
            return jnp.sin(x) * p["a"]

        @f.defjvp
        def _(primals: Any, tangents: Any) -> Any:
            (x, p), (dx, dp) = primals, tangents
            return f(x, p), jnp.cos(x) * p["a"] * dx + (jnp.sin(x) * dp["a"] if right else 0.0)

        right = True
        x, p = jnp.array([0.5, -1.0]), {"a": jnp.array(2.0)}
        assert_gradients(f, x, p)
        right = False
        assert wrong(f, x, p).kind in ("off by one", "missing")

        assert_gradients(jax.jit(lambda x: jnp.abs(x).sum()), jnp.zeros(3))
        error = wrong(lambda x: x * jax.lax.stop_gradient(x), x)
        assert (error.kind, error.output) == ("factor", "output[0]")
    finally:
        jax.config.update("jax_enable_x64", before)


# --- autograd, CasADi ---------------------------------------------------------------------------


def test_autograd_primitives() -> None:
    pytest.importorskip("autograd")
    from autograd.extend import defvjp, primitive

    @primitive
    def logsumexp(x: Any) -> Any:
        return np.log(np.sum(np.exp(x)))

    defvjp(logsumexp, lambda out, x: lambda g: g * np.exp(x - out))
    assert_gradients(logsumexp, np.array([1.0, 2.0, 3.0]))
    defvjp(logsumexp, lambda out, x: lambda g: -g * np.exp(x - out))
    assert wrong(logsumexp, np.array([1.0, 2.0, 3.0])).kind == "sign"


def test_casadi_functions_and_callbacks() -> None:
    casadi = pytest.importorskip("casadi")
    x = casadi.SX.sym("x", 3)
    assert_gradients(casadi.Function("f", [x], [casadi.sin(x) * x[0]]), [1.0, 2.0, 3.0])

    class Squares(casadi.Callback):
        def __init__(self) -> None:
            casadi.Callback.__init__(self)
            self.construct("squares", {})

        def get_sparsity_in(self, i: int) -> Any:
            return casadi.Sparsity.dense(2, 1)

        def eval(self, arg: Any) -> Any:
            return [casadi.sumsqr(arg[0])]

        def has_reverse(self, count: int) -> bool:
            return count == 1

        def get_reverse(self, count: int, name: str, ins: Any, outs: Any, options: Any) -> Any:
            x, y, w = casadi.MX.sym("x", 2), casadi.MX.sym("y"), casadi.MX.sym("w")
            return casadi.Function(name, [x, y, w], [x * w], ins, outs)

    error = wrong(Squares(), [1.0, 2.0])
    assert (error.kind, error.name) == ("factor", "squares")
