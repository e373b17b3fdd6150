"""Functions of PyTorch, JAX, autograd and CasADi as subjects; none of them is imported here.

Each is recognised by the module that its type comes from, so it has been imported already where
there is anything to recognise. In: a callable and its arguments. Out: a `Subject`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from engine.testing.subjects import Subject, defined, named_outputs


def of_peer(f: Callable[..., Any], args: Sequence[Any]) -> Subject | None:
    """A function of another library; None for any other function."""
    kinds = type(f).__mro__ + (f.__mro__ if isinstance(f, type) else ())
    homes = {kind.__module__.partition(".")[0] for kind in kinds}
    homes |= {type(arg).__module__.partition(".")[0] for arg in args}
    if getattr(f, "_is_autograd_primitive", False):
        homes.add("autograd")
    for home, make in _ADAPTERS.items():
        if home in homes:
            return make(f, args)
    return None


def _subject(
    f: Any,
    inputs: Sequence[Any],
    names: Sequence[str],
    call: Callable[[list[Any]], list[Any]],
    pull: Callable[[list[Any], list[Any]], list[Any]],
) -> Subject:
    """A subject of functions on lists of arrays: `inputs` are those to differentiate by.

    `call` gives the results; `pull(inputs, weights)` the gradient, None for an input that has none.
    """
    arrays = [np.asarray(a) for a in inputs]
    shapes = [a.shape for a in arrays]
    if not arrays:
        raise TypeError("assert_gradients needs arrays of floats to differentiate by")

    def split(x: Any) -> list[Any]:
        ends = np.cumsum([a.size for a in arrays])[:-1]
        parts = zip(np.split(x, ends), arrays, strict=True)
        return [part.reshape(a.shape).astype(a.dtype) for part, a in parts]

    def values(x: Any) -> Any:
        return np.concatenate([np.asarray(y, dtype=np.float64).ravel() for y in call(split(x))])

    name = getattr(f, "__name__", type(f).__name__)
    if isinstance(owner := getattr(f, "__self__", None), type):  # Function.apply
        name = f"{owner.__name__}.{name}"
    x = np.concatenate([a.ravel().astype(np.float64) for a in arrays])
    entries = _names(arrays, names)
    with defined(name, entries, x):
        outputs = [np.asarray(y) for y in call(arrays)]
    eps = [float(np.finfo(a.dtype).eps) for a in (*arrays, *outputs) if a.dtype.kind == "f"]

    def pull_flat(x: Any, weights: Any) -> Any:
        ends = np.cumsum([y.size for y in outputs])[:-1]
        cotangents = [
            w.reshape(y.shape).astype(y.dtype)
            for w, y in zip(np.split(weights, ends), outputs, strict=True)
        ]
        found = pull(split(x), cotangents)
        return np.concatenate(
            [
                np.zeros(a.size) if g is None else np.asarray(g, dtype=np.float64).ravel()
                for a, g in zip(arrays, found, strict=True)
            ]
        )

    several = ["output"] if len(outputs) == 1 else named_outputs(len(outputs))
    results = _names(outputs, several) if sum(y.size for y in outputs) > 1 else [""]
    return Subject(name, x, entries, shapes, values, pull_flat, max(eps), results)


def _names(arrays: Sequence[Any], names: Sequence[str]) -> list[str]:
    return [
        name + (f"[{', '.join(map(str, place))}]" if place else "")
        for a, name in zip(arrays, names, strict=True)
        for place in np.ndindex(a.shape)
    ]


def _is_float(a: Any) -> bool:
    return isinstance(a, float) or getattr(getattr(a, "dtype", None), "kind", "") == "f"


# --- PyTorch ----------------------------------------------------------------------------------


def _torch(f: Any, args: Sequence[Any]) -> Subject:
    torch: Any = sys.modules["torch"]
    call = getattr(f, "apply", f) if isinstance(f, type) else f
    given = [torch.as_tensor(a) if _is_float(a) else a for a in args]
    places = [i for i, a in enumerate(given) if torch.is_tensor(a) and a.is_floating_point()]
    parameters = dict(f.named_parameters()) if hasattr(f, "named_parameters") else {}

    def run(inputs: list[Any]) -> list[Any]:
        arguments, rest = list(given), iter(inputs)
        for i in places:
            arguments[i] = next(rest)
        if parameters:
            changed = dict(zip(parameters, rest, strict=True))
            result = torch.func.functional_call(f, changed, tuple(arguments))
        else:
            result = call(*arguments)
        return _tensors(torch, result)

    def tensors(arrays: list[Any], *, traced: bool = False) -> list[Any]:
        return [torch.tensor(a).requires_grad_(traced) for a in arrays]

    def values(arrays: list[Any]) -> list[Any]:
        with torch.no_grad():
            return [y.detach().numpy() for y in run(tensors(arrays))]

    def pull(arrays: list[Any], weights: list[Any]) -> list[Any]:
        inputs = tensors(arrays, traced=True)
        outputs = run([a.clone() for a in inputs])  # so that what works in place can
        pairs = [(y, w) for y, w in zip(outputs, weights, strict=True) if y.requires_grad]
        if not pairs:
            return [None] * len(inputs)
        ys, ws = zip(*pairs, strict=True)
        seeds = [torch.as_tensor(w) for w in ws]
        return list(torch.autograd.grad(ys, inputs, seeds, allow_unused=True))

    inputs = [given[i].detach().numpy() for i in places]
    inputs += [p.detach().numpy() for p in parameters.values()]
    return _subject(f, inputs, [*_arguments(places), *parameters], values, pull)


def _tensors(torch: Any, tree: Any) -> list[Any]:
    if torch.is_tensor(tree):
        return [tree]
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, list | tuple):
        return [y for item in tree for y in _tensors(torch, item)]
    raise TypeError(f"assert_gradients needs tensors from the function, not {tree!r}")


def _arguments(places: Sequence[int]) -> list[str]:
    return ["x"] if len(places) == 1 else [f"argument {i}" for i in places]


# --- JAX --------------------------------------------------------------------------------------


def _jax(f: Any, args: Sequence[Any]) -> Subject:
    jax: Any = sys.modules["jax"]
    leaves, structure = jax.tree_util.tree_flatten(tuple(args))
    leaves = [jax.numpy.asarray(a) if _is_float(a) else a for a in leaves]
    places = [i for i, a in enumerate(leaves) if _is_float(a)]

    def run(*inputs: Any) -> list[Any]:
        every = list(leaves)
        for i, a in zip(places, inputs, strict=True):
            every[i] = a
        result = f(*jax.tree_util.tree_unflatten(structure, every))
        return list(jax.tree_util.tree_leaves(result))

    def pull(arrays: list[Any], weights: list[Any]) -> list[Any]:
        outputs, back = jax.vjp(run, *map(jax.numpy.asarray, arrays))
        seeds = [jax.numpy.asarray(w, dtype=y.dtype) for w, y in zip(weights, outputs, strict=True)]
        return list(back(seeds))

    inputs = [np.asarray(leaves[i]) for i in places]
    names = _arguments(places)
    return _subject(f, inputs, names, lambda a: run(*map(jax.numpy.asarray, a)), pull)


# --- autograd -----------------------------------------------------------------------------------


def _autograd(f: Any, args: Sequence[Any]) -> Subject:
    autograd: Any = sys.modules["autograd"]

    def call(arrays: Any) -> Any:
        return f(*arrays)

    def pull(arrays: list[Any], weights: list[Any]) -> list[Any]:
        back, _ = autograd.make_vjp(call)(tuple(arrays))
        return list(back(weights[0]))

    inputs = [np.asarray(a, dtype=np.float64) for a in args]
    return _subject(f, inputs, _arguments(range(len(args))), lambda a: [call(a)], pull)


# --- CasADi -------------------------------------------------------------------------------------


def _casadi(f: Any, args: Sequence[Any]) -> Subject:
    casadi: Any = sys.modules["casadi"]
    back = f.reverse(1)

    def call(arrays: Sequence[Any]) -> list[Any]:
        return [np.asarray(y) for y in f.call([casadi.DM(a) for a in arrays])]

    def pull(arrays: list[Any], weights: list[Any]) -> list[Any]:
        return [np.asarray(g) for g in back.call([*arrays, *call(arrays), *weights])]

    inputs = [np.asarray(casadi.DM(a)) for a in args]
    subject = _subject(f, inputs, [f.name_in(i) for i in range(len(args))], call, pull)
    return replace(subject, name=f.name())


_ADAPTERS = {"torch": _torch, "jax": _jax, "jaxlib": _jax, "autograd": _autograd, "casadi": _casadi}
