"""The file of a run: written whole, read back the same, and refused where it is no such file."""

import json
import re
from pathlib import Path

import pytest

from bench_results import figure, race, results, stage
from benchmarks.results import BadResultsError, as_text, load, save


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.json"
    save(path, results([race("xor", 3.0), stage("slow", 1.0, 2.0)], [figure([1.0], [1.0], [2.0])]))
    return path


def test_what_is_saved_is_loaded(file: Path) -> None:
    made = results([race("xor", 3.0), stage("slow", 1.0, 2.0)], [figure([1.0], [1.0], [2.0])])
    assert load(file) == made
    assert [path.name for path in file.parent.iterdir()] == ["results.json"]


def test_numbers_are_kept_to_six_digits_and_lists_of_them_in_a_line() -> None:
    text = as_text({"all": [0.123456789, 1.0], "names": ["a", "b"], "on": True})
    assert '"all": [ 0.123457, 1.0 ]' in text
    assert json.loads(text) == {"all": [0.123457, 1.0], "names": ["a", "b"], "on": True}


def test_a_file_that_was_cut_off_is_told(file: Path) -> None:
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    with pytest.raises(BadResultsError, match=r"results\.json is not whole JSON \(line \d+: "):
        load(file)


def changed(file: Path, change) -> None:
    data = json.loads(file.read_text())
    change(data)
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data.pop("schema"), "it has no schema"),
        (lambda data: data.update(schema=99), "has schema 99, and this reads 1"),
        (lambda data: data.pop("rows"), "results.json lacks 'rows'"),
        (lambda data: data.update(rows={}), "rows is {}, and should be of type list"),
        (lambda data: data["rows"].append(3), r"rows[2] is 3, not an object"),
        (lambda data: data["rows"][0].pop("asked"), r"rows[0] lacks 'asked'"),
        (
            lambda data: data["rows"][0]["times"][0].update(seconds="fast"),
            r"rows[0]: times[0]: seconds is 'fast', and should be of type float",
        ),
        (
            lambda data: data["rows"][0]["ratios"][0].update(all=[1.0, None]),
            r"ratios[0]: all[1] is None",
        ),
        (lambda data: data["rows"][0].update(rounds=True), r"rows[0]: rounds is True"),
        (lambda data: data["rows"][0].update(known={"C": "x"}), r"known: C is 'x'"),
        (lambda data: data["figures"][0]["points"][0].pop("x"), r"points[0] lacks 'x'"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(change, message: str, file: Path) -> None:
    changed(file, change)
    with pytest.raises(BadResultsError, match=re.escape(message)):
        load(file)


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadResultsError, match=r"can't read .*nothing\.json"):
        load(tmp_path / "nothing.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadResultsError, match=r"can't read .*binary\.json"):
        load(tmp_path / "binary.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(BadResultsError, match="no file of `gradloom bench`"):
        load(tmp_path / "list.json")
