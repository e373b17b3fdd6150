"""Sparsity: which entries of a Jacobian or Hessian there are, their colors, and how that looks."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from engine.compiled.columns import Array
from engine.compiled.results import Whole
from engine.showing import Shown, Still, bundle, words

_SIDE, _WIDE, _HIGH = 320.0, 64, 32  # pixels of a picture; characters of a text
_FINE = 160  # rows or columns beyond which a square of the picture stands for several
# Colors of squares on light pages, and on dark ones; colors of columns beyond come round again.
_HUES = {
    "#2563eb": "#60a5fa",
    "#d9480f": "#fb923c",
    "#15803d": "#4ade80",
    "#a21caf": "#e879f9",
    "#57606a": "#d0d7de",
    "#0e7490": "#22d3ee",
    "#be123c": "#fb7185",
}
_PAPER, _RULE = ("#fdfdfe", "#161b22"), ("#9aa5b1", "#6e7681")


@dataclass(frozen=True, eq=False)
class Sparsity(Shown, Whole):
    """The entries of a matrix that are not 0 whatever the inputs are, as far as the path that a
    function took shows it.

    `starts` and `columns` are as in SciPy's CSR arrays (`indptr` and `indices`): row i has the
    columns from ``starts[i]`` to ``starts[i + 1]``, in their order. `colors` has a number for each
    column, or for each row, as `by` says: those of one color are computed together. Print it, or
    see it in Jupyter: a square for each entry, in the color that it is computed with.
    """

    name: str
    shape: tuple[int, int]
    starts: Array
    columns: Array
    colors: Array
    by: Literal["columns", "rows"]

    def __post_init__(self) -> None:
        for array in (self.starts, self.columns, self.colors):  # later results are made by them
            array.flags.writeable = False

    @property
    def nnz(self) -> int:
        """How many entries there are."""
        return len(self.columns)

    @property
    def rows(self) -> Array:
        """The row of each entry."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.starts))

    @property
    def is_dense(self) -> bool:
        """Whether all entries are there, so that there is nothing to gain."""
        return self.nnz == self.shape[0] * self.shape[1] and self.nnz > 0

    def csr(self, numbers: Array | None = None) -> Any:
        """Return SciPy's `csr_array` with these numbers as its entries, or with ones.

        The latter is what SciPy's `jac_sparsity` takes. Raises ImportError without SciPy.
        """
        data = np.ones(self.nnz) if numbers is None else numbers
        places = self.columns.copy(), self.starts.copy()  # SciPy changes them in place
        return sparse_arrays().csr_array((data, *places), shape=self.shape)

    def of(self, numbers: Array) -> Any:
        """The same, as a program makes its result."""
        return self.csr(numbers)

    def counted(self) -> str:
        """One line: what it is of, how large, how many entries and colors."""
        m, n = self.shape
        colors = int(self.colors.max(initial=-1)) + 1
        share = f"{100.0 * self.nnz / max(1, m * n):.3g} %"
        text = f"{self.name}: {m:,} × {n:,}, {self.nnz:,} entries ({share})"
        text += f", {colors:,} color{'s' * (colors != 1)} of {len(self.colors):,} {self.by}"
        kind = self.name.partition(" ")[0]
        return text + (f"; dense: engine.{kind} does as well" if self.is_dense else "")

    def __repr__(self) -> str:
        return f"<Sparsity of {self.counted()}>"

    def __str__(self) -> str:
        m, n = self.shape
        high, wide = min(m, _HIGH), min(n, _WIDE)
        if not high or not wide:
            return self.counted()
        seen = np.zeros((high, wide), bool)
        seen[self.rows.astype(np.int64) * high // m, self.columns.astype(np.int64) * wide // n] = 1
        return "\n".join(
            [self.counted(), *("".join("█" if x else "·" for x in row) for row in seen)]
        )

    def svg(self) -> str:
        """The picture, a "spy plot", as SVG. Of a large matrix a square stands for several entries,
        and has the color of the first."""
        m, n = self.shape
        high, wide = min(m, _FINE), min(n, _FINE)
        size = min(24.0, _SIDE / max(high, wide, 1))
        place = self.rows.astype(np.int64) * high // max(m, 1) * wide
        place += self.columns.astype(np.int64) * wide // max(n, 1)
        place, first = np.unique(place, return_index=True)
        of = self.columns if self.by == "columns" else self.rows
        colors = self.colors[of[first]] % len(_HUES)
        gap = size / 12.0 if size > 6.0 else 0.0
        side = f"{size - 2.0 * gap:.2f}"
        width, height = wide * size + 2.0, high * size + 2.0
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.1f}" height="{height:.1f}" '
            f'viewBox="-1 -1 {width:.1f} {height:.1f}" role="img">'
            f"<title>{html.escape(self.counted())}</title>"
            f'<rect width="{width - 2:.1f}" height="{height - 2:.1f}" fill="{_PAPER[0]}" '
            f'stroke="{_RULE[0]}"/>'
        ]
        for k, hue in enumerate(_HUES):
            at = place[colors == k]
            squares = "".join(
                f"M{j * size + gap:.2f} {i * size + gap:.2f}h{side}v{side}h-{side}z"
                for i, j in zip((at // wide).tolist(), (at % wide).tolist(), strict=True)
            )
            parts.append(f'<path fill="{hue}" d="{squares}"/>' if squares else "")
        return "".join([*parts, "</svg>"])

    def _bundle(self) -> dict[str, str]:
        text, dark = self.counted(), dict([_PAPER, _RULE], **_HUES)
        still = Still.of_svg(self.svg(), text, dark)
        return bundle(str(self), still, still.html() + words(text))


def sparse_arrays() -> Any:
    """`scipy.sparse`. Raises ImportError with what to install."""
    try:
        import scipy.sparse
    except ModuleNotFoundError:
        raise ImportError("sparse results need SciPy: pip install 'gradloom[blas]'") from None
    return scipy.sparse
