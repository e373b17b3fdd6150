"""Why an operation stops or spoils a gradient, and what to do about it, in words.

Only what can't be read off the table of operations stands here: reasons for a partial of 0, and
advice, by the name of the row. An operation that is not named here gets a general sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from engine.ops import TABLE

Numbers = Sequence[float]


def number(x: float) -> str:
    """A number as messages show it: six digits.

    >>> number(2.0), number(-1 / 3)
    ('2', '-0.333333')
    """
    return f"{x + 0.0:.6g}"


def operand(x: float) -> str:
    """As `number`, but a fraction that six digits would make a whole number is given in full.

    >>> operand(2.0), operand(-1 / 3), operand(1.0000000000000002)
    ('2', '-0.333333', '1.0000000000000002')
    """
    short = number(x)
    return repr(x) if math.isfinite(x) and float(short) % 1 == 0.0 != x % 1 else short


def times(count: int) -> str:
    """How often, in words.

    >>> times(1), times(2), times(1200)
    ('once', 'twice', '1,200 times')
    """
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


# --- why a partial is 0 -----------------------------------------------------------------------


def _other_factor(x: Numbers, k: int) -> str:
    return f"a product passes its other factor on, and that is {number(x[1 - k])}"


def _off(x: Numbers, k: int) -> str:
    return "the operand is not above 0, where relu is flat"


def _arm(x: Numbers, k: int) -> str:
    if k == 0:
        return "a condition only chooses, and passes no gradient"
    return "the other arm was chosen"


def _choice(than: str) -> Callable[[Numbers, int], str]:
    def reason(x: Numbers, k: int) -> str:
        return f"the other operand, {number(x[1 - k])}, is {than}"

    return reason


def _bound(x: Numbers, k: int) -> str:
    if k == 1:
        return "the operand is inside of the bound, which then has no influence"
    return f"the operand {number(x[0])} is outside of the bound {number(x[1])}, where it is flat"


def _jumps(x: Numbers, k: int) -> str:
    return "it is flat between its jumps, so its derivative is 0 everywhere"


def _saturated(x: Numbers, k: int) -> str:
    return "it is saturated: so far out it no longer changes, in the 16 digits of a float64"


def _divided(x: Numbers, k: int) -> str:
    if k == 1:
        return f"the numerator is {number(x[0])}, so the denominator has no influence"
    return f"the denominator is {number(x[1])}"


def _power(x: Numbers, k: int) -> str:
    if k == 1:
        return f"{number(x[0])} to a power does not change with the exponent there"
    if x[1] == 0.0:
        return "the exponent is 0, so it is 1 everywhere"
    return "its graph is level there"


def _is_flat(name: str) -> bool:
    return name in TABLE and TABLE[name].is_flat


def _saturates(name: str, numbers: Numbers) -> bool:
    """Whether an operation is less steep at these numbers than around 0."""
    op = TABLE.get(name)
    if op is None or op.family == "arithmetic" or op.forward is None:
        return False
    f = op.forward

    def slope(k: int, x: float) -> float:
        low, high = ([*numbers[:k], x + h, *numbers[k + 1 :]] for h in (-1e-3, 1e-3))
        return math.fabs(f(*high) - f(*low))

    return any(slope(k, x) < 0.5 * slope(k, 0.0) < math.inf for k, x in enumerate(numbers))


_WHY_ZERO: dict[str, Callable[[Numbers, int], str]] = {
    "mul": _other_factor,
    "chain": _other_factor,
    "relu": _off,
    "where": _arm,
    "maximum": _choice("larger"),
    "minimum": _choice("smaller"),
    "clamp_min": _bound,
    "clamp_max": _bound,
    "div": _divided,
    "pow": _power,
    "detach": lambda x, k: "it cuts the graph on purpose: what comes out is a constant",
    "no_grad": lambda x, k: "what is computed under no_grad is a constant",
    "abs": lambda x, k: "at its kink the derivative counts as 0",
}


def why_zero(name: str, numbers: Numbers, k: int) -> str:
    """Why the partial of the operation `name` by operand k is 0 at these numbers."""
    reason = _WHY_ZERO.get(name)
    if reason is None and _is_flat(name):
        reason = _jumps
    elif reason is None and _saturates(name, numbers):
        reason = _saturated
    return "its graph is level there" if reason is None else reason(numbers, k)


# --- what to do -------------------------------------------------------------------------------

_SMOOTHER = "Use a smooth stand-in, such as sigmoid(10 * x) for a step, or the unrounded number."
_KEEP_OFF_ZERO = (
    "Keep the denominator away from 0: add a small constant, or choose with engine.where what to "
    "return when it is 0 (the arm not taken can't spoil the gradient)."
)
_SCALE = (
    "Bring its operand nearer to 0: scale the inputs (nn.data.Standardizer), or begin with "
    "smaller weights. Before a cross-entropy leave the sigmoid out and use nn.BCEWithLogitsLoss."
)
_LOGARITHM = (
    "Keep the operand above 0, for example log(engine.clamp(x, 1e-12)). For logarithms of "
    "probabilities use engine.log_softmax or log_sigmoid, which never get there."
)
_ROOT = (
    "The slope of a root at 0 is infinite, and below 0 there is none: use sqrt(x + 1e-12), or "
    "where(x > 0, sqrt(x), 0.0), whose gradient at 0 is 0; for a length engine.norm(xs)."
)
_DOMAIN = (
    "Keep the operand inside of its domain, for example with engine.clamp(x, -0.999999, 0.999999)."
)
_OVERFLOW = (
    "float64 ends at 1.8e308, float32 at 3.4e38. Ask what made the operands so large; for a long "
    "product or a high power, work with its logarithm, a sum."
)
_EXPONENTIAL = (
    "exp passes 1.8e308 at 709.8, and 3.4e38, where float32 ends, at 88.7. What is made of "
    "exponentials has functions without overflow: engine.softmax, engine.logsumexp, sigmoid(x) for "
    "1 / (1 + exp(-x)), softplus(x) for log(1 + exp(x)). By hand, subtract the largest operand "
    "first."
)

_ON_ZERO = {
    "relu": (
        "For this example the unit is off. If it is off for every example it can't learn any "
        "more: try nn.LeakyReLU, a smaller learning rate, or a start from nn.init.kaiming_uniform_."
    ),
    "mul": (
        "If the 0 is an input, that is right: for this example the weight has no influence. If it "
        "is a weight, don't begin with all weights 0; look also at what made it 0."
    ),
    "where": "That is right for this input; to see the other arm differentiated, give another one.",
    **dict.fromkeys(
        ("maximum", "minimum"),
        "Only the operand chosen gets a gradient. For a share to all, use engine.logsumexp.",
    ),
    **dict.fromkeys(
        ("clamp_min", "clamp_max"),
        "Widen the bounds, or drop the clamp: outside of its bounds nothing can be learnt.",
    ),
    "abs": "Move the input a little, or use a smooth stand-in such as sqrt(x * x + 1e-6).",
    "detach": "Leave detach out if the gradient is wanted.",
    "no_grad": "Take the line out of the no_grad block if the gradient is wanted.",
    "div": "If the numerator is 0 for this example only, that is right.",
}
_LEVEL = (
    "At a level point, such as a minimum, 0 is the right gradient. If it is none, start elsewhere."
)

_ON_NOT_FINITE = {
    **dict.fromkeys(("log", "log2", "log10", "log1p"), _LOGARITHM),
    **dict.fromkeys(("sqrt", "cbrt", "hypot"), _ROOT),
    **dict.fromkeys(("div", "reciprocal", "fmod", "remainder", "floor_divide"), _KEEP_OFF_ZERO),
    "pow": (
        "Keep the base away from 0, and above it: a power below 1 has an infinite slope at 0, and "
        "no value below."
    ),
    **dict.fromkeys(("asin", "acos", "atanh"), _DOMAIN),
    "acosh": "Keep the operand above 1, for example with engine.clamp(x, 1.000001, 1e300).",
    **dict.fromkeys(("exp", "exp2", "expm1", "sinh", "cosh"), _EXPONENTIAL),
}


def advice_on_zero(name: str, numbers: Numbers) -> str:
    """What to do about a gradient that died in the operation `name` on these numbers."""
    otherwise = _SMOOTHER if _is_flat(name) else _SCALE if _saturates(name, numbers) else _LEVEL
    return _ON_ZERO.get(name, otherwise)


def advice_on_not_finite(name: str, numbers: Numbers) -> str:
    """What to do about the inf or nan that the operation `name` made of these numbers."""
    if name == "pow" and (numbers[0] > 1.0 or (numbers[0] < -1.0 and numbers[1] % 1.0 == 0.0)):
        return _OVERFLOW
    return _ON_NOT_FINITE.get(name, _OVERFLOW)


def advice_on_huge(name: str, count: int, numbers: Numbers) -> str:
    """What to do about a huge gradient, to which `count` operations `name`, one of them on these
    numbers, contribute most."""
    if name == "pow" and count < 3 and math.fabs(numbers[0]) > 1.0:
        return (
            f"A high power of a number above 1 is steep: scale the base, {number(numbers[0])} here,"
            " towards 1, use a lower power, or work with its logarithm, y * log(x)."
        )
    if name in _ON_NOT_FINITE and count < 3:
        return _ON_NOT_FINITE[name]
    if count < 3:
        return (
            "One large factor: look at what makes that number so large. For inputs, scale them "
            "(nn.data.Standardizer); for a long product, work with its logarithm."
        )
    return (
        "Factors above 1 in a long chain multiply. Clip the gradient (nn.fit(..., clip_norm=1.0)), "
        "make the weights smaller, put a tanh or nn.LayerNorm between the steps, or take fewer."
    )


def advice_on_tiny(name: str, count: int, each: float, numbers: Numbers) -> str:
    """What to do about a tiny gradient, to which `count` operations `name`, each passing on that
    much, contribute most."""
    if _saturates(name, numbers) and each < 0.05:  # 0.25 is the most that a sigmoid passes on
        return _SCALE
    if count < 3:
        return "One small factor: measure the number in larger units, or scale it up where it is."
    return (
        "Factors below 1 in a long chain multiply. Let the signal go around some steps "
        "(x + f(x) instead of f(x)), use nn.ReLU for sigmoid and tanh, or larger weights."
    )


ON_CANCELLED = (
    "If they should cancel (a bias before a softmax or a normalisation, a minimum), all is well. "
    "If not, rewrite the formula so that equal large parts never arise, such as expm1(x) for "
    "exp(x) - 1."
)
ON_UNDERFLOW = "Scale the result up, or work with its logarithm: float64 ends at 5e-324."
ON_UNUSED = "Is the right variable used, and is its result part of what is returned?"
ON_LEFT = (
    "Calculate with the Value itself, and with engine's functions (engine.exp(v), not math.exp), "
    "until the end; for a choice that depends on it, a gradient flows only through the branch."
)
