"""Loops over columns, written once in Python, that run as machine code where there are many nodes.

A pass over a tape that must go node by node (what was computed before? which level is the latest
one?) is a function of columns and whole numbers, decorated with `loop`. For few nodes Python runs
it as it stands; for many it is translated to LLVM's language, statement by statement, so that both
say the same. What can be translated is little: whole numbers of 64 bits, columns by
index, `if`, `while`, `for` over a range, and calls of other loops of the same file. Annotations
tell the types.

>>> @loop
... def running_sum(x: Ints, total: Longs, n: int) -> int:
...     so_far = 0
...     for i in range(n):
...         so_far += x[i]
...         total[i] = so_far
...     return so_far
>>> total = [0, 0, 0]
>>> running_sum.over(3)([1, 2, 3], total, 3), total
(6, [1, 3, 6])
"""

from __future__ import annotations

import ast
import ctypes
import inspect
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from engine import locks
from engine.compiled import objects

MANY = 1_000  # nodes from which on machine code is worth being loaded
# A column's type, as annotations name it, with NumPy's and LLVM's; all numbers are then 64 bits.
Bytes: TypeAlias = Any
Shorts: TypeAlias = Any
Ints: TypeAlias = Any
Longs: TypeAlias = Any
_COLUMNS = {
    "Bytes": (np.dtype(np.uint8), "i8"),
    "Shorts": (np.dtype(np.int16), "i16"),
    "Ints": (np.dtype(np.int32), "i32"),
    "Longs": (np.dtype(np.int64), "i64"),
}
_lock = locks.freed()
_kept_alive: dict[str, objects.Code] = {}  # the machine code of each module's loops


class PlainLoop:
    """A function over columns that can become machine code; called, it is the plain function."""

    def __init__(self, plain: Callable[..., int]) -> None:
        self.plain, self.name, self.module = plain, plain.__name__, plain.__module__
        annotations = inspect.get_annotations(plain)
        self.types = [str(t) for name, t in annotations.items() if name != "return"]
        self._native: Callable[..., int] | None = None

    def __call__(self, *args: Any) -> int:
        return self.plain(*args)

    def over(self, count: int) -> Callable[..., int]:
        """The way to run it for so many nodes: the plain function, best on lists, for few; machine
        code on NumPy's columns for many (see `is_worth_it`)."""
        if not is_worth_it(count):
            return self.plain
        if self._native is None:
            _load(self.module)
        return self._run

    def on_columns(self, count: int) -> Callable[..., int]:
        """The same for who has NumPy's columns in any case."""
        return self.over(count) if is_worth_it(count) else self._on_lists

    def _on_lists(self, *args: Any) -> int:
        """The plain function on lists, as NumPy's numbers may overflow; these fill the columns."""
        given = [x.tolist() if isinstance(x, np.ndarray) else x for x in args]
        found = self.plain(*given)
        for x, after in zip(args, given, strict=True):
            if isinstance(x, np.ndarray):
                x[...] = after
        return found

    def _run(self, *args: Any) -> int:
        """The machine code. Columns must be what their annotations say, and no two the same."""
        given = []
        for x, kind in zip(args, self.types, strict=True):
            if kind in _COLUMNS:
                if x.dtype != _COLUMNS[kind][0] or not x.flags.c_contiguous:
                    raise TypeError(f"{self.name} takes {kind}, not a column of {x.dtype}")
                given.append(x.ctypes.data)
            else:
                given.append(x)
        assert self._native is not None
        return self._native(*given)


def is_worth_it(count: int) -> bool:
    """Whether so many nodes are worth NumPy's columns and machine code."""
    return count >= MANY and not objects.DISABLED


def loop(plain: Callable[..., int]) -> PlainLoop:
    """Make a loop of a function: see the module."""
    return PlainLoop(plain)


def _loops(module: str) -> dict[str, PlainLoop]:
    return {x.name: x for x in vars(sys.modules[module]).values() if isinstance(x, PlainLoop)}


def _load(module: str) -> None:
    """Have all loops of a module as machine code, kept on disk by what they depend on."""
    with _lock:
        loops = {name: x for name, x in _loops(module).items() if x.module == module}
        if module not in _kept_alive:
            numbers = {n: x for n, x in vars(sys.modules[module]).items() if isinstance(x, int)}
            file = sys.modules[module].__file__
            assert file is not None
            told = [Path(path).read_text(encoding="utf-8") for path in (file, __file__)]

            def make() -> tuple[Any, str]:
                texts = [_Translation(x, loops).text() for x in loops.values()]
                return None, objects.optimised("\n".join(texts))

            _kept_alive[module] = objects.code(repr([told, sorted(numbers.items())]), make)[1]
        for x in loops.values():
            shape: list[Any] = [
                ctypes.c_void_p if kind in _COLUMNS else ctypes.c_int64 for kind in x.types
            ]
            address = _kept_alive[module].address(x.name)
            x._native = ctypes.CFUNCTYPE(ctypes.c_int64, *shape)(address)


# --- the translation --------------------------------------------------------------------------

_Number = tuple[str, str]  # LLVM's type, i64 or i1, and its name for the number
_OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.BitAnd: "and",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.LShift: "shl",
    ast.RShift: "ashr",
}
_COMPARISONS = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "slt",
    ast.LtE: "sle",
    ast.Gt: "sgt",
    ast.GtE: "sge",
}


class _Translation:
    """One loop in LLVM's language. Variables live on the stack, until LLVM's passes lift them."""

    def __init__(self, source: PlainLoop, loops: dict[str, PlainLoop]) -> None:
        self.loop, self.loops = source, loops
        self.globals: dict[str, Any] = vars(sys.modules[source.module])
        tree = ast.parse(textwrap.dedent(inspect.getsource(source.plain))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        self.tree = tree
        self.lines: list[str] = []
        self.slots: dict[str, None] = {}  # variables
        self.columns: dict[str, str] = {}  # columns, and the types of their entries
        self.block = "entry.0"
        self.count = 0
        self.around: list[tuple[str, str]] = []  # of loops: where to continue, and where they end

    def text(self) -> str:
        """The function's text."""
        parameters, entries = [], []
        for argument, kind in zip(self.tree.args.args, self.loop.types, strict=True):
            name = argument.arg
            if kind in _COLUMNS:
                self.columns[name] = _COLUMNS[kind][1]
                parameters.append(f"ptr noalias %{name}")
            else:
                self.slots[name] = None
                parameters.append(f"i64 %{name}.in")
                entries.append(f"store i64 %{name}.in, ptr %{name}")
        self.body(self.tree.body)
        self.add("ret i64 0")
        slots = [f"%{name} = alloca i64" for name in self.slots]
        inside = "\n  ".join(["entry.0:", *slots, *entries, *self.lines])
        return f"define i64 @{self.loop.name}({', '.join(parameters)}) {{\n  {inside}\n}}"

    # --- lines ---

    def add(self, line: str) -> None:
        self.lines.append(line)

    def new(self, line: str) -> str:
        """A line with a result; return the result's name."""
        self.count += 1
        self.add(f"%t{self.count} = {line}")
        return f"%t{self.count}"

    def labels(self, *names: str) -> list[str]:
        self.count += 1
        return [f"{name}.{self.count}" for name in names]  # no variable is called so

    def begin(self, label: str) -> None:
        """Begin a block; the one before goes on into it."""
        self.add(f"br label %{label}")
        self.add(f"{label}:")
        self.block = label

    def branch(self, condition: str, yes: str, no: str) -> None:
        self.add(f"br i1 {condition}, label %{yes}, label %{no}")
        self.add(f"{yes}:")
        self.block = yes

    def leave(self, line: str) -> None:
        """A line that ends the block; what follows it is never reached."""
        self.add(line)
        [after] = self.labels("after")
        self.add(f"{after}:")
        self.block = after

    # --- statements ---

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            visit = getattr(self, "on_" + type(statement).__name__.lower(), None)
            if visit is None:
                raise self.refused(statement)
            visit(statement)

    def refused(self, node: ast.AST) -> TypeError:
        return TypeError(f"{self.loop.name} can't be translated: {ast.unparse(node)}")

    def on_expr(self, s: ast.Expr) -> None:
        if not isinstance(s.value, ast.Constant):  # a docstring
            self.number(s.value)

    def on_pass(self, s: ast.Pass) -> None:
        pass

    def on_assign(self, s: ast.Assign) -> None:
        number = self.whole(s.value)
        for target in s.targets:
            self.store(target, number)

    def on_augassign(self, s: ast.AugAssign) -> None:
        self.store(s.target, self.whole(ast.BinOp(s.target, s.op, s.value)))

    def store(self, target: ast.expr, value: str) -> None:
        if isinstance(target, ast.Name):
            self.slots[target.id] = None
            self.add(f"store i64 {value}, ptr %{target.id}")
        elif isinstance(target, ast.Subscript):
            place, kind = self.place(target)
            if kind != "i64":
                value = self.new(f"trunc i64 {value} to {kind}")
            self.add(f"store {kind} {value}, ptr {place}")
        else:
            raise self.refused(target)

    def place(self, target: ast.Subscript) -> tuple[str, str]:
        """The address of a column's entry, and its type."""
        assert isinstance(target.value, ast.Name)
        column, kind = target.value.id, self.columns[target.value.id]
        index = self.whole(target.slice)
        return self.new(f"getelementptr {kind}, ptr %{column}, i64 {index}"), kind

    def on_if(self, s: ast.If) -> None:
        then, other, end = self.labels("then", "else", "end")
        self.branch(self.condition(s.test), then, other)
        self.body(s.body)
        self.add(f"br label %{end}")
        self.add(f"{other}:")
        self.block = other
        self.body(s.orelse)
        self.begin(end)

    def on_while(self, s: ast.While) -> None:
        head, inside, end = self.labels("while", "do", "done")
        self.begin(head)
        self.branch(self.condition(s.test), inside, end)
        self.around.append((head, end))
        self.body(s.body)
        self.around.pop()
        self.add(f"br label %{head}")
        self.add(f"{end}:")
        self.block = end

    def on_for(self, s: ast.For) -> None:
        if not (isinstance(s.iter, ast.Call) and ast.unparse(s.iter.func) == "range"):
            raise self.refused(s.iter)
        bounds = [self.whole(x) for x in s.iter.args]
        first, last = ("0", bounds[0]) if len(bounds) == 1 else bounds[:2]
        step = bounds[2] if len(bounds) == 3 else "1"  # written as a number
        counter = f"at.{self.count}"
        self.slots[counter] = None
        self.add(f"store i64 {first}, ptr %{counter}")
        head, inside, next_, end = self.labels("for", "do", "next", "done")
        self.begin(head)
        now = self.new(f"load i64, ptr %{counter}")
        compare = "sgt" if step.startswith("-") else "slt"
        self.branch(self.new(f"icmp {compare} i64 {now}, {last}"), inside, end)
        self.store(s.target, now)
        self.around.append((next_, end))
        self.body(s.body)
        self.around.pop()
        self.begin(next_)
        after = self.new(f"add i64 {now}, {step}")
        self.add(f"store i64 {after}, ptr %{counter}")
        self.add(f"br label %{head}")
        self.add(f"{end}:")
        self.block = end

    def on_continue(self, s: ast.Continue) -> None:
        self.leave(f"br label %{self.around[-1][0]}")

    def on_break(self, s: ast.Break) -> None:
        self.leave(f"br label %{self.around[-1][1]}")

    def on_return(self, s: ast.Return) -> None:
        self.leave(f"ret i64 {self.whole(s.value) if s.value else 0}")

    # --- expressions ---

    def number(self, e: ast.expr) -> _Number:
        visit = getattr(self, "of_" + type(e).__name__.lower(), None)
        if visit is None:
            raise self.refused(e)
        found: _Number = visit(e)
        return found

    def whole(self, e: ast.expr) -> str:
        kind, name = self.number(e)
        return name if kind == "i64" else self.new(f"zext i1 {name} to i64")

    def condition(self, e: ast.expr) -> str:
        kind, name = self.number(e)
        return name if kind == "i1" else self.new(f"icmp ne i64 {name}, 0")

    def of_constant(self, e: ast.Constant) -> _Number:
        if not isinstance(e.value, int):
            raise self.refused(e)
        return "i64", str(int(e.value))

    def of_name(self, e: ast.Name) -> _Number:
        if e.id not in self.slots:
            return self.of_constant(ast.Constant(self.globals[e.id]))
        return "i64", self.new(f"load i64, ptr %{e.id}")

    def of_subscript(self, e: ast.Subscript) -> _Number:
        place, kind = self.place(e)
        found = self.new(f"load {kind}, ptr {place}")
        if kind == "i64":
            return kind, found
        return "i64", self.new(f"{'zext' if kind == 'i8' else 'sext'} {kind} {found} to i64")

    def of_binop(self, e: ast.BinOp) -> _Number:
        if type(e.op) not in _OPERATORS:
            raise self.refused(e)
        a, b = self.whole(e.left), self.whole(e.right)
        return "i64", self.new(f"{_OPERATORS[type(e.op)]} i64 {a}, {b}")

    def of_unaryop(self, e: ast.UnaryOp) -> _Number:
        if isinstance(e.op, ast.Not):
            return "i1", self.new(f"xor i1 {self.condition(e.operand)}, true")
        if isinstance(e.op, ast.USub) and isinstance(e.operand, ast.Constant):
            x: Any = e.operand.value
            return self.of_constant(ast.Constant(-x))
        y = self.whole(e.operand)
        line = f"sub i64 0, {y}" if isinstance(e.op, ast.USub) else f"xor i64 {y}, -1"
        return "i64", self.new(line)

    def of_compare(self, e: ast.Compare) -> _Number:
        [op], [right] = e.ops, e.comparators
        if isinstance(op, ast.In) and isinstance(right, ast.Tuple):
            either = [ast.Compare(e.left, [ast.Eq()], [x]) for x in right.elts]
            return self.of_boolop(ast.BoolOp(ast.Or(), list(either)))
        a, b = self.whole(e.left), self.whole(right)
        return "i1", self.new(f"icmp {_COMPARISONS[type(op)]} i64 {a}, {b}")

    def of_boolop(self, e: ast.BoolOp) -> _Number:
        """`and` and `or`: what is behind them is looked at only where it matters."""
        both = isinstance(e.op, ast.And)
        [end] = self.labels("known")
        known = []
        for value in e.values[:-1]:
            found = self.condition(value)
            known.append(f"[ {'false' if both else 'true'}, %{self.block} ]")
            [more] = self.labels("more")
            self.add(
                f"br i1 {found}, label %{more if both else end}, label %{end if both else more}"
            )
            self.add(f"{more}:")
            self.block = more
        last = self.condition(e.values[-1])
        known.append(f"[ {last}, %{self.block} ]")
        self.begin(end)
        return "i1", self.new(f"phi i1 {', '.join(known)}")

    def of_ifexp(self, e: ast.IfExp) -> _Number:
        then, other, end = self.labels("then", "else", "end")
        self.branch(self.condition(e.test), then, other)
        a, from_a = self.whole(e.body), self.block
        self.add(f"br label %{end}")
        self.add(f"{other}:")
        self.block = other
        b, from_b = self.whole(e.orelse), self.block
        self.begin(end)
        return "i64", self.new(f"phi i64 [ {a}, %{from_a} ], [ {b}, %{from_b} ]")

    def of_call(self, e: ast.Call) -> _Number:
        assert isinstance(e.func, ast.Name)
        called = self.loops.get(e.func.id)
        if called is None:
            raise self.refused(e)
        given = []
        for argument, kind in zip(e.args, called.types, strict=True):
            if kind in _COLUMNS:
                assert isinstance(argument, ast.Name)
                given.append(f"ptr %{argument.id}")
            else:
                given.append(f"i64 {self.whole(argument)}")
        return "i64", self.new(f"call i64 @{called.name}({', '.join(given)})")
