"""Saved models and files of arrays: what goes in comes out, and what is no such file is refused."""

import contextlib
import copy
import errno
import inspect
import json
import math
import os
import pickle
import random
import signal
import struct
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

import nn
from engine import Value
from nn.architecture import CLASSES
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


def test_numbers_under_another_type_of_their_width_are_found(content: bytes, path: Path) -> None:
    assert content.count(b'"dtype":"F64"') == 1
    refused(path, content.replace(b'"dtype":"F64"', b'"dtype":"I64"'))


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


@pytest.mark.parametrize("metadata", ["null", "{}", '{"gradloom": ""}', '{"gradloom": "null"}'])
def test_metadata_of_nothing_is_valid_and_not_ours(path: Path, metadata: str) -> None:
    tensor = '"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}'
    header = f'{{"__metadata__": {metadata}, {tensor}}}'.encode()
    reason = refused(path, len(header).to_bytes(8, "little") + header + bytes(8))
    assert "gradloom did not write it" in reason or "its description is damaged" in reason


def test_a_later_version_is_named(path: Path) -> None:
    said = json.dumps({"version": 2, "sha256": "", "about": {}})
    assert "version 2" in refused(path, save({}, metadata={"gradloom": said}))


def test_a_folder_is_named_and_no_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="it is a folder"):
        read_arrays(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "none")


# --- whole files, come what may -------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    path, rng, before = tmp_path / "file", random.Random(0), -1
    write_arrays(path, {"k": np.full(50_000, -1)}, {"k": -1})
    for _ in range(12):
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                for k in range(before + 1, sys.maxsize):
                    write_arrays(path, {"k": np.full(50_000, k)}, {"k": k})
            os._exit(1)
        time.sleep(rng.uniform(0.01, 0.06))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL  # it was at it, and did not end by itself
        arrays, about = read_arrays(path)
        assert (arrays["k"] == about["k"]).all() and len(arrays["k"]) == 50_000
        assert about["k"] >= before
        before = about["k"]
    assert before > 0


def test_a_file_stays_as_it_was_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    nn.save(nn.Linear(1, 1), tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:  # as on a full disk, some bytes are written, and the next ones are not
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(OSError, match="too large"):
            nn.save(nn.Linear(20, 20), tmp_path / "file")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == before

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # the system may notice only now
    with pytest.raises(OSError, match="No space left"):
        nn.save(nn.Linear(20, 20), tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == before


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*none"):
        nn.save(nn.Linear(1, 1), tmp_path / "none" / "file")


# --- models ---------------------------------------------------------------------------------

MODELS: dict[str, list[nn.Module]] = {
    "Sequential": [nn.Sequential(), nn.Sequential(nn.Sequential(nn.Linear(1, 2)), nn.ReLU())],
    "ModuleList": [nn.ModuleList([nn.Linear(2, 2), nn.ModuleList([nn.Tanh()])])],
    "Neuron": [nn.Neuron(2), nn.Neuron(1, nonlin=False)],
    "Layer": [nn.Layer(2, 3), nn.Layer(2, 1, nonlin=False)],
    "MLP": [nn.MLP(2, [3, 2, 1]), nn.MLP(1, (1,))],
    "Linear": [nn.Linear(2, 3), nn.Linear(3, 1, bias=False)],
    "LeakyReLU": [nn.LeakyReLU(0.2), nn.LeakyReLU(np.float64(0.1))],
    "ELU": [nn.ELU(0.5), nn.ELU(2)],
    "Softplus": [nn.Softplus(2.0, math.inf)],
    "Dropout": [nn.Dropout(0.1), nn.Dropout(1)],
    "Conv1d": [
        nn.Conv1d(1, 2, 3),
        nn.Conv1d(4, 2, [2], 2, 1, 3, groups=2, bias=False, padding_mode="circular"),
    ],
    "Conv2d": [nn.Conv2d(1, 2, 3, padding="same"), nn.Conv2d(2, 1, (1, 2), padding="valid")],
    "MaxPool1d": [nn.MaxPool1d(2), nn.MaxPool1d((3,), 1, np.int64(1))],
    "MaxPool2d": [nn.MaxPool2d(2), nn.MaxPool2d([2, 1], None, (1, 0), ceil_mode=True)],
    "AvgPool1d": [nn.AvgPool1d(2), nn.AvgPool1d(3, 2, 1, ceil_mode=True)],
    "AvgPool2d": [nn.AvgPool2d(2), nn.AvgPool2d(2, 1, count_include_pad=False, divisor_override=3)],
    "Embedding": [nn.Embedding(3, 2)],
    "LayerNorm": [
        *(nn.LayerNorm(3), nn.LayerNorm([2], eps=0.1, bias=False)),
        nn.LayerNorm(10**9, elementwise_affine=False),
    ],
    "RMSNorm": [nn.RMSNorm(3), nn.RMSNorm((2,), eps=0.5), nn.RMSNorm(2, 1e-3, False)],
    "CausalSelfAttention": [nn.CausalSelfAttention(4, 2), nn.CausalSelfAttention(2, 1, bias=False)],
    "MultiheadAttention": [
        *(nn.MultiheadAttention(4, 2), nn.MultiheadAttention(2, 1, 0.5, bias=False)),
        nn.Sequential(nn.MultiheadAttention(2, 1)),
    ],
    "RNN": [nn.RNN(2, 3, nonlinearity="relu"), nn.RNN(2, 1, 2, bias=False, bidirectional=True)],
    "LSTM": [nn.LSTM(2, 3, batch_first=True), nn.LSTM(2, 1, 2, dropout=0.5, bidirectional=True)],
    "GRU": [nn.GRU(2, 3, num_layers=3), nn.GRU(2, 1, bias=False)],
    "RNNCell": [nn.RNNCell(2, 3), nn.RNNCell(1, 1, nonlinearity="relu", bias=False)],
    "LSTMCell": [nn.LSTMCell(2, 3)],
    "GRUCell": [nn.GRUCell(2, 3)],
}


def bits(model: nn.Module) -> dict[str, tuple[Any, bytes]]:
    return {name: (array.shape, array.tobytes()) for name, array in model.state_dict().items()}


def saved(model: nn.Module, path: Path) -> nn.Module:
    nn.save(model, path)
    return nn.load(path)


@pytest.mark.parametrize("name", CLASSES)
def test_every_layer_is_built_again(name: str, path: Path) -> None:
    models = MODELS[name] if name in MODELS else [CLASSES[name]()]
    for model in models:
        nn.init.normal_(model.parameters(), rng=random.Random(0))
        again = saved(model, path)
        assert type(again) is type(model) and repr(again) == repr(model)
        assert bits(again) == bits(model)
        attributes = [{"training": True, **vars(module)} for module in model.modules()]
        for module, expected in zip(again.modules(), attributes, strict=True):
            assert vars(module).keys() | {"training"} == expected.keys()


def test_numbers_come_back_bit_for_bit(path: Path) -> None:
    model = nn.Linear(3, 2)
    numbers = [math.inf, -math.inf, math.nan, -0.0, 5e-324, 0.1]
    payload = struct.unpack("<d", struct.pack("<Q", 0xFFF8_0000_0000_1234))[0]
    for p, number in zip(model.parameters(), [*numbers, payload, 1e308], strict=True):
        p.data = number
    assert bits(saved(model, path)) == bits(model)


def test_modes_and_what_is_frozen_come_back(path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.MLP(2, [1]))
    model[1].eval()
    model[2].layers[0].eval()
    model[0].requires_grad_(False)
    again = saved(model, path)
    modes = [[m.training for m in net.modules()] for net in (model, again)]
    assert modes[0] == modes[1] and modes[1].count(False) == 3
    assert len(again.parameters()) == 3 and not again[0].requires_grad


def test_tied_parameters_stay_tied(path: Path) -> None:
    model = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3), nn.Linear(2, 3, bias=False))
    model[1].weight = model[2].weight = model[0].weight
    again = saved(model, path)
    assert again[0].weight is again[1].weight is again[2].weight
    assert len(again.parameters()) == 9 and bits(again) == bits(model)


def test_a_module_that_is_used_twice_stays_one(path: Path) -> None:
    layer, act = nn.Linear(2, 2), nn.Tanh()
    again = saved(nn.Sequential(layer, act, nn.Sequential(layer, act)).eval(), path)
    assert again[0] is again[2][0] and again[1] is again[2][1] and len(again.parameters()) == 6
    assert not any(module.training for module in again.modules())


def test_a_saved_model_predicts_the_same_after_training(path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 1))
    X, y = np.random.default_rng(0).random((2, 6, 2))
    optimizer = nn.Adam(model.parameters())
    nn.fit(
        *(model, X, y[:, :1]),
        loss=nn.MSELoss(),
        optimizer=optimizer,
        epochs=2,
        path="scalar",
        progress=False,
    )
    assert (nn.predict(saved(model, path), X) == nn.predict(model, X)).all()


class Net(nn.Module):
    def __init__(self) -> None:
        self.layers = [nn.Linear(2, 2), nn.Linear(2, 1)]
        self.scale = Value(2.0)


def test_a_class_of_ones_own_is_loaded_into(path: Path) -> None:
    model, other = Net(), Net().eval()
    nn.save(model, path)
    with pytest.raises(CheckpointError, match=r"the Net .*nn\.load\(path, into=model\)"):
        nn.load(path)
    assert nn.load(path, into=other) is other
    assert bits(other) == bits(model) and not other.training


def changed_models() -> dict[str, nn.Module]:
    class Mine(nn.Linear):
        pass

    models = {
        "a subclass": nn.Sequential(Mine(1, 1)),
        "a neuron": nn.MLP(2, [2, 1]),
        "a parameter": nn.Linear(1, 1),
        "a size": nn.Linear(2, 1),
        "half tied": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)),
        "a list twice": nn.Sequential(nn.Sequential(nn.ReLU())),
        "a setting": nn.SELU(),
        "a list in itself": nn.ModuleList(),
    }
    models["a neuron"].layers[0].neurons[0].nonlin = False
    models["a parameter"].more = Value(1.0)
    models["a size"].in_features = 3
    models["half tied"][1].weight[0][0] = models["half tied"][0].weight[0][0]
    models["a list twice"].append(models["a list twice"][0])
    models["a setting"].alpha = 1.0
    models["a list in itself"].append(models["a list in itself"])
    return models


@pytest.mark.parametrize("change", changed_models())
def test_what_no_constructor_makes_is_loaded_into(change: str, path: Path) -> None:
    model = changed_models()[change]
    nn.save(model, path)
    with pytest.raises(CheckpointError, match=r"nn\.load\(path, into=model\)"):
        nn.load(path)
    other = copy.deepcopy(model)
    nn.init.zeros_(other.parameters())
    assert bits(nn.load(path, into=other)) == bits(model)


def test_what_does_not_fit_leaves_the_model_as_it_was(path: Path) -> None:
    nn.save(nn.Sequential(nn.Linear(2, 2)), path)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    before = bits(model)
    with pytest.raises(CheckpointError, match=r"Missing key\(s\): '1.weight'"):
        nn.load(path, into=model)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="damaged"):
        nn.load(path, into=model)
    assert bits(model) == before


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a Module can be saved, not a dict"):
        nn.save({}, tmp_path / "file")
    with pytest.raises(TypeError, match="into is the Module"):
        nn.load(tmp_path / "file", into={})
    write_arrays(tmp_path / "file", {}, {"epoch": 1})
    with pytest.raises(CheckpointError, match="it holds no model"):
        nn.load(tmp_path / "file")


# --- files that someone made ----------------------------------------------------------------


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "file").write_bytes(pickle.dumps(Trap()))
    for into in (None, nn.Linear(1, 1)):
        with pytest.raises(CheckpointError, match="no safetensors file"):
            nn.load(tmp_path / "file", into=into)
    assert not (tmp_path / "sprung").exists()


LINEAR = {"in_features": 2, "out_features": 1, "bias": False}
WEIGHT = {"weight": np.ones((1, 2))}
BIG = 10**9


def told(name: str, **arguments: Any) -> dict[str, Any]:
    return {"modules": [{"name": "", "class": name, "arguments": arguments}]}


def inside(*modules: dict[str, Any]) -> dict[str, Any]:
    return {"modules": [{"name": "", "class": "Sequential"}, *modules]}


RELU = {"class": "ReLU", "arguments": {}}
FORGED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unknown class": (told("os.system"), {}, "nn has none of this name"),
    "a function": (told("load", path="/"), {}, "nn has none of this name"),
    "the base class": (told("Module"), {}, "nn has none of this name"),
    "large": (told("Linear", in_features=BIG, out_features=BIG, bias=False), WEIGHT, "shape"),
    "large bias": (told("Linear", in_features=2, out_features=BIG, bias=True), WEIGHT, "shape"),
    "large norm": (
        told("LayerNorm", normalized_shape=[BIG], eps=0.0, elementwise_affine=True, bias=True),
        WEIGHT,
        "shape",
    ),
    "large embedding": (told("Embedding", num_embeddings=1, embedding_dim=BIG), WEIGHT, "shape"),
    "large layer": (told("Layer", nin=0, nout=BIG, nonlin=True), WEIGHT, "no array 'neurons.0.w'"),
    "large MLP": (told("MLP", nin=BIG, nouts=[BIG] * 9), WEIGHT, "no array 'layers.0.neurons.0.w'"),
    "large attention": (
        told("CausalSelfAttention", embed_dim=BIG, num_heads=1, bias=True),
        {"query.weight": np.ones((1, 1))},
        "shape",
    ),
    "large LSTM": (
        told("LSTMCell", input_size=BIG, hidden_size=BIG, bias=False),
        {"weight_ih": np.ones((4, 1))},
        "shape",
    ),
    "function": (
        told("RNNCell", input_size=1, hidden_size=1, bias=False, nonlinearity="sinh"),
        {"weight_ih": np.ones((1, 1)), "weight_hh": np.ones((1, 1))},
        'nonlinearity is "tanh" or "relu", not \'sinh\'',
    ),
    "missing array": (told("Linear", **LINEAR), {}, "no array 'weight'"),
    "extra array": (told("Linear", **LINEAR), {**WEIGHT, "more": np.ones(1)}, "Unexpected key"),
    "other shape": (told("Linear", **LINEAR), {"weight": np.ones((2, 1))}, "shape"),
    "other dtype": (told("Linear", **LINEAR), {"weight": np.ones((1, 2), np.float32)}, "float32"),
    "text": (told("Linear", **{**LINEAR, "bias": "yes"}), WEIGHT, "can't have 'yes' as bias"),
    "fraction": (told("Linear", **{**LINEAR, "in_features": 2.0}), WEIGHT, "can't have 2.0"),
    "out of range": (told("Dropout", p=7.0), {}, "takes a probability"),
    "no argument": (told("Linear"), WEIGHT, "Linear takes"),
    "further argument": (told("ReLU", rng=1), {}, "ReLU takes"),
    "list of arguments": (
        {"modules": [{"name": "", "class": "ReLU", "arguments": [1]}]},
        {},
        "ReLU takes",
    ),
    "no root": ({"modules": []}, {}, "makes no sense"),
    "two roots": ({"modules": [{"name": "", **RELU}] * 2}, {}, "told of twice"),
    "no parent": (inside({"name": "1.0", **RELU}), {}, "makes no sense"),
    "no place": (inside({"name": "__class__", **RELU}), {}, "no place for '__class__'"),
    "below a layer": (inside({"name": "0", **RELU}, {"name": "0.0", **RELU}), {}, "no place"),
    "in itself": (inside({"name": "0", "same": ""}), {}, "is the same Sequential"),
    "modes of nothing": ({**told("ReLU"), "eval": ["forward"]}, {}, "makes no sense"),
    "ties of other numbers": (
        {
            **inside(*({"name": n, "class": "Linear", "arguments": LINEAR} for n in "01")),
            "tied": {"1.weight": "0.weight"},
        },
        {"0.weight": np.ones((1, 2)), "1.weight": np.zeros((1, 2))},
        "has other numbers",
    ),
    "ties of a module": (
        {
            **inside(*({"name": n, "class": "Linear", "arguments": LINEAR} for n in "01")),
            "tied": {"0": "1.weight"},
        },
        {key: np.ones((1, 2)) for key in ("0", "0.weight", "1.weight")},
        "are no parameters",
    ),
    "ties of an attribute": (
        {**told("Linear", **LINEAR), "tied": {"forward": "weight"}},
        {"weight": np.ones((1, 2)), "forward": np.ones((1, 2))},
        "makes no sense",
    ),
    "a number": (3, {}, "makes no sense"),
    "nothing": (None, {}, "makes no sense"),
    "text for modules": ({"modules": "abc"}, {}, "makes no sense"),
    "a list for a name": (inside({"name": ["0"], **RELU}), {}, "makes no sense"),
    "a list for a class": (inside({"name": "0", "class": []}), {}, "makes no sense"),
    "no modes": ({"modules": [{"name": "", **RELU}]}, {}, "makes no sense"),
}


@pytest.mark.parametrize("forgery", FORGED)
def test_forged_descriptions(forgery: str, path: Path) -> None:
    described, arrays, message = FORGED[forgery]
    if isinstance(described, dict) and forgery != "no modes":
        described = {"tied": {}, "eval": [], "frozen": [], **described}
    write_arrays(path, arrays, {"kind": "model", "class": "X", "architecture": described})
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=message):
            nn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_description_may_be_as_deep_as_one_likes(path: Path) -> None:
    names = [".".join("0" * depth) for depth in range(1, 2000)]
    modules = [{"name": name, "class": "Sequential"} for name in ["", *names[:-1]]]
    last = {"name": names[-1], "class": "Linear", "arguments": LINEAR}
    described = {"modules": [*modules, last], "tied": {}, "eval": [], "frozen": []}
    arrays = {f"{names[-1]}.weight": np.ones((1, 2))}
    write_arrays(path, arrays, {"kind": "model", "architecture": described})
    assert nn.load(path)([1.0, 2.0])[0].data == 3.0


def test_every_damaged_model_leaves_the_model_it_was_to_go_into(path: Path) -> None:
    model = nn.Linear(2, 1)
    nn.save(model, path)
    content, rng, before = path.read_bytes(), random.Random(0), bits(model)
    for _ in range(50):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        for into in (None, model):
            with pytest.raises(CheckpointError):
                nn.load(path, into=into)
    assert bits(model) == before


def test_every_public_layer_can_be_told() -> None:
    public = {
        name
        for name, found in vars(nn).items()
        if inspect.isclass(found)
        and issubclass(found, nn.Module)
        and not issubclass(found, nn.Loss)
    }
    assert public - set(CLASSES) == {"Module", "Activation"}
