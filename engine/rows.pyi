"""The functions and methods that are made from the table. Written by `make stub`: not by hand."""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar, overload

from engine.value import Value

Number: TypeAlias = Value | float
N = TypeVar("N", Value, float, Value | float)
T = TypeVar("T")

@overload
def add(x: Value, y: Number) -> Value:
    """x + y."""

@overload
def add(x: Number, y: Value) -> Value: ...
@overload
def add(x: N, y: N) -> N: ...
@overload
def sub(x: Value, y: Number) -> Value:
    """x - y."""

@overload
def sub(x: Number, y: Value) -> Value: ...
@overload
def sub(x: N, y: N) -> N: ...

subtract = sub

@overload
def mul(x: Value, y: Number) -> Value:
    """x * y."""

@overload
def mul(x: Number, y: Value) -> Value: ...
@overload
def mul(x: N, y: N) -> N: ...

multiply = mul

@overload
def div(x: Value, y: Number) -> Value:
    """x / y; x / 0 is an infinity of the signs of x and 0, and 0 / 0 is nan."""

@overload
def div(x: Number, y: Value) -> Value: ...
@overload
def div(x: N, y: N) -> N: ...

divide = div
true_divide = div

def neg(x: N) -> N:
    """-x."""

negative = neg

@overload
def pow(x: Value, y: Number) -> Value:
    """x ** y in the reals: nan for x < 0 and y not whole; x ** 0 is 1 at every x."""

@overload
def pow(x: Number, y: Value) -> Value: ...
@overload
def pow(x: N, y: N) -> N: ...

power = pow

def square(x: N) -> N:
    """x * x."""

def reciprocal(x: N) -> N:
    """1 / x; 1 / 0 is an infinity of the zero's sign."""

def sqrt(x: N) -> N:
    """The square root; nan for x < 0. Its derivative at 0 is inf."""

def cbrt(x: N) -> N:
    """The real cube root, of negative numbers too. Its derivative at 0 is inf."""

@overload
def hypot(x: Value, y: Number) -> Value:
    """sqrt(x² + y²) without overflow on the way; the derivatives at (0, 0) are 0."""

@overload
def hypot(x: Number, y: Value) -> Value: ...
@overload
def hypot(x: N, y: N) -> N: ...
@overload
def direction(x: Value, y: Number) -> Value:
    """x / hypot(x, y), the cosine of the angle of the point (x, y); 0 at (0, 0)."""

@overload
def direction(x: Number, y: Value) -> Value: ...
@overload
def direction(x: N, y: N) -> N: ...
def one_minus_square(x: N) -> N:
    """1 - x², as (1 - x) (1 + x): exact near -1 and 1, too."""

@overload
def chain(g: Value, p: Number) -> Value:
    """g * p, but 0 where either is exactly 0, even against inf or nan: for partials at edges."""

@overload
def chain(g: Number, p: Value) -> Value: ...
@overload
def chain(g: N, p: N) -> N: ...
def nothing(g: N) -> N:
    """1 where an adjoint g is -0.0, which says that nothing has arrived, else 0."""

def arrive(g: N) -> N:
    """g as the adjoint that a sweep starts from: nothing (-0.0) where it is exactly 0."""

@overload
def pass_on(g: Value, p: Number) -> Value:
    """g * p as a step of the chain rule: nothing (-0.0) where g is, else a number, never -0.0."""

@overload
def pass_on(g: Number, p: Value) -> Value: ...
@overload
def pass_on(g: N, p: N) -> N: ...
def identity(x: N) -> N:
    """x, as a node of its own."""

def detach(x: N) -> N:
    """Return x as a constant: no gradient flows through it. See `Value.detach`."""

def exp(x: N) -> N:
    """e ** x; inf above 709.78."""

def exp2(x: N) -> N:
    """2 ** x; inf from 1024 on."""

def expm1(x: N) -> N:
    """e ** x - 1, exact for small x too."""

def log(x: N) -> N:
    """The natural logarithm; -inf at 0, nan for x < 0."""

def log1p(x: N) -> N:
    """log(1 + x), exact for small x too; -inf at -1, nan below."""

def log2(x: N) -> N:
    """The logarithm to base 2; -inf at 0, nan for x < 0."""

def log10(x: N) -> N:
    """The logarithm to base 10; -inf at 0, nan for x < 0."""

@overload
def logaddexp(x: Value, y: Number) -> Value:
    """log(e ** x + e ** y) without overflow on the way."""

@overload
def logaddexp(x: Number, y: Value) -> Value: ...
@overload
def logaddexp(x: N, y: N) -> N: ...
@overload
def logaddexp2(x: Value, y: Number) -> Value:
    """log2(2 ** x + 2 ** y) without overflow on the way."""

@overload
def logaddexp2(x: Number, y: Value) -> Value: ...
@overload
def logaddexp2(x: N, y: N) -> N: ...
def log1mexp(x: N) -> N:
    """log(1 - e ** -x), exact for small and large x too; -inf at 0, nan below."""

def sin(x: N) -> N:
    """The sine of x radians; nan at infinities."""

def cos(x: N) -> N:
    """The cosine of x radians; nan at infinities."""

def tan(x: N) -> N:
    """The tangent of x radians; nan at infinities."""

def asin(x: N) -> N:
    """The arc sine in radians, in [-π/2, π/2]; nan outside [-1, 1]."""

arcsin = asin

def acos(x: N) -> N:
    """The arc cosine in radians, in [0, π]; nan outside [-1, 1]."""

arccos = acos

def atan(x: N) -> N:
    """The arc tangent in radians, in [-π/2, π/2]."""

arctan = atan

@overload
def atan2(x: Value, y: Number) -> Value:
    """The angle of the point with ordinate x and abscissa y, in [-π, π]; flat at (0, 0)."""

@overload
def atan2(x: Number, y: Value) -> Value: ...
@overload
def atan2(x: N, y: N) -> N: ...

arctan2 = atan2

def rad2deg(x: N) -> N:
    """An angle of x radians in degrees."""

degrees = rad2deg

def deg2rad(x: N) -> N:
    """An angle of x degrees in radians."""

radians = deg2rad

def sinh(x: N) -> N:
    """(e ** x - e ** -x) / 2."""

def cosh(x: N) -> N:
    """(e ** x + e ** -x) / 2."""

def sech(x: N) -> N:
    """1 / cosh(x), without overflow on the way."""

def asinh(x: N) -> N:
    """The inverse of sinh."""

arcsinh = asinh

def acosh(x: N) -> N:
    """The inverse of cosh, at least 0; nan for x < 1."""

arccosh = acosh

def atanh(x: N) -> N:
    """The inverse of tanh; infinite at -1 and 1, nan beyond."""

arctanh = atanh

def erf(x: N) -> N:
    """The error function."""

def erfc(x: N) -> N:
    """1 - erf(x), exact in the upper tail."""

@overload
def binary_cross_entropy(p: Value, t: Number) -> Value:
    """-(t log p + (1 - t) log(1 - p)) for p in [0, 1], the logarithms not below -100."""

@overload
def binary_cross_entropy(p: Number, t: Value) -> Value: ...
@overload
def binary_cross_entropy(p: N, t: N) -> N: ...
def tanh(x: N) -> N:
    """(e ** x - e ** -x) / (e ** x + e ** -x)."""

def sigmoid(x: N) -> N:
    """1 / (1 + e ** -x), exact in both tails."""

def softplus(x: N) -> N:
    """log(1 + e ** x), exact in both tails."""

def log_sigmoid(x: N) -> N:
    """log(sigmoid(x)), exact in both tails."""

def relu(x: N) -> N:
    """The larger of x and 0; the derivative at 0 is 0."""

@overload
def leaky_relu(x: Value, slope: Number = ...) -> Value:
    """x for x > 0, else slope * x; the derivative at 0 is the slope."""

@overload
def leaky_relu(x: N, slope: Number = ...) -> N: ...
@overload
def elu(x: Value, alpha: Number = ...) -> Value:
    """x for x > 0, else alpha * (e ** x - 1); the derivative at 0 is alpha, the second one 0."""

@overload
def elu(x: N, alpha: Number = ...) -> N: ...
def gelu(x: N) -> N:
    """x * Φ(x) with the exact normal distribution function Φ."""

def silu(x: N) -> N:
    """x * sigmoid(x), also known as swish."""

def abs(x: N) -> N:
    """The absolute value; the derivative at 0 is 0."""

absolute = abs
fabs = abs

def sign(x: N) -> N:
    """-1, 0 or 1, as x is below, at or above 0; the derivative is 0 everywhere."""

def step(x: N) -> N:
    """1 for x > 0, else 0; the derivative is 0 everywhere."""

def floor(x: N) -> N:
    """The largest whole number not above x; the derivative is 0 everywhere."""

def ceil(x: N) -> N:
    """The smallest whole number not below x; the derivative is 0 everywhere."""

def trunc(x: N) -> N:
    """The nearest whole number towards 0; the derivative is 0 everywhere."""

def round(x: N) -> N:
    """The nearest whole number, halves to the even one; the derivative is 0 everywhere."""

rint = round

@overload
def less(x: Value, y: Number) -> Value:
    """1 for x < y, else 0; the derivative is 0 everywhere."""

@overload
def less(x: Number, y: Value) -> Value: ...
@overload
def less(x: N, y: N) -> N: ...
@overload
def less_equal(x: Value, y: Number) -> Value:
    """1 for x <= y, else 0; the derivative is 0 everywhere."""

@overload
def less_equal(x: Number, y: Value) -> Value: ...
@overload
def less_equal(x: N, y: N) -> N: ...
@overload
def equal(x: Value, y: Number) -> Value:
    """1 for x == y, else 0; the derivative is 0 everywhere."""

@overload
def equal(x: Number, y: Value) -> Value: ...
@overload
def equal(x: N, y: N) -> N: ...
@overload
def where(condition: Any, x: Value, y: Number) -> Value:
    """Return x where the condition holds, else y, keeping both in the graph."""

@overload
def where(condition: Any, x: Number, y: Value) -> Value: ...
@overload
def where(condition: Any, x: N, y: N) -> N: ...
@overload
def clamp_min(x: Value, low: Number) -> Value:
    """x, but at least low; the derivative at the bound is 1."""

@overload
def clamp_min(x: Number, low: Value) -> Value: ...
@overload
def clamp_min(x: N, low: N) -> N: ...
@overload
def clamp_max(x: Value, high: Number) -> Value:
    """x, but at most high; the derivative at the bound is 1."""

@overload
def clamp_max(x: Number, high: Value) -> Value: ...
@overload
def clamp_max(x: N, high: N) -> N: ...
@overload
def fmod(x: Value, y: Number) -> Value:
    """x - y * trunc(x / y): the remainder with the sign of x, as C's fmod."""

@overload
def fmod(x: Number, y: Value) -> Value: ...
@overload
def fmod(x: N, y: N) -> N: ...
@overload
def remainder(x: Value, y: Number) -> Value:
    """x - y * floor(x / y): the remainder with the sign of y, as Python's %."""

@overload
def remainder(x: Number, y: Value) -> Value: ...
@overload
def remainder(x: N, y: N) -> N: ...

mod = remainder

@overload
def floor_divide(x: Value, y: Number) -> Value:
    """The largest whole number not above x / y, as Python's //; the derivative is 0 everywhere."""

@overload
def floor_divide(x: Number, y: Value) -> Value: ...
@overload
def floor_divide(x: N, y: N) -> N: ...
def gammaln(x: N) -> N:
    """log |Γ(x)|; inf at 0 and at negative whole numbers, where Γ has its poles."""

lgamma = gammaln

def digamma(x: N) -> N:
    """Γ'(x) / Γ(x); an infinity at 0, nan at negative whole numbers."""

psi = digamma

@overload
def polygamma(n: Value, x: Number) -> Value:
    """The derivative of digamma of order n, a whole number; for x < 0 nan if n is above 4."""

@overload
def polygamma(n: Number, x: Value) -> Value: ...
@overload
def polygamma(n: N, x: N) -> N: ...
@overload
def betaln(x: Value, y: Number) -> Value:
    """log |B(x, y)|, with B(x, y) = Γ(x) Γ(y) / Γ(x + y), without large terms that cancel."""

@overload
def betaln(x: Number, y: Value) -> Value: ...
@overload
def betaln(x: N, y: N) -> N: ...
@overload
def xlogy(x: Value, y: Number) -> Value:
    """x log(y), 0 where x is 0, unless y is nan; its derivative by x at (0, 0) is 0."""

@overload
def xlogy(x: Number, y: Value) -> Value: ...
@overload
def xlogy(x: N, y: N) -> N: ...
@overload
def xlog1py(x: Value, y: Number) -> Value:
    """x log(1 + y), 0 where x is 0, unless y is nan; its derivative by x at (0, -1) is 0."""

@overload
def xlog1py(x: Number, y: Value) -> Value: ...
@overload
def xlog1py(x: N, y: N) -> N: ...
def erfinv(x: N) -> N:
    """The inverse of erf; infinite at -1 and 1, nan beyond."""

def i0(x: N) -> N:
    """The modified Bessel function of the first kind of order 0."""

def i1(x: N) -> N:
    """The modified Bessel function of the first kind of order 1."""

def i0e(x: N) -> N:
    """e ** -|x| I0(x), which does not overflow; the derivative at 0 is 0."""

def i1e(x: N) -> N:
    """e ** -|x| I1(x), which does not overflow."""

@overload
def maximum(x: Value, y: Number, *more: Number) -> Value:
    """Return the largest of two or more operands, or of one sequence; nan if any is nan."""

@overload
def maximum(x: Number, y: Value, *more: Number) -> Value: ...
@overload
def maximum(x: N, y: N, *more: N) -> N: ...
@overload
def maximum(items: Iterable[Value], /) -> Value: ...
@overload
def maximum(items: Iterable[float], /) -> float: ...
@overload
def maximum(items: Iterable[Number], /) -> Number: ...
@overload
def clamp(x: Value, low: Number | None = None, high: Number | None = None) -> Value:
    """Return x, but at least `low` and at most `high`; at a bound the derivative is 1."""

@overload
def clamp(x: N, low: N | None = None, high: N | None = None) -> N: ...
@overload
def sum(terms: Iterable[Value], start: Value | None = None) -> Value:
    """Return the sum of the terms, from the first to the last; 0.0 if there are none."""

@overload
def sum(terms: Iterable[float], start: float | None = None) -> float: ...
@overload
def sum(terms: Iterable[Number], start: Number | None = None) -> Number: ...
@overload
def mean(terms: Iterable[Value]) -> Value:
    """Return the arithmetic mean. Raises ValueError for an empty sequence."""

@overload
def mean(terms: Iterable[float]) -> float: ...
@overload
def mean(terms: Iterable[Number]) -> Number: ...
@overload
def prod(factors: Iterable[Value]) -> Value:
    """Return the product of the factors; 1.0 if there are none. Exact where factors are 0."""

@overload
def prod(factors: Iterable[float]) -> float: ...
@overload
def prod(factors: Iterable[Number]) -> Number: ...
@overload
def norm(xs: Iterable[Value]) -> Value:
    """Return the Euclidean norm, the square root of the sum of squares; its gradient at 0 is 0."""

@overload
def norm(xs: Iterable[float]) -> float: ...
@overload
def norm(xs: Iterable[Number]) -> Number: ...
@overload
def logsumexp(xs: Iterable[Value]) -> Value:
    """Return log(e**x0 + e**x1 + …) without overflow. Raises ValueError for no terms."""

@overload
def logsumexp(xs: Iterable[float]) -> float: ...
@overload
def logsumexp(xs: Iterable[Number]) -> Number: ...
@overload
def softmax(xs: Iterable[Value]) -> list[Value]:
    """Return e**x divided by the sum of these, for each x. Raises ValueError for no terms."""

@overload
def softmax(xs: Iterable[float]) -> list[float]: ...
@overload
def softmax(xs: Iterable[Number]) -> list[Number]: ...
@overload
def log_softmax(xs: Iterable[Value]) -> list[Value]:
    """Return the logarithms of `softmax`, exact in the tails. Raises ValueError for no terms."""

@overload
def log_softmax(xs: Iterable[float]) -> list[float]: ...
@overload
def log_softmax(xs: Iterable[Number]) -> list[Number]: ...
@overload
def dot(xs: Iterable[Value], ys: Iterable[Number], start: Number | None = None) -> Value:
    """Return start + x0*y0 + x1*y1 + …, added from left to right."""

@overload
def dot(xs: Iterable[Number], ys: Iterable[Value], start: Number | None = None) -> Value: ...
@overload
def dot(xs: Iterable[float], ys: Iterable[float], start: float | None = None) -> float: ...
@overload
def dot(xs: Iterable[Number], ys: Iterable[Number], start: Number | None = None) -> Number: ...
def take(sequence: Sequence[T], index: Number) -> T:
    """Return ``sequence[index]``, where the index may be a Value whose number is whole."""

def random() -> Value:
    """Return a number drawn uniformly from [0, 1): a leaf, drawn anew at every evaluation."""

@overload
def minimum(x: Value, y: Number, *more: Number) -> Value:
    """Return the smallest of two or more operands, or of one sequence, as `maximum` does."""

@overload
def minimum(x: Number, y: Value, *more: Number) -> Value: ...
@overload
def minimum(x: N, y: N, *more: N) -> N: ...
@overload
def minimum(items: Iterable[Value], /) -> Value: ...
@overload
def minimum(items: Iterable[float], /) -> float: ...
@overload
def minimum(items: Iterable[Number], /) -> Number: ...

class RowMethods:
    def add(self, y: Number) -> Value:
        """x + y."""
    def sub(self, y: Number) -> Value:
        """x - y."""
    subtract = sub
    def mul(self, y: Number) -> Value:
        """x * y."""
    multiply = mul
    def div(self, y: Number) -> Value:
        """x / y; x / 0 is an infinity of the signs of x and 0, and 0 / 0 is nan."""
    divide = div
    true_divide = div
    def neg(self) -> Value:
        """-x."""
    negative = neg
    def square(self) -> Value:
        """x * x."""
    def reciprocal(self) -> Value:
        """1 / x; 1 / 0 is an infinity of the zero's sign."""
    def sqrt(self) -> Value:
        """The square root; nan for x < 0. Its derivative at 0 is inf."""
    def cbrt(self) -> Value:
        """The real cube root, of negative numbers too. Its derivative at 0 is inf."""
    def hypot(self, y: Number) -> Value:
        """sqrt(x² + y²) without overflow on the way; the derivatives at (0, 0) are 0."""
    def direction(self, y: Number) -> Value:
        """x / hypot(x, y), the cosine of the angle of the point (x, y); 0 at (0, 0)."""
    def one_minus_square(self) -> Value:
        """1 - x², as (1 - x) (1 + x): exact near -1 and 1, too."""
    def chain(self, p: Number) -> Value:
        """g * p, but 0 where either is exactly 0, even against inf or nan: for partials at edges."""
    def nothing(self) -> Value:
        """1 where an adjoint g is -0.0, which says that nothing has arrived, else 0."""
    def arrive(self) -> Value:
        """g as the adjoint that a sweep starts from: nothing (-0.0) where it is exactly 0."""
    def pass_on(self, p: Number) -> Value:
        """g * p as a step of the chain rule: nothing (-0.0) where g is, else a number, never -0.0."""
    def identity(self) -> Value:
        """x, as a node of its own."""
    def exp(self) -> Value:
        """e ** x; inf above 709.78."""
    def exp2(self) -> Value:
        """2 ** x; inf from 1024 on."""
    def expm1(self) -> Value:
        """e ** x - 1, exact for small x too."""
    def log(self) -> Value:
        """The natural logarithm; -inf at 0, nan for x < 0."""
    def log1p(self) -> Value:
        """log(1 + x), exact for small x too; -inf at -1, nan below."""
    def log2(self) -> Value:
        """The logarithm to base 2; -inf at 0, nan for x < 0."""
    def log10(self) -> Value:
        """The logarithm to base 10; -inf at 0, nan for x < 0."""
    def logaddexp(self, y: Number) -> Value:
        """log(e ** x + e ** y) without overflow on the way."""
    def logaddexp2(self, y: Number) -> Value:
        """log2(2 ** x + 2 ** y) without overflow on the way."""
    def log1mexp(self) -> Value:
        """log(1 - e ** -x), exact for small and large x too; -inf at 0, nan below."""
    def sin(self) -> Value:
        """The sine of x radians; nan at infinities."""
    def cos(self) -> Value:
        """The cosine of x radians; nan at infinities."""
    def tan(self) -> Value:
        """The tangent of x radians; nan at infinities."""
    def asin(self) -> Value:
        """The arc sine in radians, in [-π/2, π/2]; nan outside [-1, 1]."""
    arcsin = asin
    def acos(self) -> Value:
        """The arc cosine in radians, in [0, π]; nan outside [-1, 1]."""
    arccos = acos
    def atan(self) -> Value:
        """The arc tangent in radians, in [-π/2, π/2]."""
    arctan = atan
    def atan2(self, y: Number) -> Value:
        """The angle of the point with ordinate x and abscissa y, in [-π, π]; flat at (0, 0)."""
    arctan2 = atan2
    def rad2deg(self) -> Value:
        """An angle of x radians in degrees."""
    degrees = rad2deg
    def deg2rad(self) -> Value:
        """An angle of x degrees in radians."""
    radians = deg2rad
    def sinh(self) -> Value:
        """(e ** x - e ** -x) / 2."""
    def cosh(self) -> Value:
        """(e ** x + e ** -x) / 2."""
    def sech(self) -> Value:
        """1 / cosh(x), without overflow on the way."""
    def asinh(self) -> Value:
        """The inverse of sinh."""
    arcsinh = asinh
    def acosh(self) -> Value:
        """The inverse of cosh, at least 0; nan for x < 1."""
    arccosh = acosh
    def atanh(self) -> Value:
        """The inverse of tanh; infinite at -1 and 1, nan beyond."""
    arctanh = atanh
    def erf(self) -> Value:
        """The error function."""
    def erfc(self) -> Value:
        """1 - erf(x), exact in the upper tail."""
    def binary_cross_entropy(self, t: Number) -> Value:
        """-(t log p + (1 - t) log(1 - p)) for p in [0, 1], the logarithms not below -100."""
    def tanh(self) -> Value:
        """(e ** x - e ** -x) / (e ** x + e ** -x)."""
    def sigmoid(self) -> Value:
        """1 / (1 + e ** -x), exact in both tails."""
    def softplus(self) -> Value:
        """log(1 + e ** x), exact in both tails."""
    def log_sigmoid(self) -> Value:
        """log(sigmoid(x)), exact in both tails."""
    def relu(self) -> Value:
        """The larger of x and 0; the derivative at 0 is 0."""
    def leaky_relu(self, slope: Number = ...) -> Value:
        """x for x > 0, else slope * x; the derivative at 0 is the slope."""
    def elu(self, alpha: Number = ...) -> Value:
        """x for x > 0, else alpha * (e ** x - 1); the derivative at 0 is alpha, the second one 0."""
    def gelu(self) -> Value:
        """x * Φ(x) with the exact normal distribution function Φ."""
    def silu(self) -> Value:
        """x * sigmoid(x), also known as swish."""
    def abs(self) -> Value:
        """The absolute value; the derivative at 0 is 0."""
    absolute = abs
    fabs = abs
    def sign(self) -> Value:
        """-1, 0 or 1, as x is below, at or above 0; the derivative is 0 everywhere."""
    def step(self) -> Value:
        """1 for x > 0, else 0; the derivative is 0 everywhere."""
    def floor(self) -> Value:
        """The largest whole number not above x; the derivative is 0 everywhere."""
    def ceil(self) -> Value:
        """The smallest whole number not below x; the derivative is 0 everywhere."""
    def trunc(self) -> Value:
        """The nearest whole number towards 0; the derivative is 0 everywhere."""
    def round(self) -> Value:
        """The nearest whole number, halves to the even one; the derivative is 0 everywhere."""
    rint = round
    def less(self, y: Number) -> Value:
        """1 for x < y, else 0; the derivative is 0 everywhere."""
    def less_equal(self, y: Number) -> Value:
        """1 for x <= y, else 0; the derivative is 0 everywhere."""
    def equal(self, y: Number) -> Value:
        """1 for x == y, else 0; the derivative is 0 everywhere."""
    def maximum(self, y: Number) -> Value:
        """The larger of x and y, nan if either is; equal operands get half of the gradient each."""
    def minimum(self, y: Number) -> Value:
        """The smaller of x and y, nan if either is; equal operands get half of the gradient each."""
    def clamp_min(self, low: Number) -> Value:
        """x, but at least low; the derivative at the bound is 1."""
    def clamp_max(self, high: Number) -> Value:
        """x, but at most high; the derivative at the bound is 1."""
    def fmod(self, y: Number) -> Value:
        """x - y * trunc(x / y): the remainder with the sign of x, as C's fmod."""
    def remainder(self, y: Number) -> Value:
        """x - y * floor(x / y): the remainder with the sign of y, as Python's %."""
    mod = remainder
    def floor_divide(self, y: Number) -> Value:
        """The largest whole number not above x / y, as Python's //; the derivative is 0 everywhere."""
    def gammaln(self) -> Value:
        """log |Γ(x)|; inf at 0 and at negative whole numbers, where Γ has its poles."""
    lgamma = gammaln
    def digamma(self) -> Value:
        """Γ'(x) / Γ(x); an infinity at 0, nan at negative whole numbers."""
    psi = digamma
    def betaln(self, y: Number) -> Value:
        """log |B(x, y)|, with B(x, y) = Γ(x) Γ(y) / Γ(x + y), without large terms that cancel."""
    def xlogy(self, y: Number) -> Value:
        """x log(y), 0 where x is 0, unless y is nan; its derivative by x at (0, 0) is 0."""
    def xlog1py(self, y: Number) -> Value:
        """x log(1 + y), 0 where x is 0, unless y is nan; its derivative by x at (0, -1) is 0."""
    def erfinv(self) -> Value:
        """The inverse of erf; infinite at -1 and 1, nan beyond."""
    def i0(self) -> Value:
        """The modified Bessel function of the first kind of order 0."""
    def i1(self) -> Value:
        """The modified Bessel function of the first kind of order 1."""
    def i0e(self) -> Value:
        """e ** -|x| I0(x), which does not overflow; the derivative at 0 is 0."""
    def i1e(self) -> Value:
        """e ** -|x| I1(x), which does not overflow."""
    def __add__(self, other: Number) -> Value: ...
    def __radd__(self, other: Number) -> Value: ...
    def __sub__(self, other: Number) -> Value: ...
    def __rsub__(self, other: Number) -> Value: ...
    def __mul__(self, other: Number) -> Value: ...
    def __rmul__(self, other: Number) -> Value: ...
    def __truediv__(self, other: Number) -> Value: ...
    def __rtruediv__(self, other: Number) -> Value: ...
    def __mod__(self, other: Number) -> Value: ...
    def __rmod__(self, other: Number) -> Value: ...
    def __floordiv__(self, other: Number) -> Value: ...
    def __rfloordiv__(self, other: Number) -> Value: ...
    def __rpow__(self, other: Number) -> Value: ...
    def __neg__(self) -> Value: ...
    def __abs__(self) -> Value: ...
    def __floor__(self) -> Value: ...
    def __ceil__(self) -> Value: ...
    def __trunc__(self) -> Value: ...
