"""`gradloom bench`: from a checkout and without one, what it writes, and when it fails."""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest

import nn.cli
from bench_results import PEER, figure, race, results, stage
from benchmarks import plots, readme, rows, runner
from benchmarks.harness import TINY
from benchmarks.results import load, save

bench = importlib.import_module("benchmarks.__main__")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run in a file."""
    path = tmp_path / "run.json"
    rows = [race("a", 10.0, asked=9.0), stage("b", 1.0, 2.0)]
    save(path, results(rows, [figure([1.0, 10.0], [1.0, 4.0], [2.0, 2.0])]))
    return path


def test_the_command_line_knows_the_benchmarks(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        nn.cli.main(["bench", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "usage: gradloom bench" in out
    assert all(name in "".join(out.split()) for name in rows.NAMES)  # lines end at hyphens too
    with pytest.raises(SystemExit):
        nn.cli.main(["--help"])
    assert re.search(r"bench +measure it beside its peers", capsys.readouterr().out)


def test_without_a_checkout_it_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = list(sys.path)
    assert nn.cli._bench(["--quick"], root=tmp_path) == 1
    err = capsys.readouterr().err
    assert f"there is no folder benchmarks in {tmp_path}" in err and "make bench" in err
    assert sys.path == before


def test_a_wrong_name_ends_it_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--only", "nothing"])
    assert ended.value.code == 2 and "lotka-volterra" in capsys.readouterr().err


def test_it_measures_in_processes_and_writes_all_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "QUICK", TINY)
    out = tmp_path / "new" / "out"
    names = ["--only", "eager", "lowering"]
    assert nn.cli.main(["bench", "--quick", *names, "--out", str(out)]) == 0
    made = load(out / "results.json")
    assert [row["name"] for row in made["rows"]] == ["getting-in-4", "lowering-4"]
    figures = ["node-cost", "eager-stages", "eager-stages-no-collector"]
    assert [found["name"] for found in made["figures"]] == figures
    assert made["scale"] == "tiny" and not made["failures"]
    plots = [f"{name}.{kind}" for name in ["ratios", *figures] for kind in ("png", "svg")]
    names = {path.name for path in out.iterdir()}
    assert names == {"results.json", "results.md", *plots}
    text = capsys.readouterr().out
    assert "compiling 3,253 scalar operations" in text and f"wrote      {out}" in text
    assert "## Eager Values: a chain" in (out / "results.md").read_text()


def test_a_run_can_be_taken_from_a_file(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = run.parent / "out"
    assert bench.main(["--from", str(run), "--out", str(out)]) == 0
    assert "| the work of a | 1 ms | 500 us | Peer |" in capsys.readouterr().out
    assert {path.stem for path in out.iterdir()} == {"results", "ratios", "figure"}


def test_a_regression_gives_1_and_none_0(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slower = run.parent / "slower.json"
    save(slower, results([race("a", 5.0), stage("b", 1.0, 2.0)]))
    options = ["--out", str(run.parent / "out")]
    assert bench.main(["--from", str(slower), "--compare", str(run), *options]) == 1
    assert "Regressions: a beside Peer." in capsys.readouterr().out
    assert bench.main(["--from", str(run), "--compare", str(slower), *options]) == 0
    assert "Regressions: none." in capsys.readouterr().out


def test_a_bad_file_to_compare_with_is_told_before_anything_is_measured(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run.write_text(run.read_text()[:100])
    monkeypatch.setattr(runner, "run", lambda *args: pytest.fail("it measures"))
    assert bench.main(["--compare", str(run), "--out", str(run.parent / "out")]) == 1
    assert "run.json is not whole JSON" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--from", str(run), "--out", str(run)]) == 1
    assert "run.json" in capsys.readouterr().err


def test_the_readme_is_written_on_request(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = run.parent / "README.md"
    target.write_text(f"{readme.BEGIN}{readme.NOT_YET}{readme.END}\n")
    monkeypatch.setattr(readme, "PAGES", {target: readme.all_lines})
    monkeypatch.setattr(readme, "COMMITTED", run.parent / "committed.json")
    options = ["--from", str(run), "--out", str(run.parent / "out"), "--readme"]
    assert bench.main(options) == 0
    assert "the work of a" in target.read_text()
    save(run, results([race("a", 1.0)], scale="quick"))
    assert bench.main(options) == 1
    assert "a full run in which nothing failed" in capsys.readouterr().err


def test_without_matplotlib_there_are_tables_and_no_plots(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    out = run.parent / "out"
    assert bench.main(["--from", str(run), "--out", str(out)]) == 0
    assert "no plots: a plot needs matplotlib" in capsys.readouterr().out
    assert [path.name for path in out.iterdir()] == ["results.md"]


def test_beside_an_older_build_it_takes_no_older_run_and_makes_no_readme(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in (["--from", str(run)], ["--readme"]):
        with pytest.raises(SystemExit) as ended:
            bench.main(["--against", "python", *option])
        assert ended.value.code == 2
        assert "without --from and --readme" in capsys.readouterr().err


def test_a_missing_older_build_is_told_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "_in_a_process", lambda *args: pytest.fail("it measures"))
    options = ["--quick", "--out", str(tmp_path / "out")]
    assert bench.main(["--against", str(tmp_path / "python"), *options]) == 1
    assert "python has no gradloom to measure" in capsys.readouterr().err


# --- processes ---


def part(name: str, failure: str | None = None) -> runner.Part:
    return {"name": name, "rows": [], "figures": [], "failure": failure}


@pytest.mark.parametrize("code", [-11, 1])
def test_after_a_crash_the_others_go_on_in_a_new_process(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def process(names, scale, file: Path, older: str) -> int:
        calls.append(list(names))
        if "mnist" in names:  # it ends while it is at the second of three
            file.write_text(json.dumps([part(names[0]), part("mnist")]))
            return code
        file.write_text(json.dumps([part(name) for name in names]))
        return 0

    monkeypatch.setattr(runner, "_in_a_process", process)
    kept = []
    made = runner.run(["xor", "mnist", "gpt"], TINY, lambda so_far: kept.append(1))
    assert calls == [["xor", "mnist", "gpt"], ["gpt"]]
    assert made["failures"] == {"mnist": f"its process ended with {code}"}
    assert len(kept) == 4


def test_a_process_that_does_not_begin_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_in_a_process", lambda names, scale, file, older: 1)
    made = runner.run(["moons"], TINY, lambda so_far: None)
    assert made["failures"] == {"moons": "its process ended with 1"}


def test_what_was_measured_is_kept_when_it_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def process(names, scale, file: Path, older: str) -> int:
        file.write_text(json.dumps([{**part(names[0]), "rows": [race("a", 1.0)]}]))
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "_in_a_process", process)
    assert bench.main(["--quick", "--out", str(tmp_path)]) == 130
    assert [row["name"] for row in load(tmp_path / "results.json")["rows"]] == ["a"]
    assert "stopped" in capsys.readouterr().err


def test_a_failure_is_told_and_gives_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def process(names, scale, file: Path, older: str) -> int:
        file.write_text(json.dumps([part(name, "DisagreementError: no") for name in names]))
        return 0

    monkeypatch.setattr(runner, "_in_a_process", process)
    assert bench.main(["--quick", "--only", "xor", "--out", str(tmp_path)]) == 1
    assert "xor failed: DisagreementError: no" in capsys.readouterr().err


def test_a_benchmark_that_fails_keeps_what_it_measured_before() -> None:
    into = part("no-such-benchmark")
    runner.measure("no-such-benchmark", TINY, into, lambda: None)
    assert into["failure"] is not None and "no_such_benchmark" in into["failure"]


# --- plots ---


def texts(ax) -> str:
    return " ".join(text.get_text() for text in [*ax.texts, *ax.get_yticklabels()])


def test_the_ratios_are_drawn_beside_what_is_asked() -> None:
    made = results([race("a", 10.0, asked=9.0), race("b", 0.5)])
    ax = plots.ratios(made)
    assert f"a: {PEER}" in texts(ax) and "10x" in texts(ax) and "0.5x" in texts(ax)
    assert ax.get_xscale() == "log"
    xs = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert {9.0, 10.0, 0.5} <= {float(x) for x in xs}


def test_a_figure_is_drawn_on_logarithmic_axes_with_its_crossing() -> None:
    made = figure([1.0, 10.0], [1.0, 4.0], [2.0, 2.0])
    ax = plots.curves(made)  # type: ignore[arg-type]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert [line.get_label() for line in ax.lines][:2] == ["slow", "fast"]
    assert list(ax.lines[0].get_ydata()) == [1.0, 4.0]
    assert "fast\nis faster from 3 on" in texts(ax)
    over = plots.curves({**made, "per_x": True})  # type: ignore[arg-type]
    assert list(over.lines[0].get_ydata()) == [1.0, 0.4]
