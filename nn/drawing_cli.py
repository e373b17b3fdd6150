"""`gradloom draw FILE.py:NAME`: the graph of a function, a Value or a model, without a notebook.

The file is imported, not run as a script: what stands below ``if __name__ == "__main__"`` is left
out. What it prints goes to the standard error, so that the standard output is the picture's.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import engine
from engine import Value
from engine.files import check_folder_of, write_whole
from engine.lines import argument_names, named_leaves
from engine.trees import flatten, flatten_argument
from engine.value import computed_leaf
from nn.module import Module

_BINARY = ("png", "pdf")
_EXAMPLES = """examples:
  gradloom draw model.py:loss --args 1.5 "[0.5, -2]" --out graph.svg
  gradloom draw model.py:model --args 0.5 -2 --out graph.png
  gradloom draw model.py:y --format dot | dot -Tpdf > graph.pdf
"""


class _ProblemError(ValueError):
    """What is wrong with the arguments, or with the user's file."""


def main(arguments: Sequence[str]) -> int:
    """Draw what the arguments ask for, and return 0. What is wrong with these or the file is a
    ValueError, DrawingError, GraphError, ImportError or OSError, to be told in one line.

    A wrong call ends the process with 2, as argparse does.
    """
    rest, numbers = _split(arguments)
    chosen = _parser().parse_args(rest)
    if chosen.out is not None:
        check_folder_of(chosen.out)  # before the file's own work
    with contextlib.redirect_stdout(sys.stderr):
        roots = _roots(chosen.what, numbers)
        if chosen.grad:
            _differentiate(roots)
    names = ("rankdir", "theme", "color", "path", "depth", "limit")
    given = {name: getattr(chosen, name) for name in names}
    options = {name: option for name, option in given.items() if option is not None}
    _deliver(engine.draw(roots, **options), chosen.out, chosen.format)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gradloom draw",
        description="Draw the graph of a function, a Value or a model that a Python file has.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="FILE.py:NAME", help="the file, and a name in it")
    parser.add_argument(
        "--args",
        nargs="*",
        metavar="ARG",
        help="the arguments, as Python writes them: numbers become Values with the parameters' "
        "names, lists stay lists; for a model, its one example",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the picture to this file")
    parser.add_argument("--format", help="svg, png, pdf, dot, ...; default: the ending of --out")
    parser.add_argument("--rankdir", help="LR from left to right, TB from top to bottom")
    parser.add_argument("--theme", help="light, dark, or auto")
    parser.add_argument("--color", help="shade boxes by their value, gradient or derivative")
    parser.add_argument(
        "--path", action="store_true", default=None, help="show the strongest path of the gradient"
    )
    parser.add_argument("--depth", type=int, help="levels of frames; what is below one is a box")
    parser.add_argument("--limit", type=int, help="boxes at most; a larger graph is folded")
    parser.add_argument(
        "--grad",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run backward first, so that the picture shows gradients (default)",
    )
    return parser


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Take what follows --args out: argparse would take -1e-3 for an option."""
    given = list(arguments)
    if "--args" not in given:
        return given, None
    begin = given.index("--args")
    end = begin + 1
    while end < len(given) and not given[end].startswith("--"):
        end += 1
    return given[:begin] + given[end:], given[begin + 1 : end]


# --- what to draw -------------------------------------------------------------------------------


def _roots(what: str, numbers: list[str] | None) -> list[Value]:
    """The Values to draw: the one named, or what the function or model named returns."""
    file, colon, name = what.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise _ProblemError(f"write FILE.py:NAME, such as model.py:loss, not {what!r}")
    path = Path(file)
    if not path.is_file():
        raise _ProblemError(f"there is no file {file}")
    with _imported(path) as module:
        if not hasattr(module, name):
            raise _ProblemError(f"{file} has no {name!r}; it has {_names(module)}")
        found = getattr(module, name)
        if isinstance(found, Value):
            if numbers is not None:
                raise _ProblemError(f"{name} is a Value, which takes no --args; name a function")
            return [found]
        if not callable(found):
            raise _ProblemError(
                f"{name} is a {type(found).__name__}; what can be drawn is a Value, a model, or a "
                "function that returns a Value"
            )
        arguments = [_parsed(text) for text in numbers or []]
        with _told(name, path):
            if isinstance(found, Module):
                result = _run_model(found, name, arguments)
            else:
                result = _run_function(found, name, arguments)
    return _values(name, result)


def _names(module: ModuleType) -> str:
    """What a file has to draw."""
    names = [
        name
        for name, item in vars(module).items()
        if not name.startswith("_")
        and (
            isinstance(item, Value | Module)
            or (inspect.isfunction(item) and item.__module__ == module.__name__)
        )
    ]
    return ", ".join(names) if names else "no function, Value or model"


@contextlib.contextmanager
def _imported(path: Path) -> Iterator[ModuleType]:
    """The file as a module, while the files beside it can be imported."""
    name = f"_drawn_{path.stem}"  # not the stem: a file may have the name of a library
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    sys.modules[name] = module
    try:
        with _told("importing it", path):
            spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(folder)
        del sys.modules[name]


@contextlib.contextmanager
def _told(what: str, path: Path) -> Iterator[None]:
    """Have whatever the user's code raises told in a line, with the place in its file."""
    try:
        yield
    except (_ProblemError, KeyboardInterrupt):
        raise
    except SyntaxError as error:
        raise _ProblemError(f"{path}:{error.lineno}: {error.msg}") from None
    except BaseException as error:
        if not isinstance(error, Exception | SystemExit):
            raise
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if Path(frame.filename).resolve() == path.resolve()
        ]
        place = f"{path}:{lines[-1]}" if lines else str(path)
        raise _ProblemError(f"{what} raised {type(error).__name__}, at {place}: {error}") from None


def _parsed(text: str) -> Any:
    """An argument as Python writes it: a number, a list, a string in quotes, True, None."""
    try:
        return float(text)  # also inf, nan, 1e3
    except ValueError:
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise _ProblemError(
            f"the argument {text!r} is no number, and no list or string as Python writes it; "
            'in a shell, put quotes around it: "[1.0, 2.0]" or "\'text\'"'
        ) from None


def _run_function(function: Any, name: str, arguments: list[Any]) -> Any:
    try:
        shape = inspect.signature(function)
    except (TypeError, ValueError):
        shape = None
    if shape is not None:
        try:
            shape.bind(*arguments)
        except TypeError as error:
            count = len(arguments)
            raise _ProblemError(
                f"{name}{shape} does not fit {count} argument{'' if count == 1 else 's'}: {error}; "
                "give each after --args"
            ) from None
    names = argument_names(function, len(arguments))
    return function(*map(_labelled, arguments, names))


def _labelled(argument: Any, name: str) -> Any:
    """The argument with Values for its numbers, labelled as the parameter: x, or p[0], p[1]."""
    flat = flatten_argument(argument)
    if flat is None:
        return argument
    leaves, rebuild = flat
    names = [named for named, _ in named_leaves(argument, name)]
    return rebuild([computed_leaf(x, label) for x, label in zip(leaves, names, strict=True)])


def _run_model(model: Module, name: str, arguments: list[Any]) -> Any:
    if not arguments:
        raise _ProblemError(f"{name} is a model and needs an example: --args 0.5 -1.0")
    model.label_parameters()
    if all(isinstance(argument, float) for argument in arguments):
        arguments = [arguments]  # the numbers of one example
    names = ["x"] if len(arguments) == 1 else [f"x{i}" for i in range(len(arguments))]
    return model(*map(_labelled, arguments, names))


def _values(name: str, result: Any) -> list[Value]:
    if result is None:
        raise _ProblemError(f"{name} returned None; does it lack a return statement?")
    try:
        leaves = flatten(result)[0]
    except TypeError as error:
        raise _ProblemError(f"{name} returned what can't be drawn: {error}") from None
    roots = [leaf for leaf in leaves if isinstance(leaf, Value)]
    if not roots:
        raise _ProblemError(
            f"{name} returned {result!r}, which is no Value, so there is no graph; does it turn "
            "its numbers into floats on the way, or get none by --args?"
        )
    return roots


def _differentiate(roots: list[Value]) -> None:
    """Put the gradient of the sum of the roots into their graphs, unless the file did that."""
    if any(root.grad for root in roots):
        return
    for node in engine.trace(engine.sum(roots))[0]:
        if node.op is None:
            node.grad = 0.0
    total = engine.sum(roots)
    total.backward()


# --- where to ---------------------------------------------------------------------------------


def _deliver(drawing: Any, out: Path | None, format: str | None) -> None:
    """Write the picture to a file and print its path, or print it as text."""
    if out is None:
        if format in _BINARY:
            raise _ProblemError(f"a picture in {format} needs a file: --out graph.{format}")
        _print(drawing.render(format or "txt"), is_file=format not in (None, "txt"))
        return
    format = format or out.suffix.lstrip(".").lower() or drawing.format
    if not out.suffix:
        out = out.with_name(f"{out.name}.{format}")
    write_whole(out, drawing.render(format))
    print(out)


def _print(content: bytes, *, is_file: bool) -> None:
    """Print a text; or the content of a file, which says its encoding itself."""
    if not is_file or not hasattr(sys.stdout, "buffer"):
        print(content.decode(), end="")
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
