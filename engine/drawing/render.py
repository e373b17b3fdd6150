"""From Graphviz source to a picture, with whatever renderer this machine has.

In this order: the `dot` program on the PATH, pygraphviz (which brings Graphviz as a library), and
graphviz-pure (which brings one program). Without any, a `Drawing` still has its source, and says
what to install.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from engine.errors import DrawingError
from engine.files import write_whole

FORMATS = ("svg", "png", "pdf", "dot")
HINT = (
    "no renderer for graphs was found; pip install 'gradloom[viz]', or install Graphviz "
    "(apt install graphviz, brew install graphviz)"
)


class Drawing:
    """A picture of a graph, which shows itself in Jupyter.

    `source` is its text in Graphviz's language.
    """

    def __init__(self, source: str, format: str = "svg") -> None:
        _check_format(format)
        self.source = source
        self.format = format

    def __repr__(self) -> str:
        return f"Drawing({len(self.source.splitlines())} lines of DOT; see .source, .save(path))"

    def render(self, format: str | None = None) -> bytes:
        """Return the picture as a file's content: "svg", "png", "pdf" or "dot".

        Raises DrawingError where no renderer is installed, or the one found fails.
        """
        format = format or self.format
        _check_format(format)
        return self.source.encode() if format == "dot" else render_source(self.source, format)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, in the format of its ending, and return its path.

        The file is complete or not there: it is written under another name first. Raises
        DrawingError as `render` does, and OSError where the file can't be written.
        """
        path = Path(path)
        ending = path.suffix.lstrip(".").lower()
        if not ending:
            ending = self.format
            path = path.with_name(f"{path.name.rstrip('.')}.{ending}")
        write_whole(path, self.render(ending))
        return path

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            svg = self.render("svg").decode()
        except DrawingError as error:
            return {"text/plain": f"{error}\n\n{self.source}"}
        return {"image/svg+xml": svg, "text/plain": repr(self)}


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise ValueError(
            f"a drawing's format is one of {', '.join(FORMATS)}, not {format!r}; "
            'to write a file, use drawing.save("graph.svg")'
        )


def render_source(source: str, format: str) -> bytes:
    """Return the picture of a Graphviz source; raise DrawingError as `Drawing.render` does."""
    program = shutil.which("dot")
    if program is None and importlib.util.find_spec("pygraphviz") is not None:
        graph = importlib.import_module("pygraphviz").AGraph(string=source)
        content: bytes = graph.draw(format=format, prog="dot")
        return content
    # The scripts of this Python come first: a virtual environment need not be active.
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    program = program or shutil.which("graphviz-pure", path=scripts)
    if program is None:
        raise DrawingError(HINT)
    done = subprocess.run(
        [program, f"-T{format}"], input=source.encode(), capture_output=True, check=False
    )
    if done.returncode != 0 or not done.stdout:
        problem = done.stderr.decode(errors="replace").strip()
        raise DrawingError(f"{Path(program).name} can't draw this as {format}: {problem}")
    return done.stdout
