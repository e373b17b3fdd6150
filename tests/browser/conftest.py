"""A headless Chromium for the tests of this folder, and JupyterLab to look at with it.

`make test-browser` runs them. Where Playwright or Chromium is missing they are skipped, and say
what to install; playwright's own download of a browser is not used. GRADLOOM_SCREENSHOTS names a
folder in which to keep what was seen.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
HOUSE = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = str(Path(__file__).parent)  # compared as text: there are 20,000 items
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A running browser."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no Playwright: pip install 'gradloom[browser]'"
    )
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install -y --no-install-recommends chromium")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=list(OPTIONS))
        yield browser
        browser.close()


class Complaints(list[str]):
    """What a page wrote to its console as an error, threw, or tried to fetch."""

    def watch(self, page: Any) -> None:
        page.on("console", lambda m: m.type == "error" and self.append(f"console: {m.text}"))
        page.on("pageerror", lambda error: self.append(f"thrown: {error}"))
        page.on("request", self._note_request)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith(("file:", "data:")):
            self.append(f"fetched: {request.url}")


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a file without a network; at the end nothing may have gone wrong."""
    contexts, complaints = [], Complaints()

    def opened(path: Path, **options: Any) -> Any:
        size = {"width": 1100, "height": 820}
        context = chromium.new_context(**{"offline": True, "viewport": size} | options)
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page)
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="session")
def keep_picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Any, str], bytes]:
    """A function that takes a picture of a page, and keeps it where somebody asked for that."""
    asked = os.environ.get("GRADLOOM_SCREENSHOTS")
    folder = Path(asked) if asked else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Any, name: str) -> bytes:
        picture: bytes = page.screenshot(path=folder / f"{name}.png", animations="disabled")
        return picture

    return keep


@pytest.fixture(scope="session")
def jupyterlab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a JupyterLab, and the folder that it shows."""
    pytest.importorskip("jupyterlab", reason="no JupyterLab: pip install 'gradloom[browser]'")
    base = tmp_path_factory.mktemp("jupyter")
    folder = base / "notebooks"
    folder.mkdir()
    (base / "config" / "labconfig").mkdir(parents=True)
    quiet = '{"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": true}}'
    (base / "config" / "labconfig" / "page_config.json").write_text(quiet)
    # Cells out of sight are to be there as well.
    whole = '{"@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"}}'
    (base / "config" / "labconfig" / "default_setting_overrides.json").write_text(whole)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        f"JUPYTER_{kind}_DIR": str(base / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    path = os.pathsep.join(filter(None, [str(HOUSE), os.environ.get("PYTHONPATH")]))
    options = ("--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}")
    log = base / "log.txt"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options, "--IdentityProvider.token="],
            cwd=folder,
            env=_of_a_reader() | own | {"PYTHONPATH": path},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(f"{address}/api", server, log)
        yield address, folder
    finally:
        server.terminate()
        server.wait(30)


def _of_a_reader() -> dict[str, str]:
    """The environment without what the tests set for themselves: a notebook draws in itself."""
    return {name: text for name, text in os.environ.items() if name != "MPLBACKEND"}


def _wait_until_it_answers(address: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(300):
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text(errors="replace")
            time.sleep(0.2)
    raise TimeoutError(log.read_text(errors="replace"))
