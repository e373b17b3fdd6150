"""`engine.profile`: nodes, bytes and time by source line."""

import random
from collections.abc import Callable
from typing import Any

import pytest

import engine
import nn
from engine import Value
from engine.profiling import Profile, Row


def f(x: Any, n: int) -> Any:
    for _ in range(int(n)):
        x = x * 1.5 + 1.0
        (x * x).exp()
    return x.tanh()


def by_text(profile: Profile) -> dict[str, Row]:
    return {row.text: row for row in profile.rows}


def test_nodes_are_counted_by_line_and_those_kept_apart() -> None:
    profile = engine.profile(lambda x: f(x, 10), 0.1)
    rows = by_text(profile)
    counts = {text: row.nodes for text, row in rows.items()}
    assert counts == {"x = x * 1.5 + 1.0": 20, "(x * x).exp()": 20, "return x.tanh()": 1}
    assert (profile.nodes, profile.kept) == (41, 21)
    at = f.__code__.co_firstlineno + 4
    assert rows["return x.tanh()"].name.endswith(f"test_profiling.py:{at}")


def test_bytes_are_in_proportion_to_nodes_and_below_the_promised_200() -> None:
    profile = engine.profile(lambda x: f(x, 10), 0.1)
    each = {row.bytes / row.nodes for row in profile.rows}
    assert len(each) == 1 and 100 < each.pop() <= 200
    assert profile.bytes == sum(row.bytes for row in profile.rows)


def test_shares_of_time_add_up_to_the_totals_of_plain_runs() -> None:
    profile = engine.profile(lambda x: f(x, 50), 0.1, repeat=1)
    assert sum(row.forward for row in profile.rows) == pytest.approx(profile.forward)
    assert sum(row.backward for row in profile.rows) == pytest.approx(profile.backward)
    assert all(row.forward > 0.0 for row in profile.rows)
    unused = by_text(profile)["(x * x).exp()"]
    assert unused.backward == 0.0  # a sweep never comes there
    spent = [row.forward + row.backward for row in profile.rows]
    assert spent == sorted(spent, reverse=True)


def test_a_model_is_shown_by_module_and_by_operation() -> None:
    rng = random.Random(0)
    model = nn.Sequential(nn.Linear(3, 4, rng=rng), nn.Tanh())

    def outputs() -> Any:
        return model([1.0, 2.0, 3.0])

    scopes = {row.name: row.nodes for row in engine.profile(outputs, by="scope").rows}
    assert scopes == {"Sequential/Linear": 24, "Sequential/Tanh": 4}
    operations = {row.name: row.nodes for row in engine.profile(outputs, by="operation").rows}
    assert operations == {"mul": 12, "add": 12, "tanh": 4}


def test_a_profile_leaves_gradients_and_memory_as_they_were() -> None:
    w = Value(2.0)
    engine.profile(lambda x: f(x * w, 3), 1.0)
    assert w.grad == 0.0 and engine.modes.state.recorder is None


def test_the_table_is_aligned_and_cut() -> None:
    source = (
        "def many(x):\n" + "".join(f"    x = x + {i}.0\n" for i in range(25)) + "    return x\n"
    )
    scope: dict[str, Any] = {}
    exec(compile(source, "<many>", "exec"), scope)
    profile = engine.profile(scope["many"], 1.0)
    head, blank, *table, more = str(profile).splitlines()
    assert head.startswith("many: 25 nodes, all in the graph of the result, ") and blank == ""
    assert table[0].split() == ["nodes", "memory", "forward", "backward", "time", "line"]
    assert len(table) == 21 and len({line.index("<many>") for line in table[1:]}) == 1
    assert more == "… and 5 more lines, with 5 nodes; see .rows"
    assert profile._repr_html_().count("<tr>") == 21


def test_a_function_without_nodes_has_no_rows() -> None:
    profile = engine.profile(lambda x: 1.0, 2.0)
    assert profile.rows == () and profile.nodes == 0 and "0 nodes" in str(profile)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: engine.profile(Value(1.0)), TypeError, "takes a function, which it runs"),
        (lambda: engine.profile(lambda x: None, 1.0), TypeError, "lack a return statement"),
        (lambda: engine.profile(lambda x: "no", 1.0), TypeError, "not a str: 'no'"),
        (lambda: engine.profile(f, 1.0, 2, by="file"), ValueError, 'by is "line", "scope"'),
        (lambda: engine.profile(f, 1.0, 2, repeat=0), ValueError, "at least 1, not 0"),
    ],
)
def test_a_wrong_call_says_what_to_write(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)
