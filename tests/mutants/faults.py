"""Small faults that can be put into a module, one at a time, and a number that tells each.

A fault is an edit of the source text at a node of its syntax tree: another operator or constant,
a negated condition, arguments in another order, a statement left out. What it leaves alone is what
no test should pin down: docstrings, annotations, messages, imports, decorators.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import tomllib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from trees import ROOT

OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
    ast.FloorDiv: ("//", "/"),
    ast.Mod: ("%", "//"),
    ast.Pow: ("**", "*"),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
    ast.BitXor: ("^", "|"),
    ast.LShift: ("<<", ">>"),
    ast.RShift: (">>", "<<"),
}
COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
TWO_WAYS = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)  # negated by the comparison
ANY_ORDER = {"isinstance", "issubclass", "hasattr", "getattr", "max", "min"}


@dataclass(frozen=True)
class Fault:
    """One edit of a file: the bytes from `start` to `end` become `text`."""

    path: str
    scope: str
    kind: str
    start: int
    end: int
    text: str
    line: int
    lines: tuple[int, int]  # of the statement, or of its head
    before: str = ""
    after: str = ""
    digest: str = ""

    def applied(self, source: str) -> str:
        """Return the source with the fault in it."""
        raw = source.encode()
        return (raw[: self.start] + self.text.encode() + raw[self.end :]).decode()


def faults_of(path: str, source: str) -> list[Fault]:
    """Return every fault that the source of a file can have, in the order of the text.

    The digest of a fault is made of its file, its function and the text before and after, so that
    it stays the same when lines above are added or taken away.
    """
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    seen: Counter[str] = Counter()
    told = []
    for fault in sorted(finder.found, key=lambda fault: (fault.start, fault.end, fault.text)):
        before, after = _lines_around(source, fault)
        place = "\0".join((path, fault.scope, before, after))
        seen[place] += 1
        digest = hashlib.sha256(f"{place}\0{seen[place]}".encode()).hexdigest()[:12]
        told.append(replace(fault, before=before, after=after, digest=digest))
    return told


def chosen(faults: list[Fault], count: int, seed: int) -> list[Fault]:
    """Return so many of the faults, at most one for a line, by a lottery that the seed decides.

    Each fault draws its number from its digest, so that a change of the source elsewhere leaves
    the choice as it was.
    """
    draw = {f: hashlib.sha256(f"{seed} {f.digest}".encode()).hexdigest() for f in faults}
    taken: dict[tuple[str, int], Fault] = {}
    for fault in sorted(faults, key=draw.__getitem__):
        taken.setdefault((fault.path, fault.line), fault)
    return list(taken.values())[:count]


def _lines_around(source: str, fault: Fault) -> tuple[str, str]:
    """The lines that a fault touches, before and after, each without indentation."""
    raw = source.encode()
    first = raw.rfind(b"\n", 0, fault.start) + 1
    last = raw.find(b"\n", fault.end)
    last = len(raw) if last < 0 else last
    before = raw[first:last].decode()
    after = (raw[first : fault.start] + fault.text.encode() + raw[fault.end : last]).decode()
    return tuple(  # type: ignore[return-value]
        "\n".join(line.strip() for line in text.split("\n")) for text in (before, after)
    )


class _Finder(ast.NodeVisitor):
    """Walks a module and notes the edits."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.raw = source.encode()
        self.starts = [0]
        for line in self.raw.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.scope: list[str] = []
        self.lines = (1, 1)
        self.found: list[Fault] = []

    # --- noting -------------------------------------------------------------------------------

    def at(self, node: ast.AST) -> tuple[int, int]:
        """Where the text of a node begins and ends."""
        return (
            self.starts[node.lineno - 1] + node.col_offset,  # type: ignore[attr-defined]
            self.starts[node.end_lineno - 1] + node.end_col_offset,  # type: ignore[attr-defined]
        )

    def text(self, node: ast.AST) -> str:
        start, end = self.at(node)
        return self.raw[start:end].decode()

    def note(self, kind: str, start: int, end: int, text: str) -> None:
        line = self.raw.count(b"\n", 0, start) + 1
        scope = ".".join(self.scope)
        self.found.append(Fault(self.path, scope, kind, start, end, text, line, self.lines))

    def instead(self, kind: str, node: ast.AST, text: str) -> None:
        self.note(kind, *self.at(node), text)

    def between(self, kind: str, left: ast.AST, right: ast.AST, words: tuple[str, str]) -> None:
        """Change the first of the words, which stands between two nodes, to the second."""
        start, end = self.at(left)[1], self.at(right)[0]
        place = self.raw.find(words[0].encode(), start, end)
        self.note(kind, place, place + len(words[0]), words[1])

    # --- walking ------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else node.end_lineno
            self.lines = (node.lineno, max(node.lineno, last or 0))
        super().visit(node)

    def visit_scope(self, node: ast.ClassDef | ast.FunctionDef) -> None:
        """What can be wrong in a definition: its body, and the defaults of its arguments."""
        self.scope.append(node.name)
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            for default in [*arguments.defaults, *arguments.kw_defaults]:
                if default is not None:
                    self.visit(default)
        for statement in node.body:
            self.visit(statement)
        self.scope.pop()

    visit_ClassDef = visit_scope  # noqa: N815
    visit_FunctionDef = visit_scope  # noqa: N815

    def leave(self, node: ast.AST) -> None:
        """Nothing is changed here."""

    visit_Import = visit_ImportFrom = visit_Assert = visit_JoinedStr = leave  # noqa: N815

    def visit_Raise(self, node: ast.Raise) -> None:
        self.instead("statement", node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.instead("statement", node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue | ast.Break | ast.Delete) -> None:
        self.instead("statement", node, "pass")

    visit_Break = visit_Delete = visit_Continue  # noqa: N815

    def visit_Assign(self, node: ast.Assign) -> None:
        target = node.targets[0]
        if isinstance(target, ast.Name) and target.id == "__all__":
            return
        if isinstance(target, ast.Attribute | ast.Subscript):
            self.instead("statement", node, "pass")
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.instead("statement", node, "pass")
        if type(node.op) in OPERATORS:
            self.between("operator", node.target, node.value, OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        sides = (node.left, node.right)
        words = any(isinstance(_leaf(side), ast.JoinedStr) or _is_text(side) for side in sides)
        types = isinstance(node.op, ast.BitOr) and any(_is_type(side) for side in sides)
        if type(node.op) in OPERATORS and not words and not types:
            self.between("operator", *sides, OPERATORS[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.instead("operator", node, self.text(node.operand))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        words = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between("condition", left, right, words)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        sides = [node.left, *node.comparators]
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            self.between("comparison", left, right, COMPARISONS[type(op)])
        for side in sides:
            if _is_text(side):
                self.key(side)
        self.generic_visit(node)

    def visit_If(self, node: ast.If | ast.While | ast.IfExp) -> None:
        if self.text(node.test) == "TYPE_CHECKING":
            return
        self.negated(node.test)
        self.generic_visit(node)

    visit_While = visit_IfExp = visit_If  # noqa: N815

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.negated(test)
        self.generic_visit(node)

    def negated(self, test: ast.expr) -> None:
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return
        if isinstance(test, ast.Compare) and isinstance(test.ops[0], TWO_WAYS):
            return
        self.instead("condition", test, f"(not ({self.text(test)}))")

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.instead("constant", node, str(not value))
        elif isinstance(value, int):
            self.instead("constant", node, str(value + 1))
            if value > 0:
                self.instead("constant", node, str(value - 1))
        elif isinstance(value, float):
            self.instead("constant", node, repr(value + 1.0))
            if value not in (0.0, 1.0):
                self.instead("constant", node, repr(value * 1.01))

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if key is not None and _is_text(key):
                self.key(key)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if _is_text(node.slice):
            self.key(node.slice)
        self.generic_visit(node)

    def key(self, node: ast.AST) -> None:
        self.instead("key", node, self.text(node)[:-1] + "_" + self.text(node)[-1])

    def visit_Slice(self, node: ast.Slice) -> None:
        for bound, change in ((node.lower, "+ 1"), (node.upper, "- 1")):
            if bound is not None and not isinstance(bound, ast.Constant):
                self.instead("bound", bound, f"({self.text(bound)}) {change}")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "cast":
            self.visit(node.args[1])
            return
        if name == "row":  # of the table: where it is to be tried is no part of what it does
            node.args = [arg for arg in node.args if not isinstance(arg, ast.List)]
        starred = any(isinstance(arg, ast.Starred) for arg in node.args)
        if name == "range" and not starred:
            last = node.args[min(1, len(node.args) - 1)]
            self.instead("bound", last, f"({self.text(last)}) - 1")
        if name not in ANY_ORDER and not starred:
            for left, right in zip(node.args, node.args[1:], strict=False):
                self.swapped(left, right)
        # by `strict` a `zip` says what is so anyhow
        node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        for keyword in node.keywords:
            if keyword.arg is not None:
                self.dropped(node, keyword)
        self.generic_visit(node)

    def swapped(self, left: ast.AST, right: ast.AST) -> None:
        if self.text(left) != self.text(right):
            start, end = self.at(left)[1], self.at(right)[0]
            middle = self.raw[start:end].decode()
            text = self.text(right) + middle + self.text(left)
            self.note("order", self.at(left)[0], self.at(right)[1], text)

    def dropped(self, node: ast.Call, keyword: ast.keyword) -> None:
        """A call without one of its keywords; the comma after it goes too."""
        start, end = self.at(keyword)
        after = self.raw[end : self.at(node)[1]]
        end += len(after) - len(after.lstrip(b" \n")) if after.lstrip()[:1] == b"," else 0
        end += self.raw[end : end + 1] == b","
        self.note("keyword", start, end, "")


def _leaf(node: ast.AST) -> ast.AST:
    return _leaf(node.left) if isinstance(node, ast.BinOp) else node


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_type(node: ast.AST) -> bool:
    """Whether a name is one of a class, as in `isinstance(x, int | float)`."""
    if isinstance(node, ast.BinOp):
        return _is_type(node.left) or _is_type(node.right)
    name = getattr(node, "attr", None) or getattr(node, "id", "None")
    return name[:1].isupper() or isinstance(getattr(builtins, name, None), type)


# --- faults that were written by hand -----------------------------------------------------


@dataclass(frozen=True)
class ByHand:
    """A fault of by_hand.toml: a text that a file has once, and another instead."""

    what: str
    path: str
    old: str
    new: str

    digest = property(lambda self: self.what)
    line = property(lambda self: self.lines[0])
    before = property(lambda self: self.old.strip())
    after = property(lambda self: self.new.strip())

    @property
    def lines(self) -> tuple[int, int]:
        """The lines of the old text."""
        source = (ROOT / self.path).read_text()
        first = source[: source.find(self.old)].count("\n") + 1
        return first, first + self.old.strip("\n").count("\n")

    def applied(self, source: str) -> str:
        """Return the source with the fault in it."""
        return source.replace(self.old, self.new)

    @property
    def fits(self) -> bool:
        """Whether the file has the text still, and once."""
        return (ROOT / self.path).read_text().count(self.old) == 1


def by_hand() -> list[ByHand]:
    """Return the faults of by_hand.toml."""
    told = tomllib.loads(Path(__file__).with_name("by_hand.toml").read_text())
    return [ByHand(**fault) for fault in told.get("fault", [])]
