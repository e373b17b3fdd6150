"""Programs as pictures, graphs folded by blocks, and the passes of lifting, as structure."""

import random
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import engine
from compiled.loop_programs import STEPS
from engine import Program, TraceError, Value
from engine.compiled.describe import titles
from engine.compiled.instructions import ROWS
from engine.drawing import Picture
from engine.lifting.by_instructions import lifted_of, stood_for
from engine.lifting.passes import AWAY, Passes
from engine.lines import Recorder
from engine.modes import recorded_by
from sanitised import Sanitised, svg_in

NASTY = 'a<b>&"c"\\n|{x}<script>alert(1)</script>'


def network() -> tuple[list[list[Value]], list[Value]]:
    rng = random.Random(3)
    W = [[Value(rng.gauss(0.0, 1.0), label=f"{NASTY}[{i}]") for i in range(3)] for _ in range(4)]
    return W, [Value(0.5) for _ in range(4)]


@pytest.fixture(scope="module")
def program() -> Program:
    """Sums, products of lanes with lanes, repetitions, a look-up, a branch, maxima, a tape."""
    W, b = network()

    def f(x: list[Value], t: Value) -> Value:
        h = [engine.tanh(engine.dot(w, x) + c) for w, c in zip(W, b, strict=True)]
        again = engine.tanh(engine.dot(W[0], x) + b[0]) * 1.0
        p = engine.softmax([*h, again + x[0] * x[1] + W[0][0] * x[2] + W[1][0] + W[2][0]])
        if x[0] > 0.0:
            p[0] = p[0] + 0.5 * engine.exp(Value(2.0) * 3.0)
        return engine.log(engine.take(p, t)) + W[0][1] * W[1][1]

    made = engine.compile(f, in_axes=(0, 0), reduce="mean", wrt=[W, b])
    made(np.abs(np.random.default_rng(0).normal(size=(5, 3))), [0.0, 1.0, 2.0, 3.0, 0.0])
    return made


@pytest.fixture(scope="module")
def passes(program: Program) -> Passes:
    return Passes(program)


def check(picture: Picture) -> None:
    names = [box.id for box in picture.boxes]
    assert len(names) == len({*names})
    assert {arrow.source for arrow in picture.arrows} <= {*names}
    assert {arrow.target for arrow in picture.arrows} <= {*names}
    assert {box.cluster for box in picture.boxes} <= {c.id for c in picture.clusters} | {None}


# --- which scalars an instruction stands for ----------------------------------------------------


def test_every_scalar_is_in_one_instruction_or_named_as_fallen_away(passes: Passes) -> None:
    blocks = passes.lifted.blocks
    count = sum(map(len, blocks.instructions))
    assert len(passes.recorded) == len({*passes.recorded}) == blocks.recorded
    assert len(passes.fate) == blocks.recorded
    assert all(fate in AWAY if isinstance(fate, str) else fate < count for fate in passes.fate)
    away = {fate for fate in passes.fate if isinstance(fate, str)}
    assert {"constant", "changes nothing", "computed before"} == away
    assert sum(each.size for each in passes.opened) == sum(
        isinstance(fate, int) for fate in passes.fate
    )


def test_an_instruction_stands_for_what_its_title_says(passes: Passes) -> None:
    of_title = {each.title: each for each in passes.opened}
    tanh = of_title["tanh of 3"]  # the fourth is needed earlier
    assert (tanh.size, {scalar.op for scalar in tanh.scalars}) == (3, {"tanh"})
    product = of_title["matrix product (3 × 3) @ (3 × lanes) + bias"]
    assert product.size == 3 * (3 + 3)  # products and additions, the bias's too
    before = of_title["1 sum of 1 product and 1 term"]
    assert [scalar.op for scalar in before.scalars] == ["*"]  # x[0] * x[1], two numbers of a lane


def test_copies_stand_for_nothing_and_all_else_for_something(program: Program) -> None:
    _, lifted = lifted_of(program)
    scalars = stood_for(lifted)
    for k, title in enumerate(titles(lifted.blocks)):
        if not title.startswith(("copy", "repeat", "1 sum of 2 terms")):
            assert scalars[k], title


# --- a program as a picture ---------------------------------------------------------------------


def test_a_program_is_drawn_as_its_instructions(program: Program) -> None:
    picture = engine.draw(program).picture
    check(picture)
    _, lifted = lifted_of(program)
    drawn = [box.title for box in picture.boxes if box.id.startswith("i")]
    assert drawn == titles(lifted.blocks)
    [said] = re.findall(r": (\d+ scalar operations became .*)", str(program))
    assert said in picture.caption
    assert [c.name for c in picture.clusters] == ["shared: once a run", "lanes: for each example"]
    guards = [box for box in picture.boxes if box.title.startswith("guard")]
    assert len(guards) == 2 and any("index below" in box.title for box in guards)
    assert sum(box.is_root for box in picture.boxes) == 1


def test_backward_is_drawn_in_frames_of_its_own(program: Program) -> None:
    forward, picture = engine.draw(program).picture, engine.draw(program, backward=True).picture
    check(picture)
    assert [c.name for c in picture.clusters] == [
        *("shared: once a run", "lanes: for each example"),
        *("backward, shared: once a run", "backward, lanes: for each example"),
    ]
    assert {box.title for box in forward.boxes} <= {box.title for box in picture.boxes}
    frame = {box.id: int((box.cluster or "c0")[1]) >= 2 for box in picture.boxes}
    title = {box.id: box.title for box in picture.boxes}
    backward = [name for name in title if frame[name]]
    sources = {name: {a.source for a in picture.arrows if a.target == name} for name in backward}
    assert all(sources.values())  # each comes from something, in the end from the result
    assert not any(frame[a.source] and not frame[a.target] for a in picture.arrows)
    [tanh] = [name for name in backward if title[name] == "back through tanh of 3"]
    assert "tanh of 3" in {title[name] for name in sources[tanh]}
    gradients = [box for box in picture.boxes if box.title.startswith("gradient by")]
    assert sum(box.count for box in gradients) == 16 and all(box.is_root for box in gradients)
    assert "instructions backward" in picture.caption


def test_a_long_backward_is_rolled_up_too(program: Program) -> None:
    whole, short = (engine.draw(program, backward=True, limit=n).picture for n in (1000, 6))
    check(short)
    assert len(short.boxes) < len(whole.boxes)


def test_only_one_number_has_a_backward() -> None:
    program = engine.compile(lambda x: [x, x * x])
    program(2.0)
    with pytest.raises(TypeError, match="more than one number"):
        engine.draw(program, backward=True)


def test_what_a_product_reads_are_its_arrows(program: Program) -> None:
    picture = engine.draw(program).picture
    title = {box.id: box.title for box in picture.boxes}
    [product] = [name for name, text in title.items() if "(3 × 3) @ (3 × lanes)" in text]
    sources = {title[arrow.source] for arrow in picture.arrows if arrow.target == product}
    assert "x: 3" in sources
    users = {title[arrow.target] for arrow in picture.arrows if arrow.source == product}
    assert users == {"tanh of 3"}


def test_the_way_of_the_last_run_is_what_is_drawn() -> None:
    w, b = Value(0.5), Value(1.0)
    program = engine.compile(lambda x: engine.tanh(w * x + b), in_axes=0, wrt=[w, b])
    program([1.0, 2.0])
    assert "matrix product (" in str(engine.draw(program))
    program.grad([1.0, 2.0])  # one an example: w and b are repeated in each lane
    assert "matrix product (" not in str(engine.draw(program))


def test_rows_of_a_tape_that_do_not_follow_each_other_are_found() -> None:
    program = engine.compile(lambda x: engine.cos(engine.sin(x) * 1.5 + 0.25) / 3.5, in_axes=0)
    program([0.1, 0.2])
    blocks = program._last.paths[0].blocks[(True,)]  # type: ignore[union-attr]
    tape = blocks.instructions[1][-1]
    first, count = tape.shape
    own = blocks.lists.segments.out[first : first + count].tolist()
    assert tape.kind == "segment" and own[-1] > own[0] + 1  # between them a row of 3.5
    written = [blocks.lists.rows(view) for view in ROWS["segment"].writes(blocks.lists, tape)]
    assert [row for rows in written for row in rows.tolist()] == own


def test_a_long_program_is_rolled_up(program: Program) -> None:
    whole, short = engine.draw(program).picture, engine.draw(program, limit=6).picture
    check(short)
    assert len(short.boxes) < len(whole.boxes) and "without copies" in short.caption
    for picture in (whole, short):
        inside = sum(box.count for box in picture.boxes if box.id.startswith("i"))
        assert inside == stood_for(lifted_of(program)[1]).total()


def test_a_program_that_was_not_called_says_so() -> None:
    program = engine.compile(lambda x: x * x)
    for look in (engine.draw, engine.show_lifting):
        with pytest.raises(TraceError, match="call it once"):
            look(program)
    shown = program._repr_mimebundle_()
    assert {*shown} == {"text/html", "text/plain"}
    assert all("call it once" in text for text in shown.values())


def test_where_nothing_is_trusted_pictures_and_tables_are_left(program: Program) -> None:
    for shown, count in ((program, 1), (engine.show_lifting(program), 2)):
        left = Sanitised(shown._repr_html_() or "")
        assert [svg_in(image).tag.rpartition("}")[2] for image in left.images] == ["svg"] * count
        assert left.unknown == []


def test_in_a_notebook_a_program_is_a_picture_and_elsewhere_its_text(program: Program) -> None:
    assert program._repr_mimebundle_()["text/plain"] == str(program)


# --- a graph folded by blocks -------------------------------------------------------------------


def test_blocks_fold_a_graph_without_scopes() -> None:
    recorder = Recorder()
    W, b = network()
    x = [Value(float(k), label=f"x{k}") for k in range(3)]
    with recorded_by(recorder):
        h = [
            sum((w * v for w, v in zip(row, x, strict=True)), c)
            for row, c in zip(W, b, strict=True)
        ]
        y = engine.sum(v.tanh() for v in h) + 0.1 * engine.sum(w * w for row in W for w in row)
    y.backward()
    picture = engine.draw(y, fold="blocks", lines=recorder).picture
    check(picture)
    boxes = {box.title: box for box in picture.boxes}
    product = boxes["matrix product (4 × 3) @ (3 × 1) + bias"]
    assert (product.operations, boxes["tanh of 4"].operations) == (24, 4)
    assert {row.name for row in product.rows} >= {"data", "grad"}
    assert "24 from" in product.detail and "test_seeing_lifting.py" in product.detail
    graph = engine.Graph(y)
    inside = [i for box in picture.boxes for i in box.members]
    assert sorted(inside) == list(range(len(graph.nodes)))


def test_blocks_take_the_options_of_draw_but_those_about_scopes() -> None:
    x = Value(2.0)
    y = (x * 3.0).exp()
    assert engine.draw(y, fold="blocks", color="gradient", path=True).picture.legend
    for options in ({"depth": 1}, {"around": x}, {"limit": 0}):
        with pytest.raises(ValueError):
            engine.draw(y, fold="blocks", **options)
    with pytest.raises(ValueError, match="fold is"):
        engine.draw(y, fold="neurons")  # type: ignore[arg-type]
    plus = engine.custom_op("plus", lambda a, b: a + b, [1.0, 1.0])
    with pytest.raises(TraceError, match="'plus'"):
        engine.draw(plus(x, 1.0), fold="blocks")


# --- the player ---------------------------------------------------------------------------------


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs).get("class") or ""))


def test_the_player_has_a_panel_a_pass_and_opens_each_instruction(program: Program) -> None:
    player = engine.show_lifting(program)
    text = player._repr_html_()
    tags = Tags(text).found
    assert tags.count(("section", "gl-panel")) == len(player.steps) == 6
    instructions = sum(map(len, player.passes.lifted.blocks.instructions))
    assert player.steps[-1]["count"] == instructions == tags.count(("details", ""))
    assert player.steps[0]["count"] == player.passes.lifted.blocks.recorded
    left = sum(not isinstance(fate, str) for fate in player.passes.fate)
    assert player.steps[1]["count"] == left
    assert [tag for tag, _ in tags].count(
        "script"
    ) == 3  # its data, and what runs it: labels are text
    assert "test_seeing_lifting.py" in text


def test_the_player_is_one_file(program: Program, tmp_path) -> None:  # type: ignore[no-untyped-def]
    page = engine.show_lifting(program, theme="dark").save(tmp_path / "lifting")
    text = page.read_text()
    assert page.name == "lifting.html" and text.startswith("<!doctype html>")
    assert not re.findall(r'(?:src|href)="(?!data:image/)|https?://(?!www\.w3\.org/)', text)
    with pytest.raises(ValueError, match="theme"):
        engine.show_lifting(program, theme="pink")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="Program"):
        engine.show_lifting(Value(1.0))  # type: ignore[arg-type]


def test_a_function_that_does_something_else_by_now_is_refused() -> None:
    factors = [2.0]
    program = engine.compile(lambda x: x * factors[0] if len(factors) == 1 else x.exp())
    program(3.0)
    factors.append(3.0)
    with pytest.raises(TraceError, match="something else by now"):
        engine.show_lifting(program)
    assert engine.draw(program).picture.boxes  # this needs no second run


# --- loops --------------------------------------------------------------------------------------


def recurrent(W: list[list[Value]], xs: list[Value]) -> Value:
    state = [Value(0.0)] * len(W)
    for x in xs:
        state = [engine.tanh(engine.dot(row, [*state, x])) for row in W]
    return engine.sum([s * s for s in state])


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("limit", [60, 4])
def test_what_repeats_has_a_frame_of_its_own(limit: int, backward: bool) -> None:
    program = engine.compile(recurrent)
    W = np.random.default_rng(0).normal(size=(6, 7))
    program.value_and_grad(W, np.linspace(-1.0, 1.0, 30))
    picture = engine.draw(program, limit=limit, backward=backward).picture
    check(picture)
    frames = [c for c in picture.clusters if c.name.startswith("for t in range(")]
    assert frames[0].name == "for t in range(30), carries 6"
    assert len(frames) == 1 + backward
    assert all(c.parent in {"c0", "c2"} for c in frames)
    assert len(picture.boxes) < 20 + 20 * backward
    inside = [box for box in picture.boxes if box.cluster == frames[0].id]
    assert sum(box.count for box in inside) == frames[0].count > 1_000
    place = {box.id: k for k, box in enumerate(picture.boxes)}
    assert all(place[a.source] < place[a.target] for a in picture.arrows if a.source in place)


def test_a_loop_is_a_box() -> None:
    def f(x: Value, y: Value) -> Value:
        for _ in range(60):
            x, y = x + 0.01 * y, y - 0.01 * engine.sin(x)
        return x

    program = engine.compile(f)
    program(1.0, 0.0)
    titles_ = [box.title for box in engine.draw(program).picture.boxes]
    assert "for t in range(57): 5 operations, carries 2" in titles_


@pytest.mark.parametrize("name", ["garch", "gated cell"])
def test_loops_are_a_pass_of_their_own(name: str) -> None:
    program = engine.compile(STEPS[name].function)
    program(STEPS[name].at)
    player = engine.show_lifting(program)
    [loops] = [step for step in player.passes.steps if step.name == "loops"]
    assert loops.table is not None and "loops" in [step["phase"] for step in player.steps]
    [(title, scalars)] = loops.table.rows
    assert str(title) in str(program) and str(title).startswith("for t in range(")
    assert scalars == next(each.size for each in player.passes.opened if each.title == title) > 200


def test_layers_step_by_step_are_a_loop_of_instructions() -> None:
    program = engine.compile(recurrent)
    program(np.random.default_rng(0).normal(size=(6, 7)), np.linspace(-1.0, 1.0, 30))
    [loops] = [s for s in engine.show_lifting(program).passes.steps if s.name == "loops"]
    assert loops.table is not None
    [(title, scalars)] = loops.table.rows
    assert re.fullmatch(r"for t in range\(30\): \d instructions", str(title))
    assert int(scalars) > 1_000
