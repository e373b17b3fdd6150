"""Files of arrays: what goes in comes out, and what is no such file is refused."""

import json
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from nn.saving import CheckpointError, read_arrays, write_arrays

ARRAYS = {
    "a": np.array([[0.1, -0.0, np.inf], [-np.inf, 5e-324, np.nan]]),
    "b": np.float32([1.5, np.nan]),
    "c": np.array(-(2**63)),
    "empty": np.zeros((0, 3)),
    "ö": np.arange(6.0).reshape(2, 3).T,  # not in C order
}
ABOUT = {"text": "ü\0\ud800", "list": [1, 2.5, None, True, {"x": {}}], "inf": float("inf")}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What is in a good file."""
    path = tmp_path_factory.mktemp("good") / "file"
    write_arrays(path, {"w": np.arange(4.0).reshape(2, 2), "n": np.array([7])}, {"epoch": 3})
    return path.read_bytes()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tests put files that are not good."""
    return tmp_path_factory.mktemp("bad") / "file"


def refused(path: Path, content: bytes) -> str:
    """Why a file with this content is refused."""
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_arrays(path)
    assert caught.value.path == path and str(path) in str(caught.value)
    return caught.value.reason


def with_header(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def test_arrays_come_back_bit_for_bit(tmp_path: Path) -> None:
    write_arrays(tmp_path / "file", ARRAYS, ABOUT)
    arrays, about = read_arrays(str(tmp_path / "file"))
    assert about == ABOUT and set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert arrays[name].tobytes() == array.tobytes() and arrays[name].flags.writeable


def test_the_same_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_arrays(tmp_path / name, ARRAYS, ABOUT)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_other_programs_read_the_arrays(tmp_path: Path) -> None:
    write_arrays(tmp_path / "file", ARRAYS, ABOUT)
    arrays = load_file(tmp_path / "file")
    assert all(arrays[name].tobytes() == array.tobytes() for name, array in ARRAYS.items())


@pytest.mark.parametrize("wrong", [np.zeros(2, complex), np.array(["a"]), np.array([None])])
def test_other_arrays_are_not_written(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"'x' can't be saved: .*float64.*not (complex|<U|object)"):
        write_arrays(tmp_path / "file", {"x": wrong}, {})
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[io\]'"):
        write_arrays(tmp_path / "file", {}, {})
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[io\]'"):
        read_arrays(tmp_path / "file")


# --- files that are none --------------------------------------------------------------------


def test_a_file_that_is_cut_off_is_refused_at_every_length(content: bytes, path: Path) -> None:
    for length in range(len(content)):
        refused(path, content[:length])


def test_every_flipped_bit_is_found(content: bytes, path: Path) -> None:
    for place in range(len(content)):
        for bit in (0, 3, 5, 7) if place < 8 else (place % 8,):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            refused(path, bytes(damaged))


@settings(max_examples=100, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_random_damage_is_found(content: bytes, path: Path, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(content)))
    last = data.draw(st.integers(first, len(content)))
    damaged = content[:first] + data.draw(st.binary(max_size=20)) + content[last:]
    if damaged != content:
        refused(path, damaged)


@pytest.mark.parametrize("length", [0, 1, 10**6, 2**63, 2**64 - 1])
def test_a_header_that_lies_about_its_length(content: bytes, path: Path, length: int) -> None:
    refused(path, struct.pack("<Q", length) + content[8:])


ONE = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": ONE, "b": ONE},  # overlapping
        {"a": {**ONE, "data_offsets": [8, 16]}},
        {"a": {**ONE, "data_offsets": [8, 0]}},
        {"a": {**ONE, "data_offsets": [-8, 0]}},
        {"a": {**ONE, "shape": [2]}},
        {"a": {**ONE, "shape": [-1]}},
        {"a": {**ONE, "shape": [2**40, 2**40]}},
        {"a": {**ONE, "dtype": "F32"}},
        {"a": {**ONE, "dtype": "object"}},
        [],
        b"null",
        b'{"a":' + json.dumps(ONE).encode() + b',"a":' + json.dumps(ONE).encode() + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"\xff": 1}',
    ],
    ids=lambda header: str(header)[:50],
)
def test_headers_that_make_no_sense(path: Path, header: Any) -> None:
    assert "damaged, or no safetensors file" in refused(path, with_header(header, bytes(8)))


@pytest.mark.parametrize(
    "said",
    [
        *("", "no JSON", "[]", "null", "3", "{}", '{"version": 1}', "[" * 100_000),
        '{"version": 1, "version": 1, "sha256": "", "about": {}}',
        '{"version": 1, "sha256": "", "about": {"a": ' + "9" * 5000 + "}}",
        '{"version": 1, "sha256": "", "about": ' + '{"a":' * 100_000 + "1" + "}" * 100_001,
        '{"version": 1, "sha256": "", "about": [1]}',
    ],
    ids=lambda said: said[:50],
)
def test_descriptions_that_make_no_sense(path: Path, said: str) -> None:
    assert "damaged" in refused(path, save({"a": np.zeros(1)}, metadata={"gradloom": said}))


@pytest.mark.parametrize("shape", [[1] * 100, [2**60, 0]], ids=str)
def test_arrays_that_numpy_does_not_have(path: Path, shape: list[int]) -> None:
    size = 0 if 0 in shape else 8
    tensor = {"dtype": "F64", "shape": shape, "data_offsets": [0, size]}
    header = {"__metadata__": {"gradloom": "{}"}, "a": tensor}
    refused(path, with_header(header, bytes(size)))


@pytest.mark.parametrize("dtype", ["float16", "uint8", "bool"])
def test_arrays_of_another_type(path: Path, dtype: str) -> None:
    content = save({"a": np.zeros(4, dtype)}, metadata={"gradloom": "{}"})
    assert refused(path, content).startswith("'a' is ")


def test_files_of_other_programs_are_told_apart(path: Path) -> None:
    for metadata in (None, {"format": "pt"}):
        reason = refused(path, save({"a": np.zeros(4)}, metadata=metadata))
        assert "gradloom did not write it" in reason and "load_state_dict" in reason


def test_a_later_version_is_named(path: Path) -> None:
    said = json.dumps({"version": 2, "sha256": "", "about": {}})
    assert "version 2" in refused(path, save({}, metadata={"gradloom": said}))


def test_a_folder_is_named_and_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_arrays(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none")
