"""From a `Picture` to a file, with whatever renderer this machine has.

In this order: the `dot` program on the PATH, pygraphviz (which brings Graphviz as a library), and
graphviz-pure (which brings one program). Without any, a `Drawing` still has its text tree and its
source, and says what to install.
"""

from __future__ import annotations

import functools
import html
import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from engine.drawing.dot import to_dot
from engine.drawing.picture import Picture
from engine.drawing.svg import described, drawn, page_of
from engine.drawing.theme import THEMES, dark_of_light
from engine.drawing.tree import to_tree
from engine.errors import DrawingError, one_of
from engine.files import check_folder_of, with_ending, write_whole
from engine.showing import Shown, Still, bundle, page_part, words

if TYPE_CHECKING:
    import graphviz

FORMATS = ("svg", "png", "pdf", "dot", "html", "txt")
HINT = (
    "no renderer for graphs was found; pip install 'gradloom[viz]', or install Graphviz "
    "(apt install graphviz, brew install graphviz)"
)


class Drawing(Shown):
    """A picture that shows itself: in Jupyter as SVG, printed as a tree of text.

    `picture` is what it shows, `source` its text in Graphviz's language. `theme` "auto" is light,
    but in an HTML page as the reader has it.
    """

    def __init__(
        self, picture: Picture, rankdir: str = "LR", theme: str = "auto", format: str = "svg"
    ) -> None:
        one_of("rankdir", rankdir, "LR", "TB", "RL", "BT")
        one_of("theme", theme, "auto", *THEMES)
        _check_format(format)
        self.picture = picture
        self.rankdir = rankdir
        self.theme = theme
        self._colours = THEMES["light" if theme == "auto" else theme]
        self.format = format

    @functools.cached_property
    def source(self) -> str:
        """The picture in Graphviz's language."""
        return to_dot(self.picture, self.rankdir, self._colours)

    def to_graphviz(self) -> graphviz.Source:
        """Return the picture as an object of the graphviz package.

        It is what micrograd's `draw_dot` returns: to `view()`, to `unflatten()`, to be laid out by
        another of Graphviz's programs. All else here does without the package.

        >>> import engine
        >>> drawing = engine.draw(engine.Value(2.0) ** 2)
        >>> drawing.to_graphviz().source.startswith("digraph")
        True
        """
        import graphviz

        return graphviz.Source(self.source, format="svg")

    def __repr__(self) -> str:
        return f"Drawing({self.picture!r}; print it, or see .save(path), .source)"

    def __str__(self) -> str:
        return to_tree(self.picture)

    def render(self, format: str | None = None) -> bytes:
        """Return the picture as a file's content: "svg", "png", "pdf", "html", "dot" or "txt".

        Raises DrawingError where no renderer is installed, or the one found fails; "html" then has
        the tree of text, as "txt", and "dot" needs none.
        """
        format = format or self.format
        _check_format(format)
        if format == "dot":
            return self.source.encode()
        if format == "txt":
            return f"{self}\n".encode()
        if format == "svg":
            return self._svg.encode()
        if format == "html":
            roots = [box.label for box in self.picture.boxes if box.is_root and box.label]
            title = f"Graph of {', '.join(roots) or 'a number'}"
            try:
                body = page_part(self.still.scrolled())
            except DrawingError as error:  # without Graphviz it is the tree
                body = f"<p>{html.escape(str(error))}</p>\n<pre>{html.escape(str(self))}</pre>"
            return page_of(title, self.theme, body).encode()
        return render_source(self.source, format)

    @functools.cached_property
    def _svg(self) -> str:
        return drawn(self.picture, self.rankdir, self._colours, render_source)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture to a file, in the format of its ending, and return its path.

        The file is complete or not there: it is written under another name first. Raises
        DrawingError as `render` does, and OSError where the file can't be written.
        """
        path = with_ending(path, self.format)
        check_folder_of(path)  # before a layout that may take long
        write_whole(path, self.render(path.suffix[1:].lower()))
        return path

    @property
    def still(self) -> Still:
        """The picture as everything shows it. Raises DrawingError as `render` does."""
        pairs = dark_of_light() if self.theme == "auto" else {}
        dark = {light: pairs[light] for light in sorted(pairs) if f'"{light}"' in self._svg}
        return Still.of_svg(self._svg, f"Computation graph: {described(self.picture)}", dark)

    def _bundle(self) -> dict[str, str]:
        tree = str(self)
        try:
            still = self.still
        except DrawingError as error:
            text = f"{error}\n\n{tree}"
            return bundle(text, None, words(text))
        return bundle(tree, still, still.scrolled())


def _check_format(format: str) -> None:
    if format not in FORMATS:
        raise ValueError(
            f"a drawing's format is one of {', '.join(FORMATS)}, not {format!r}; "
            'to write a file, use drawing.save("graph.svg")'
        )


def renderer() -> str | None:
    """Return what draws: the path of the program dot, else "pygraphviz" if that is installed, else
    the path of graphviz-pure; None where there is none of these."""
    if program := shutil.which("dot"):
        return program
    if importlib.util.find_spec("pygraphviz") is not None:
        return "pygraphviz"
    # The scripts of this Python come first: a virtual environment need not be active.
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    return shutil.which("graphviz-pure", path=scripts)


def render_source(source: str, format: str) -> bytes:
    """Return the picture of a Graphviz source; raise DrawingError as `Drawing.render` does."""
    if sys.platform == "emscripten":  # in a browser, whose page brings Graphviz
        drawn: str = importlib.import_module("js").graphviz(source, format)
        return drawn.encode()
    program = renderer()
    if program is None:
        raise DrawingError(HINT)
    if program == "pygraphviz":
        graph = importlib.import_module("pygraphviz").AGraph(string=source)
        content: bytes = graph.draw(format=format, prog="dot")
        return content
    done = subprocess.run(
        [program, f"-T{format}"], input=source.encode(), capture_output=True, check=False
    )
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        problem = "\n".join(line for line in said if "no hard-coded metrics" not in line)
        raise DrawingError(f"{Path(program).name} can't draw this as {format}: {problem}")
    return done.stdout
