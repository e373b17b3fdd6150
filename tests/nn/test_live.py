"""The film of a training: which epochs are kept, how it shows itself and is saved."""

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nn
from sanitised import Sanitised


def trained(film: nn.LivePlot, epochs: int) -> nn.History:
    model = nn.Sequential(nn.Linear(1, 1))
    optimizer = nn.SGD(model.parameters(), lr=0.1)
    options: dict[str, Any] = {"loss": nn.MSELoss(), "optimizer": optimizer, "progress": False}
    return nn.fit(model, [[1.0]], [[2.0]], epochs=epochs, callbacks=[film], **options)


def test_frames_are_spread_over_the_epochs_with_the_first_and_the_last() -> None:
    drawn: list[tuple[int, int]] = []
    film = nn.LivePlot(draw=lambda ax, epoch, history: drawn.append((epoch, len(history.loss))))
    film.keep = 4
    trained(film, 11)
    assert list(film.frames) == [1, 5, 9, 11] and all(a == b for a, b in drawn)
    assert repr(film) == "LivePlot(of 4 frames, epochs 1 to 11)"
    trained(few := nn.LivePlot(keep=8), 3)
    assert list(few.frames) == [1, 2, 3]


def test_another_training_begins_another_film() -> None:
    film = nn.LivePlot(keep=4)
    trained(film, 9)
    before = film.frames
    trained(film, 3)
    assert list(film.frames) == [1, 2, 3] and list(before) == [1, 5, 9]


@pytest.mark.parametrize("keep", [1, -1, 2.5, "all"])
def test_a_film_has_two_frames_at_least(keep: Any) -> None:
    with pytest.raises(ValueError, match=f"whole number from 2 on, or 0, not {keep!r}"):
        nn.LivePlot(keep=keep)


def test_nothing_is_drawn_where_nobody_sees_it() -> None:
    film = nn.LivePlot(0.0, lambda *_: pytest.fail("drawn for nobody"))
    assert len(trained(film, 2).loss) == 2 and not film.frames


def test_a_film_is_saved_as_gif_and_as_a_page_of_its_own(tmp_path: Path) -> None:
    trained(film := nn.LivePlot(keep=3), 5)
    with Image.open(io.BytesIO(film.save(tmp_path / "film.gif").read_bytes())) as gif:
        assert gif.n_frames == 3 and gif.size == Image.open(io.BytesIO(film.frames[1])).size
    page = film.save(tmp_path / "film.html").read_text(encoding="utf-8")
    assert page.count("iVBOR") == 3 and "http:" not in page and "https:" not in page
    assert "width=device-width" in page  # as large on a phone as elsewhere
    with pytest.raises(ValueError, match=r"as .gif or .html, not as '.mp4'"):
        film.save(tmp_path / "film.mp4")
    with pytest.raises(ValueError, match=r"no frame was kept: give LivePlot\(keep=60\)"):
        nn.LivePlot().save(tmp_path / "none.gif")


def test_where_no_script_runs_the_last_frame_is_seen() -> None:
    trained(film := nn.LivePlot(keep=2), 3)
    shown = film._repr_mimebundle_()
    assert shown["text/plain"] == repr(film) and "image/png" in shown
    [image] = Sanitised(shown["text/html"]).images
    assert image


def test_a_title_of_ones_own_stays() -> None:
    drawn: list[Any] = []

    def draw(ax: Any, epoch: int, history: nn.History) -> None:
        drawn.append(ax)
        if epoch > 1:
            ax.set_title("mine")

    trained(nn.LivePlot(draw=draw, keep=9), 2)
    assert [ax.get_title() for ax in drawn] == ["epoch 1", "mine", "mine"]
