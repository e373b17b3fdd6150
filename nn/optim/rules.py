"""The update rules of the optimisers, each written once.

A rule says what becomes of one parameter `w` by its gradient `g`: it returns the parameter moved,
and after it, in a tuple, what it keeps beside a parameter, its slots, which it is given too, under
PyTorch's names. `settings` are numbers for this update; what depends on the update alone, such as
Adam's bias correction, is computed there and not for every parameter (`Optimizer.settings`).

A rule is plain arithmetic that holds for a number and for arrays alike: `applied` runs it on arrays
for `Optimizer.step`, and machine code is made of it for training loops (`engine.compiled.updates`).
The order of operations is PyTorch's. Branches are on settings only; of NumPy's functions sqrt, abs,
maximum, minimum, clip, sign, square and where become machine code, and a rule with others is
applied to arrays, update by update.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Rule: TypeAlias = Callable[..., tuple[Any, ...]]


def sgd(w: Any, g: Any, momentum_buffer: Any, settings: Array) -> tuple[Any, Any]:
    """Stochastic gradient descent, with momentum as PyTorch has it (Sutskever et al. 2013).

    `settings` are the sign of the gradient, weight_decay, lr, momentum, 1 - dampening (1 in the
    first update, whose gradient becomes the momentum whole), nesterov.
    """
    sign, weight_decay, lr = settings[0], settings[1], settings[2]
    momentum, undamped, nesterov = settings[3], settings[4], settings[5]
    g = decayed(w, sign * g, weight_decay)
    if momentum != 0.0:
        momentum_buffer = momentum * momentum_buffer + undamped * g
        g = g + momentum * momentum_buffer if nesterov != 0.0 else momentum_buffer
    return w - lr * g, momentum_buffer


def adam(
    w: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, max_exp_avg_sq: Any, settings: Array
) -> tuple[Any, Any, Any, Any]:
    """Adam (Kingma & Ba 2015, algorithm 1), AMSGrad (Reddi et al. 2018, algorithm 2) and AdamW
    (Loshchilov & Hutter 2019, algorithm 2).

    `settings` are the sign of the gradient, weight_decay in the gradient, what decoupled decay
    leaves of a parameter, 1 - beta1, beta2, 1 - beta2, lr over the first bias correction, the
    root of the second, eps, amsgrad. As in PyTorch, AMSGrad's maximum is of moments that are not
    yet corrected.
    """
    step_size, correction2, eps, amsgrad = settings[6], settings[7], settings[8], settings[9]
    w, g, exp_avg, exp_avg_sq = moments(w, g, exp_avg, exp_avg_sq, settings)
    second = exp_avg_sq
    if amsgrad != 0.0:
        max_exp_avg_sq = np.maximum(max_exp_avg_sq, exp_avg_sq)
        second = max_exp_avg_sq
    w = w - step_size * exp_avg / (np.sqrt(second) / correction2 + eps)
    return w, exp_avg, exp_avg_sq, max_exp_avg_sq


def rmsprop(
    w: Any, g: Any, square_avg: Any, grad_avg: Any, momentum_buffer: Any, settings: Array
) -> tuple[Any, Any, Any, Any]:
    """RMSprop (Tieleman & Hinton 2012, lecture 6e), centred as by Graves (2013, equations 38-45).

    `settings` are the sign of the gradient, weight_decay, lr, alpha, 1 - alpha, eps, momentum,
    centered. Where PyTorch's difference of two averages comes out below 0, and its root nan, the
    variance is 0 here.
    """
    sign, weight_decay, lr = settings[0], settings[1], settings[2]
    alpha, share, eps = settings[3], settings[4], settings[5]
    momentum, centered = settings[6], settings[7]
    g = decayed(w, sign * g, weight_decay)
    square_avg = alpha * square_avg + share * g * g
    variance = square_avg
    if centered != 0.0:
        grad_avg = blend(grad_avg, g, share)
        variance = np.maximum(square_avg - grad_avg * grad_avg, 0.0)  # below 0 by rounding alone
    scale = np.sqrt(variance) + eps
    if momentum > 0.0:
        momentum_buffer = momentum * momentum_buffer + g / scale
        w = w - lr * momentum_buffer
    else:
        w = w - lr * g / scale
    return w, square_avg, grad_avg, momentum_buffer


# `sum` is PyTorch's name of the slot, and no built-in is meant here
def adagrad(w: Any, g: Any, sum: Any, settings: Array) -> tuple[Any, Any]:
    """Adagrad (Duchi, Hazan & Singer 2011, section 1.1, diagonal).

    `settings` are the sign of the gradient, weight_decay, lr with its decay, eps.
    """
    sign, weight_decay, lr, eps = settings[0], settings[1], settings[2], settings[3]
    g = decayed(w, sign * g, weight_decay)
    sum = sum + g * g
    return w - lr * g / (np.sqrt(sum) + eps), sum


def adamax(w: Any, g: Any, exp_avg: Any, exp_inf: Any, settings: Array) -> tuple[Any, Any, Any]:
    """Adamax (Kingma & Ba 2015, algorithm 2), with eps added to the gradient's size.

    `settings` are the sign of the gradient, weight_decay, 1 - beta1, beta2, lr over the bias
    correction, eps.
    """
    sign, weight_decay, share = settings[0], settings[1], settings[2]
    beta2, step_size, eps = settings[3], settings[4], settings[5]
    g = decayed(w, sign * g, weight_decay)
    exp_avg = blend(exp_avg, g, share)
    exp_inf = np.maximum(beta2 * exp_inf, np.abs(g) + eps)
    return w - step_size * exp_avg / exp_inf, exp_avg, exp_inf


def nadam(
    w: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, mu_product: Any, settings: Array
) -> tuple[Any, Any, Any, Any]:
    """NAdam (Dozat 2016, algorithm 2), decayed as AdamW if that is asked for.

    `settings` are the sign of the gradient, weight_decay in the gradient, what decoupled decay
    leaves of a parameter, 1 - beta1, beta2, 1 - beta2, lr, this update's momentum and the next
    one's, the second bias correction, eps. `mu_product` is the product of all momenta so far: it
    begins at 1, and is no setting, since what beta1 was before may be another.
    """
    lr, mu, mu_next = settings[6], settings[7], settings[8]
    correction2, eps = settings[9], settings[10]
    w, g, exp_avg, exp_avg_sq = moments(w, g, exp_avg, exp_avg_sq, settings)
    mu_product = mu_product * mu
    scale = np.sqrt(exp_avg_sq / correction2) + eps
    w = w - lr * (1.0 - mu) / (1.0 - mu_product) * g / scale
    w = w - lr * mu_next / (1.0 - mu_product * mu_next) * exp_avg / scale
    return w, exp_avg, exp_avg_sq, mu_product


def radam(w: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, settings: Array) -> tuple[Any, Any, Any]:
    """RAdam (Liu et al. 2020, algorithm 2), decayed as AdamW if that is asked for.

    `settings` are the sign of the gradient, weight_decay in the gradient, what decoupled decay
    leaves of a parameter, 1 - beta1, beta2, 1 - beta2, lr over the first bias correction, the root
    of the second times the rectification, eps. In the first updates the variance is not known well
    enough: the rectification is 0, and the step goes by the gradient's average alone.
    """
    step_size, rectified, eps = settings[6], settings[7], settings[8]
    w, g, exp_avg, exp_avg_sq = moments(w, g, exp_avg, exp_avg_sq, settings)
    step = step_size * exp_avg
    if rectified != 0.0:
        step = step * (rectified / (np.sqrt(exp_avg_sq) + eps))
    return w - step, exp_avg, exp_avg_sq


def adadelta(
    w: Any, g: Any, square_avg: Any, acc_delta: Any, settings: Array
) -> tuple[Any, Any, Any]:
    """Adadelta (Zeiler 2012, algorithm 1).

    `settings` are the sign of the gradient, weight_decay, lr, rho, 1 - rho, eps.
    """
    sign, weight_decay, lr = settings[0], settings[1], settings[2]
    rho, share, eps = settings[3], settings[4], settings[5]
    g = decayed(w, sign * g, weight_decay)
    square_avg = rho * square_avg + share * g * g
    delta = np.sqrt(acc_delta + eps) / np.sqrt(square_avg + eps) * g
    acc_delta = rho * acc_delta + share * delta * delta
    return w - lr * delta, square_avg, acc_delta


def decayed(w: Any, g: Any, weight_decay: Any) -> Any:
    """The gradient with that of the penalty weight_decay/2 * w**2, if there is one."""
    return g + weight_decay * w if weight_decay != 0.0 else g


def blend(old: Any, new: Any, share: Any) -> Any:
    """(1 - share) * old + share * new, from the nearer end as `torch.lerp`: exact at 0 and 1."""
    return old + share * (new - old) if share < 0.5 else new - (new - old) * (1.0 - share)


def moments(w: Any, g: Any, exp_avg: Any, exp_avg_sq: Any, settings: Array) -> tuple[Any, ...]:
    """The parameter and the gradient, decayed in both ways, and the averages of g and g * g."""
    sign, weight_decay, kept = settings[0], settings[1], settings[2]
    share, beta2, share2 = settings[3], settings[4], settings[5]
    w = kept * w
    g = decayed(w, sign * g, weight_decay)
    return w, g, blend(exp_avg, g, share), beta2 * exp_avg_sq + share2 * g * g


@functools.cache
def slot_names(rule: Rule) -> tuple[str, ...]:
    """Return what a rule calls its slots: what comes between the gradient and the settings.

    >>> slot_names(adagrad)
    ('sum',)
    """
    return tuple(inspect.signature(rule).parameters)[2:-1]


def applied(rule: Rule, theta: Array, g: Array, slots: Array, settings: Array) -> None:
    """Move `theta` and `slots` in place, by arrays; inf and nan pass without a warning."""
    with np.errstate(all="ignore"):
        found = rule(theta, g, *slots, settings)
        moved, *kept = found if isinstance(found, tuple) else (found,)
        if len(kept) != len(slots):
            expected = ", ".join(["w", *slot_names(rule)])
            raise ValueError(f"it returned {1 + len(kept)} of what it should: {expected}")
        for slot, new in zip(slots, kept, strict=True):
            slot[:] = new
        theta[:] = moved
