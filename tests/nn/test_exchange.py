"""Networks trained elsewhere, read from files made by hand: no other library is needed. Those that
the libraries write are in test_exchange_with_libraries."""

from __future__ import annotations

import json
import pickle
import struct
import sys
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from safetensors.numpy import save as safetensors

import nn
from nn.exchange import torch_models

W0, b0 = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 4.0]]), np.array([0.1, -0.2, 0.3])
W1 = np.array([[2.0, -1.0, 0.25]])
STATE = {"0.weight": W0, "0.bias": b0, "2.weight": W1}
X = np.array([[1.0, 2.0], [-3.0, 0.5]])
EXPECTED = np.maximum(X @ W0.T + b0, 0.0) @ W1.T


# --- a file of torch.save, opcode by opcode ---------------------------------------------------


def text(item: str) -> bytes:
    content = item.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def number(n: int) -> bytes:
    return b"J" + struct.pack("<i", n)


def row(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def called(module: str, name: str, *arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + row(*arguments) + b"R"


def made_dict(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + item for name, item in items.items()) + b"u"


KINDS = {"<f8": "Double", "<f4": "Float", "<f2": "Half", "<u2": "BFloat16", "<i8": "Long"}


def tensor(
    key: str,
    count: int,
    shape: tuple[int, ...],
    stride: tuple[int, ...],
    *,
    offset: int = 0,
    kind: str = "DoubleStorage",
) -> bytes:
    told = row(text("storage"), f"ctorch\n{kind}\n".encode(), text(key), text("cpu"), number(count))
    return called(
        "torch._utils",
        "_rebuild_tensor_v2",
        *(told + b"Q", number(offset), row(*map(number, shape)), row(*map(number, stride))),
        *(b"\x89", called("collections", "OrderedDict")),
    )


def zipped(files: Mapping[str, bytes], compression: int = 0) -> bytes:
    content = BytesIO()
    with ZipFile(content, "w", compression) as archive:
        for name, item in files.items():
            archive.writestr(name, item)
    return content.getvalue()


def torch_file(items: bytes, storages: Mapping[str, bytes] = {}, **more: bytes) -> bytes:
    files = {"net/data.pkl": b"\x80\x02" + items + b"."}
    files |= {f"net/{name}": item for name, item in more.items()}
    return zipped(files | {f"net/data/{key}": item for key, item in storages.items()})


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


def of_arrays(state: Mapping[str, Any]) -> bytes:
    """As PyTorch would write it."""
    entries, storages = {}, {}
    for i, (name, array) in enumerate(state.items()):
        kind = f"{KINDS[array.dtype.str]}Storage"
        entries[name] = tensor(str(i), array.size, array.shape, strides(array.shape), kind=kind)
        storages[str(i)] = array.tobytes()
    return torch_file(made_dict(entries), storages)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.pt"


def read(path: Path, content: bytes, **options: Any) -> nn.Module:
    path.write_bytes(content)
    return nn.read(path, **options)


def refused(path: Path, content: bytes) -> str:
    """Why a file is refused, without its path."""
    with pytest.raises(nn.ReadError) as caught:
        read(path, content, activations="relu")
    assert caught.value.path == path and str(path) in str(caught.value)
    return str(caught.value).partition(str(path))[2]


def test_state_dicts_are_read_from_every_kind_of_source(path: Path) -> None:
    for content in (of_arrays(STATE), safetensors(STATE), safetensors(STATE, {"format": "pt"})):
        net = read(path, content, activations="relu")
        assert isinstance(net, nn.Sequential) and [type(x).__name__ for x in net] == [
            *("Linear", "ReLU", "Linear")
        ]
        assert np.array_equal(nn.predict(net, X), EXPECTED)
    assert np.array_equal(nn.predict(nn.read(STATE, activations=["relu"]), X), EXPECTED)


def test_numbers_of_other_types_are_read_as_they_are(path: Path) -> None:
    for dtype in ("<f4", "<f2", "<i8"):
        state = {"a.weight": W0.astype(dtype)}
        for content in (of_arrays(state), safetensors(state)):
            [weight] = read(path, content).state_dict().values()
            assert np.array_equal(weight, W0.astype(dtype))
    upper = {"a.weight": (W0.astype("<f4").view("<u4") >> 16).astype("<u2")}
    [weight] = read(path, of_arrays(upper)).state_dict().values()
    assert np.array_equal(weight, W0)  # which bfloat16 has exactly


def test_views_of_one_storage_are_what_they_see(path: Path) -> None:
    both = np.arange(12.0)
    entries = {
        "net.9.weight": tensor("0", 12, (2, 3), (1, 2), offset=6),  # transposed
        "net.10.weight": tensor("0", 12, (3, 2), (2, 1)),
        "net.11.weight": tensor("0", 12, (2, 3), (1, 2), offset=6),
    }
    content = torch_file(made_dict(entries), {"0": both.tobytes()}, byteorder=b"little")
    net = read(path, content, activations="tanh")
    state = net.state_dict()
    assert np.array_equal(state["0.weight"], both[6:].reshape(3, 2).T)
    assert np.array_equal(state["2.weight"], both[:6].reshape(3, 2))
    assert len(net.parameters()) == 12, "the first and the last are tied"
    big = torch_file(
        made_dict({"a.weight": tensor("0", 12, (2, 6), (6, 1))}),
        {"0": both.astype(">f8").tobytes()},
        byteorder=b"big",
    )
    assert np.array_equal(nn.predict(read(path, big), np.eye(6)), both.reshape(2, 6).T)


def test_the_state_dict_is_found_in_a_checkpoint(path: Path) -> None:
    weight = made_dict({"module.0.weight": tensor("0", 6, (3, 2), (2, 1))})
    others = {"epoch": number(3), "optimizer": made_dict({"state": b"}", "lr": b"G" + bytes(8)})}
    for name in ("state_dict", "model", "whatever"):
        content = torch_file(made_dict({**others, name: weight}), {"0": W0.tobytes()})
        assert [*read(path, content).state_dict()] == ["0.weight"]
    content = torch_file(made_dict({"a": weight, "b": weight}), {"0": W0.tobytes()})
    assert "more than one state dict: ['a', 'b']" in refused(path, content)
    assert "no state dict" in refused(path, torch_file(made_dict(others)))


def test_a_model_gets_the_numbers_of_any_layers(path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    state = {**{f"_orig_mod.{name}": x + 1.0 for name, x in model.state_dict().items()}}
    assert read(path, of_arrays(state), into=model) is model
    assert all(np.array_equal(x, state[f"_orig_mod.{n}"]) for n, x in model.state_dict().items())
    before = model.state_dict()
    state["_orig_mod.1.bias"] = state["_orig_mod.1.weight"] = np.ones(4)
    with pytest.raises(nn.ReadError, match=r"net.pt: .*'1.weight' has shape \(3,\) here"):
        read(path, of_arrays(state), into=model)
    assert all(np.array_equal(x, before[name]) for name, x in model.state_dict().items())


def test_what_nn_save_wrote_is_loaded(path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ELU(), nn.MLP(3, [2]))
    nn.save(model, path)
    assert np.array_equal(nn.predict(nn.read(path), X), nn.predict(model, X))
    twin = nn.Sequential(nn.Linear(2, 3), nn.ELU(), nn.MLP(3, [2]))
    assert nn.read(path, into=twin) is twin
    assert np.array_equal(nn.predict(twin, X), nn.predict(model, X))
    damaged = path.read_bytes()[:-1] + b"\0"
    assert "damaged" in refused(path, damaged)


def test_activations_are_asked_for_and_checked() -> None:
    with pytest.raises(nn.ReadError, match=r'2 Linear layers.*give activations="relu"'):
        nn.read(STATE)
    with pytest.raises(ValueError, match="2 Linear layers take 1 or 2 activations, not 3"):
        nn.read(STATE, activations=["relu"] * 3)
    with pytest.raises(nn.ReadError, match=r"no layer for 'rleu', only for .*relu"):
        nn.read(STATE, activations="rleu")
    for wrong in (nn.ReLU(), [nn.ReLU], np.tanh):
        with pytest.raises(TypeError, match='activations are a name such as "relu", or a list'):
            nn.read(STATE, activations=wrong)  # type: ignore[arg-type]
    net = nn.read(STATE, activations="softplus")
    assert repr(net[1]) == "Softplus(beta=1.0, threshold=20.0)"  # type: ignore[index]
    net = nn.read(STATE, activations=[nn.LeakyReLU(0.5), "softmax"])
    assert repr(net[1]) == "LeakyReLU(negative_slope=0.5)" and repr(net[3]) == "Softmax(dim=-1)"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"c.weight": np.ones((2, 1, 3, 3))}, r"'c': .*no Linear; build the model"),
        ({"n.weight": np.ones(3), "n.bias": np.ones(3)}, r"'n': .*no Linear"),
        ({"n.running_mean": np.ones(3)}, r"'n': .*no Linear"),
        ({"a.weight": W0, "a.bias": np.ones(2)}, r"'a': 'bias' has shape \(3,\) as told"),
        ({"a.weight": W0, "b.weight": W0}, r"'b': it takes 2 numbers.*before it gives 3"),
        ({"a.weight": np.ones((0, 3))}, r"'a': .*out_features is a whole number of at least 1"),
        ({"a.weight": np.ones((1, 1), complex)}, "'a.weight': it is no tensor of numbers"),
        ({0: np.ones((1, 1))}, "'0': .* its name is no text"),
        ({}, "it has no arrays"),
    ],
)
def test_states_that_are_no_chain_of_linear_layers_are_refused(state: Any, said: str) -> None:
    with pytest.raises(nn.ReadError, match=said):
        nn.read(state, activations="relu")


def test_objects_and_arguments_that_make_no_sense_are_refused(path: Path) -> None:
    with pytest.raises(TypeError, match=r"read takes the path of a file.*not a int"):
        nn.read(3)
    with pytest.raises(TypeError, match="into is the Module"):
        nn.read(STATE, into=3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        nn.read(path)
    with pytest.raises(nn.ReadError, match="it is a folder"):
        nn.read(path.parent)


# --- damaged and hostile files --------------------------------------------------------------


class Evil:
    """What runs a function when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.touch, (Path("owned"),)


def test_nothing_is_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    for protocol in range(6):
        pickled = pickle.dumps({"a.weight": Evil()}, protocol)
        content = zipped({"net/data.pkl": pickled})
        assert "data.pkl" in refused(path, content)
        assert "nothing is run here" in refused(path, content) or protocol < 2
        assert "it is a pickle" in refused(path, pickled) or protocol < 2
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (b"cos\nsystem\n" + row(text("true")) + b"R", r"it holds os.system, and nothing is run"),
        (called("torch", "load", text("x")), "it calls 'torch load'"),
        (b"ctorch.nn.modules.linear\nLinear\n)\x81", "holds torch.nn.modules.linear.Linear"),
        (b"ccollections\nOrderedDict\n}b", "the instruction BUILD"),
        (b"}" + b"2", "the instruction DUP"),
        (b"h\x07", "damaged"),
        (b"r\xff\xff\xff\xff", "damaged"),
        (text("a") + b"s", "damaged"),
        (b"}(" + text("a") + b"u", "damaged"),
        (b"u", "damaged"),
        (b"}" + b"((" * 3000 + b"tt" * 3000 + number(1) + b"s", "a tuple is no key"),
        (b"", "damaged"),
    ],
)
def test_pickles_of_other_things_are_refused(path: Path, items: bytes, said: str) -> None:
    assert said in refused(path, torch_file(items))


def test_a_number_for_the_memo_takes_no_memory(path: Path) -> None:
    weight = b"r\xff\xff\xff\x7f".join([b"}", b""])
    assert "no state dict" in refused(path, torch_file(weight))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (tensor("0", 6, (3, 2), (2, 2)), "'data/0': a tensor (3, 2) with the strides (2, 2)"),
        (tensor("0", 6, (3, 2), (2, 1), offset=1), "from 1 on is not inside"),
        (tensor("0", 6, (3, 2), (2, -1)), "'data/0': a tensor's sizes are no whole numbers"),
        (tensor("0", 6, (3, 2), (2,)), "damaged"),
        (tensor("0", 6, (1 << 30, 1 << 30), (0, 0)), "more numbers than bytes"),
        (tensor("0", 7, (3, 2), (2, 1)), "'data/0': it has 6 numbers, and the pickle tells of 7"),
        (tensor("1", 6, (3, 2), (2, 1)), "'net/data/1': it is missing"),
        (tensor("0", 6, (3, 2), (2, 1), kind="ComplexDoubleStorage"), "ComplexDoubleStorage"),
        (tensor("0", 12, (3, 2), (2, 1), kind="QInt8Storage"), "QInt8Storage"),
    ],
)
def test_tensors_outside_of_their_storage_are_refused(path: Path, entry: bytes, said: str) -> None:
    content = torch_file(made_dict({"a.weight": entry}), {"0": W0.tobytes()})
    assert said in refused(path, content)


def test_a_tensor_is_no_storage(path: Path) -> None:
    """Of the last number of a storage, repeated, a second view would see what lies behind it."""
    repeated = tensor("0", 6, (40,), (0,), offset=5)
    for storage in (repeated, row(text("0"), repeated)):
        arguments = (storage, number(0), row(number(40)), row(number(1)), b"\x89")
        entry = called("torch._utils", "_rebuild_tensor_v2", *arguments)
        content = torch_file(made_dict({"a.weight": entry}), {"0": W0.tobytes()})
        assert "a tensor is a view of a storage" in refused(path, content)


def test_a_file_that_unpacks_to_more_than_itself_is_refused(path: Path) -> None:
    bomb = zipped({"net/data.pkl": b"\x80\x02}.", "net/data/0": bytes(10**6)}, ZIP_DEFLATED)
    assert "larger than the file" in refused(path, bomb)


@pytest.mark.parametrize("make", [of_arrays, safetensors])
def test_damaged_files_are_refused_or_read_as_they_are(make: Any, path: Path) -> None:
    """Of what can be told: safetensors has no sum of its numbers."""
    content = make(STATE)
    for length in range(0, len(content), 7):
        refused(path, content[:length])
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        try:
            read(path, bytes(damaged), activations="relu")
        except nn.ReadError:
            continue


def test_other_files_are_refused_by_what_they_are(path: Path) -> None:
    assert "format of PyTorch before 1.6" in refused(path, torch_models.OLD_MAGIC + b"...")
    assert "it is damaged at its beginning" in refused(path, b"hello")
    assert "no data.pkl" in refused(path, zipped({"a": b""}))
    assert "TorchScript" in refused(path, zipped({"net/data.pkl": b"", "net/constants.pkl": b""}))
    assert "'byteorder': it is b'middle'" in refused(path, torch_file(b"}", byteorder=b"middle"))


# --- Keras ------------------------------------------------------------------------------------


def test_keras_needs_h5py(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    content = zipped({"config.json": b"{}", "model.weights.h5": b"x"})
    with pytest.raises(ImportError, match=r"pip install 'gradloom\[exchange\]'"):
        read(path, content)


DENSE = {
    "class_name": "Dense",
    "config": {"name": "first", "activation": "tanh", "use_bias": True, "units": 3},
}
KERAS = {"class_name": "Sequential", "config": {"layers": [DENSE]}}


def hdf5(fill: Any) -> bytes:
    h5py = pytest.importorskip("h5py")
    content = BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def keras_file(told: Any, fill: Any) -> bytes:
    config = told if isinstance(told, bytes) else json.dumps(told).encode()
    return zipped({"config.json": config, "model.weights.h5": hdf5(fill)})


def fill_dense(file: Any) -> None:
    file["layers/dense/vars/0"], file["layers/dense/vars/1"] = W0.T, b0


def test_keras_files_are_read(path: Path) -> None:
    net = read(path, keras_file(KERAS, fill_dense))
    assert np.allclose(nn.predict(net, X), np.tanh(X @ W0.T + b0), rtol=0, atol=1e-15)
    assert not net.training


def test_files_of_keras_2_are_read(path: Path) -> None:
    """Functional, with names that end in ":0", as bytes, and calls as lists."""

    def layer(kind: str, name: str, before: str | None, **config: Any) -> dict[str, Any]:
        calls = [[[before, 0, 0, {}]]] if before else []
        told = {"class_name": kind, "name": name, "config": {"name": name, **config}}
        return {**told, "inbound_nodes": calls}

    layers = [
        layer("Dense", "out", "act", activation="linear", use_bias=False),
        layer("InputLayer", "in", None, batch_input_shape=[None, 2]),
        layer("Dense", "hidden", "in", activation="linear", use_bias=True),
        layer("LeakyReLU", "act", "hidden", alpha=0.25),
    ]
    config = {"layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["out", 0, 0]]}

    def fill(file: Any) -> None:
        told = {"class_name": "Functional", "config": config}
        file.attrs["model_config"] = json.dumps(told).encode()
        for name, variables in (
            ("hidden", {"kernel": W0.T, "bias": b0}),
            ("out", {"kernel": W1.T}),
        ):
            group = file.create_group(f"model_weights/{name}")
            names = [f"{name}/{variable}:0" for variable in variables]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for place, array in zip(names, variables.values(), strict=True):
                group[place] = array.astype("f4")

    hidden = X @ W0.T.astype("f4") + b0.astype("f4")
    expected = np.where(hidden > 0.0, hidden, 0.25 * hidden) @ W1.T
    assert np.allclose(nn.predict(read(path, hdf5(fill)), X), expected, rtol=0, atol=1e-15)
    layers[0]["inbound_nodes"][0][0][0] = "out"
    assert "'out': the layers go round in a ring" in refused(path, hdf5(fill))
    layers[0]["inbound_nodes"][0].append(["in", 0, 0, {}])
    assert "'out': it has 2 inputs (out, in), and a Sequential is a chain" in refused(
        path, hdf5(fill)
    )


def with_dense(**config: Any) -> dict[str, Any]:
    return {**KERAS, "config": {"layers": [{**DENSE, "config": DENSE["config"] | config}]}}  # type: ignore[operator]


def other_layer(kind: str, **config: Any) -> dict[str, Any]:
    return {**KERAS, "config": {"layers": [{"class_name": kind, "config": config}]}}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (b"{", "it is damaged, or of another version"),
        (b"[" * 100_000, "it is damaged, or of another version"),
        ({"class_name": "Mine", "config": {"layers": []}}, "a Mine has a call of its own"),
        (other_layer("Conv9D", name="c"), "'c': nn has no layer for a Conv9D"),
        (other_layer("ReLU", name="r", max_value=6), "'r': nn's ReLU is as with"),
        (with_dense(activation="mish"), "'first': there is no layer for 'mish'"),
        (with_dense(activation={"class_name": "f"}), "'first': its activation is of no known"),
        (with_dense(use_bias=False), "'first': it has 2 arrays, not its kernel and bias"),
        (other_layer("Dense", name="first"), "it is damaged, or of another version (KeyError"),
    ],
)
def test_keras_files_of_other_things_are_refused(path: Path, told: Any, said: str) -> None:
    assert said in refused(path, keras_file(told, fill_dense))


def test_hostile_hdf5_is_refused(path: Path) -> None:
    h5py = pytest.importorskip("h5py")

    def elsewhere(file: Any) -> None:
        file["layers/dense/vars/0"] = h5py.ExternalLink("/tmp/other.h5", "/x")

    def packed(file: Any) -> None:
        file.create_dataset("layers/dense/vars/0", (1000, 1000), "f8", compression="gzip")
        file["layers/dense/vars/1"] = b0

    def texts(file: Any) -> None:
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = "a", "b"

    def raw(file: Any) -> None:
        outside = [(str(path), 0, 48)]
        file.create_dataset("layers/dense/vars/0", (2, 3), "f8", external=outside)

    for fill, said in (
        (elsewhere, "'/layers/dense/vars/0': it is a link"),
        (packed, "'/layers/dense/vars/0': what is packed in it is larger than the file"),
        (texts, "'/layers/dense/vars/0': it is no array of numbers in this file"),
        (raw, "'/layers/dense/vars/0': it is no array of numbers in this file"),
    ):
        assert said in refused(path, keras_file(KERAS, fill))


def test_damaged_keras_files_are_refused_or_read(path: Path) -> None:
    weights = hdf5(fill_dense)
    config = json.dumps(KERAS).encode()
    for place in range(0, len(weights), 37):
        damaged = bytearray(weights)
        damaged[place] ^= 1 << place % 8
        content = zipped({"config.json": config, "model.weights.h5": bytes(damaged)})
        try:
            read(path, content)
        except nn.ReadError:
            continue


# --- writing ----------------------------------------------------------------------------------


def every_layer() -> nn.Sequential:
    """Of all layers that Keras has, too."""
    inner = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ELU(0.5), nn.Identity(), nn.Linear(4, 3))
    activations = [nn.GELU(), nn.SELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Dropout(0.1)]
    rest = [nn.MLP(3, [3, 2]), nn.LogSoftmax(), nn.Softmax()]
    first = [nn.Flatten(), nn.Linear(2, 4), nn.LeakyReLU(0.3), nn.ReLU(), nn.Softplus()]
    return nn.Sequential(*first, inner, *activations, *rest).eval()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_written_is_read_again(tmp_path: Path, dtype: Any) -> None:
    model = every_layer()
    nn.write(model, tmp_path / "net.keras", dtype=dtype)
    nn.write(model, tmp_path / "net.pt", dtype=dtype)
    twin = every_layer()
    assert nn.read(tmp_path / "net.pt", into=twin) is twin
    tolerance = {"float64": 1e-15, "float32": 1e-6}[dtype]
    for found in (nn.read(tmp_path / "net.keras"), twin):
        assert np.allclose(nn.predict(found, X), nn.predict(model, X), rtol=0, atol=tolerance)


def test_what_is_written_at_any_time_is_the_same(tmp_path: Path) -> None:
    model = every_layer()
    for name in ("net.keras", "net.pt", "net.weights.h5"):
        nn.write(model, tmp_path / name)
        first = (tmp_path / name).read_bytes()
        nn.write(model, tmp_path / name)
        assert (tmp_path / name).read_bytes() == first


class Doubled(nn.Linear):
    def forward(self, x: Any) -> Any:
        return [2.0 * y for y in super().forward(x)]


@pytest.mark.parametrize(
    ("model", "name", "error", "said"),
    [
        (nn.Linear(2, 1), "net.txt", ValueError, "net.txt should end in .*keras.* nn.save"),
        (nn.Linear(2, 1), "net.h5", ValueError, "net.h5 is written as .keras, or as .weights.h5"),
        (nn.Linear(2, 1), "no/net.pt", FileNotFoundError, "there is no folder"),
        (3, "net.pt", TypeError, "a Module can be written, not a int"),
        (
            nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.RMSNorm(2))),
            "net.keras",
            ValueError,
            r"layer '1.0', RMSNorm\(.* can't be written to a file of Keras",
        ),
        (nn.Softplus(2.0), "net.keras", ValueError, r"layer '', Softplus\(beta=2.0"),
        (nn.Sequential(Doubled(2, 1)), "net.keras", ValueError, r"layer '0', Doubled\("),
    ],
)
def test_what_cant_be_written_is_said(
    model: Any, name: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        nn.write(model, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_dtypes_and_targets_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="float64 or float32, not float16"):
        nn.write(nn.Linear(2, 1), tmp_path / "net.pt", dtype=np.float16)
    with pytest.raises(TypeError, match=r"to a path, or to scikit-learn's .* not to a list"):
        nn.write(nn.Linear(2, 1), [])
