"""Colorings: every entry stands alone somewhere, and few colors do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.compiled import sequential
from engine.compiled.coloring import color_columns, color_symmetric, transposed

matrices = st.integers(1, 12).flatmap(
    lambda n: st.lists(
        st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=12
    ).map(np.array)
)


def columns_of(matrix: Any) -> tuple[Any, Any, int]:
    found = scipy.sparse.csr_array(matrix)
    found.sort_indices()
    return found.indptr.astype(np.int32), found.indices.astype(np.int32), matrix.shape[1]


def alone(matrix: Any, colors: Any) -> Any:
    """Where an entry is the only one of its color in its row."""
    one_hot = np.eye(colors.max() + 1, dtype=int)[colors]
    return matrix & ((matrix.astype(int) @ one_hot)[:, colors] == 1)


@settings(max_examples=60, deadline=None)
@given(matrix=matrices)
def test_no_row_has_two_columns_of_a_color(matrix: Any) -> None:
    colors = color_columns(*columns_of(matrix))
    assert colors.min() == 0 and {*colors.tolist()} == {*range(colors.max() + 1)}
    assert np.array_equal(alone(matrix, colors), matrix)
    assert colors.max() + 1 >= matrix.sum(axis=1).max()


@settings(max_examples=60, deadline=None)
@given(matrix=matrices)
def test_of_a_symmetric_matrix_an_entry_or_its_mirror_image_is_alone(matrix: Any) -> None:
    n = min(matrix.shape)
    square = matrix[:n, :n] | matrix[:n, :n].T
    colors = color_symmetric(*columns_of(square))
    found = alone(square, colors)
    assert np.array_equal(found | found.T, square)


@settings(max_examples=30, deadline=None)
@given(matrix=matrices)
def test_transposed(matrix: Any) -> None:
    starts, rows = transposed(*columns_of(matrix))
    expected = columns_of(matrix.T)
    assert starts.tolist() == expected[0].tolist() and rows.tolist() == expected[1].tolist()


@pytest.mark.parametrize(("width", "colors"), [(1, 3), (2, 5), (4, 9)])
def test_a_band_takes_as_many_colors_as_it_is_wide(width: int, colors: int) -> None:
    n = 60
    band = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= width
    assert color_columns(*columns_of(band)).max() + 1 == colors


def test_machine_code_gives_the_same_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    square = rng.random((80, 80)) < 0.06
    square |= square.T
    plain = [color(*columns_of(square)) for color in (color_columns, color_symmetric)]
    monkeypatch.setattr(sequential, "MANY", 1)
    native = [color(*columns_of(square)) for color in (color_columns, color_symmetric)]
    assert all(map(np.array_equal, plain, native))
