"""Networks that other libraries have made, and their files, give here what they give there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nn

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning"),  # Keras's on NumPy 2
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:torch"),
]

X = np.random.default_rng(0).normal(size=(50, 3)) * 2.0


def difference(found: nn.Module, expected: Any) -> float:
    """The largest, of predictions for X."""
    return float(np.abs(nn.predict(found, X) - expected).max())


# --- PyTorch ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> Any:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch


def in_torch(torch: Any, model: Any) -> Any:
    with torch.no_grad():
        return model.eval()(torch.tensor(X)).numpy()


def chain(torch: Any) -> Any:
    """Of Linear layers with ELU between, nested, one without a bias."""
    inner = torch.nn.Sequential(torch.nn.Linear(4, 5, bias=False), torch.nn.ELU())
    layers = (torch.nn.Linear(3, 4), torch.nn.ELU(), inner, torch.nn.Linear(5, 2))
    return torch.nn.Sequential(*layers).double()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_state_dicts_of_every_pickle_protocol(torch: Any, tmp_path: Path, protocol: int) -> None:
    model, path = chain(torch), tmp_path / "net.pt"
    torch.save(model.state_dict(), path, pickle_protocol=protocol)
    assert difference(nn.read(path, activations="elu"), in_torch(torch, model)) < 1e-14


def test_checkpoints_of_wrapped_and_compiled_models(torch: Any, tmp_path: Path) -> None:
    model, path = chain(torch), tmp_path / "net.pth"
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.tensor(X)).sum().backward()
    optimizer.step()
    parallel = torch.nn.DataParallel(model)
    for saved in (model, parallel, torch.compile(model)):
        others = {"optimizer": optimizer.state_dict(), "epoch": 3, "device": torch.device("cpu")}
        others |= {"best": {1, 2}, "size": torch.Size([3]), "rng": torch.get_rng_state()}
        torch.save({"model_state_dict": saved.state_dict(), **others}, path)
        assert difference(nn.read(path, activations="elu"), in_torch(torch, model)) < 1e-14


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_other_types_are_read_exactly(torch: Any, tmp_path: Path, dtype: str) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    model = chain(torch).to(getattr(torch, dtype))
    torch.save(model.state_dict(), tmp_path / "net.pt")
    safetensors.save_file(model.state_dict(), tmp_path / "net.safetensors")
    expected = in_torch(torch, model.double())  # which has the same numbers
    for name in ("net.pt", "net.safetensors"):
        assert difference(nn.read(tmp_path / name, activations="elu"), expected) < 1e-14
    assert difference(nn.read(model.state_dict(), activations="elu"), expected) < 1e-14


def test_tied_transposed_and_expanded_tensors(torch: Any, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    tied = torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(4)]).double()
    tied[1].weight = tied[0].weight
    tied[2].weight.data = tied[0].weight.data.t()
    tied[3].bias.data = torch.ones(1).double().expand(3)
    expected = in_torch(torch, tied)
    torch.save(tied.state_dict(), tmp_path / "net.pt")
    for source in (tmp_path / "net.pt", tied.state_dict(), tied):
        options = {} if source is tied else {"activations": ["identity"] * 3}
        found = nn.read(source, **options)
        assert difference(found, expected) < 1e-14
        assert len(found.parameters()) == 3 * 9 + 4 * 3, "one weight is tied"
    tied[2].weight.data = tied[2].weight.data.contiguous().clone()
    tied[3].bias.data = torch.ones(3).double()
    safetensors.save_model(tied, tmp_path / "net.safetensors")
    found = nn.read(tmp_path / "net.safetensors", activations=["identity"] * 3)
    assert difference(found, expected) < 1e-14 and len(found.parameters()) == 3 * 9 + 4 * 3


def test_modules_are_read_with_all_their_settings(torch: Any) -> None:
    tnn = torch.nn
    shared = tnn.Linear(4, 4)
    model = tnn.Sequential(
        tnn.BatchNorm1d(3),
        tnn.Linear(3, 4, bias=False),
        tnn.BatchNorm1d(4, eps=0.1),
        tnn.ReLU(inplace=True),
        tnn.Sequential(shared, tnn.LeakyReLU(0.3), shared, tnn.ELU(0.5, inplace=True)),
        *(tnn.BatchNorm1d(4, affine=False), tnn.LayerNorm(4, eps=0.1), tnn.Dropout(0.4)),
        *(tnn.Linear(4, 4), tnn.GELU(), tnn.SiLU(), tnn.SELU(), tnn.Softplus(2.0, 0.5)),
        *(tnn.Tanh(), tnn.Sigmoid(), tnn.Identity(), tnn.Flatten(), tnn.RMSNorm(4)),
        *(tnn.Linear(4, 4), tnn.Softmax(dim=1), tnn.LogSoftmax(dim=-1)),
    ).double()
    for _ in range(3):
        model.train()(torch.tensor(X))
    found = nn.read(model)
    assert all(module.training for module in found.modules())
    assert difference(found.eval(), in_torch(torch, model)) < 1e-13
    assert found[4][0] is found[4][2]  # type: ignore[index]
    with pytest.raises(ValueError, match="activations are for a state dict"):
        nn.read(model, activations="relu")


def test_modules_that_are_none_of_ours_are_named(torch: Any) -> None:
    tnn = torch.nn

    class Own(tnn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = tnn.Linear(3, 2)

    hooked = tnn.Linear(3, 2)
    hooked.register_forward_hook(lambda *_: None)
    weight_norm = tnn.utils.parametrizations.weight_norm(tnn.Linear(3, 2))
    for part, said in (
        (Own(), r"'1': nn has no layer for a .*Own; build the same model here"),
        (hooked, "'1': it has hooks"),
        (weight_norm, "'1': nn has no layer for a .*ParametrizedLinear"),
        (tnn.GELU("tanh"), r"'1': it is a GELU\(approximate='tanh'\), and nn has only GELU"),
        (tnn.Softmax(dim=0), "'1': .*Softmax works on the last dimension"),
        (tnn.BatchNorm1d(3, track_running_stats=False), "'1': it keeps no running mean"),
        (
            tnn.Sequential(tnn.LayerNorm(3), tnn.Softmax(dim=1)),
            r"'1.1': .*Softmax works on the last",
        ),
        (tnn.Hardtanh(), "'1': nn has no layer for a .*Hardtanh"),
    ):
        with pytest.raises(nn.ReadError, match=f"Sequential: {said}"):
            nn.read(tnn.Sequential(tnn.Linear(3, 3), part))
    model = nn.Sequential(nn.Linear(3, 2))
    own = Own()
    assert nn.read(own.net, into=model[0]) is model[0]
    assert np.array_equal(model[0].state_dict()["bias"], own.net.bias.detach().numpy())


def test_files_that_need_pytorch_are_refused(torch: Any, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"

    def refused(item: Any, said: str, **options: Any) -> None:
        torch.save(item, path, **options)
        with pytest.raises(nn.ReadError, match=said):
            nn.read(path, activations="relu")

    model = chain(torch)
    refused(model, r"net.pt: 'data.pkl': it holds torch.nn.modules.container.Sequential")
    refused(model.state_dict(), "before PyTorch 1.6|PyTorch before 1.6", **OLD)
    refused({"a": torch.eye(3).to_sparse()}, "torch._utils._rebuild_sparse_tensor")
    refused({"a.weight": torch.eye(3, dtype=torch.complex64)}, "ComplexFloatStorage")
    refused({"a.weight": torch.eye(3).to(torch.complex64).conj()}, "ComplexFloat|conjugate")
    refused({"a.weight": torch.zeros(3, dtype=torch.float8_e4m3fn)}, "_rebuild_tensor_v3")
    refused({"args": Path("a"), "model": model.state_dict()}, "it holds pathlib")
    refused([model.state_dict()], "it holds no state dict")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(model), path)
    with pytest.raises(nn.ReadError, match="TorchScript"):
        nn.read(path)


OLD = {"_use_new_zipfile_serialization": False}


def test_what_is_written_is_loaded_by_pytorch(torch: Any, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    theirs = chain(torch)
    ours = nn.read(theirs)
    for p in ours.parameters():
        p.data += 1.0
    nn.write(ours, tmp_path / "net.pt")
    nn.save(ours, tmp_path / "net.safetensors")
    for load, name in ((torch.load, "net.pt"), (safetensors.load_file, "net.safetensors")):
        theirs.load_state_dict(load(tmp_path / name))
        assert difference(ours, in_torch(torch, theirs)) < 1e-12
    nn.write(ours, tmp_path / "net.pt", dtype=np.float32)
    loaded = torch.load(tmp_path / "net.pt")
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}


@pytest.mark.parametrize("dims", [1, 2])
def test_convolutions_of_pytorch(torch: Any, dims: int) -> None:
    tnn = torch.nn

    def of(kind: str, *sizes: Any, **options: Any) -> Any:
        return getattr(tnn, f"{kind}{dims}d")(*sizes, **options)

    model = tnn.Sequential(
        *(of("Conv", 2, 4, 3, padding="same", bias=False, groups=2), of("BatchNorm", 4)),
        *(tnn.ReLU(), of("MaxPool", 2), of("Conv", 4, 3, 2, dilation=2), of("AvgPool", 2)),
        *(tnn.Flatten(), tnn.Linear(1, 4), tnn.BatchNorm1d(4), tnn.Softmax(dim=1)),
    ).double()
    pictures = torch.randn(20, 2, *[16] * dims).double()
    model[7] = tnn.Linear(model[:7](pictures).shape[1], 4).double()
    model.train()(pictures)
    with torch.no_grad():
        expected = model.eval()(pictures).numpy()
    assert np.allclose(nn.predict(nn.read(model), pictures.numpy()), expected, rtol=0, atol=1e-13)
    with pytest.raises(nn.ReadError, match="'2': a batch norm of channels is read after a conv"):
        nn.read(tnn.Sequential(of("Conv", 2, 4, 3), tnn.ReLU(), of("BatchNorm", 4)))
    with pytest.raises(nn.ReadError, match="'0': a batch norm of channels is read after a conv"):
        nn.read(tnn.Sequential(tnn.BatchNorm2d(7)))
    with pytest.raises(nn.ReadError, match="'0': a batch norm of channels is read after a conv"):
        nn.read(tnn.Sequential(tnn.BatchNorm1d(7), tnn.Sequential(tnn.ReLU(), tnn.Conv1d(7, 2, 3))))
    nn.read(tnn.Sequential(tnn.BatchNorm1d(7), tnn.Linear(7, 2)))  # of rows
    with pytest.raises(nn.ReadError, match=r"'1': .*Softmax works on the last"):
        nn.read(tnn.Sequential(of("Conv", 2, 4, 3), tnn.Softmax(dim=1)))


# --- scikit-learn -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mlp() -> Iterator[Callable[..., Any]]:
    """Makes a fitted estimator."""
    module = pytest.importorskip("sklearn.neural_network")

    def fitted(name: str, y: Any, **options: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            return getattr(module, name)(max_iter=20, random_state=0, **options).fit(X, y)

    yield fitted


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_perceptrons_of_scikit_learn(mlp: Callable[..., Any], activation: str) -> None:
    options = {"activation": activation, "hidden_layer_sizes": (5, 4)}
    total = X.sum(axis=1)
    many = mlp("MLPClassifier", np.digitize(total, [-1.0, 1.0]), **options)
    assert difference(nn.read(many), many.predict_proba(X)) < 1e-14
    two = mlp("MLPClassifier", np.where(total > 0.0, "yes", "no"), **options)
    assert difference(nn.read(two), two.predict_proba(X)[:, 1:]) < 1e-14
    several = mlp("MLPClassifier", X > 0.0, **options)
    assert difference(nn.read(several), several.predict_proba(X)) < 1e-14
    for y in (total, X):
        regressor = mlp("MLPRegressor", y, **options)
        expected = regressor.predict(X).reshape(len(X), -1)
        assert difference(nn.read(regressor), expected) < 1e-13


def test_other_estimators_are_refused(mlp: Callable[..., Any]) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    neural_network = pytest.importorskip("sklearn.neural_network")
    for estimator in (linear_model.Ridge(), neural_network.MLPRegressor()):
        with pytest.raises(nn.ReadError, match="it is no fitted MLPClassifier or MLPRegressor"):
            nn.read(estimator)


def test_of_a_pipeline_the_last_step_is_named(mlp: Callable[..., Any]) -> None:
    pipeline = pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    fitted = mlp("MLPRegressor", X[:, 0])
    steps = pipeline.Pipeline([("scaled", preprocessing.StandardScaler()), ("net", fitted)])
    with pytest.raises(nn.ReadError, match=r"its last step, nn\.read\(pipeline\['net'\]\)"):
        nn.read(steps)
    assert difference(nn.read(steps["net"]), fitted.predict(X)[:, None]) < 1e-13


def test_estimators_of_ours_have_their_network() -> None:
    pytest.importorskip("sklearn")
    from nn.sklearn import MLPRegressor

    estimator = MLPRegressor([4], "tanh", model=lambda n, k: nn.Linear(n, k), max_iter=1)
    estimator.n_iter_no_change = float("inf")
    with pytest.raises(nn.ReadError, match=r"estimator of nn\.sklearn: its network is"):
        nn.read(estimator.fit(X, X[:, 0]))
    with pytest.raises(TypeError, match=r"not to a nn\.sklearn\.MLPRegressor"):
        nn.write(nn.Linear(3, 1), estimator)


@pytest.mark.parametrize(
    ("name", "outputs", "head"),
    [
        ("MLPClassifier", 3, nn.Softmax()),
        ("MLPClassifier", 2, nn.Softmax()),
        ("MLPClassifier", 1, nn.Sigmoid()),
        ("MLPClassifier", 3, nn.Sigmoid()),
        ("MLPRegressor", 1, nn.Identity()),
        ("MLPRegressor", 2, nn.Identity()),
    ],
)
def test_estimators_of_a_network(name: str, outputs: int, head: nn.Module) -> None:
    module = pytest.importorskip("sklearn.neural_network")
    inner = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5, bias=False), nn.Tanh())
    model = nn.Sequential(inner, nn.Dropout(0.5), nn.Linear(5, outputs), head).eval()
    estimator = getattr(module, name)(alpha=0.5, early_stopping=True, solver="lbfgs")
    nn.write(model, estimator)
    settings = estimator.get_params()
    assert settings["hidden_layer_sizes"] == (4, 5) and settings["activation"] == "tanh"
    assert settings["alpha"] == 0.5 and settings["solver"] == "lbfgs"
    if name == "MLPRegressor":
        assert np.allclose(estimator.predict(X).reshape(len(X), -1), nn.predict(model, X), 0, 1e-14)
        return
    expected = nn.predict(model, X)
    expected = expected if outputs > 1 else np.hstack([1.0 - expected, expected])
    assert np.allclose(estimator.predict_proba(X), expected, rtol=0, atol=1e-14)
    assert estimator.score(X, estimator.predict(X)) == 1.0


def test_an_estimator_keeps_its_classes_and_can_be_trained_further(
    mlp: Callable[..., Any],
) -> None:
    y = np.where(X[:, 0] > 0.0, "yes", "no")
    estimator = mlp("MLPClassifier", y)
    model = nn.Sequential(nn.Linear(3, 2), nn.Softmax())
    nn.write(model, estimator)
    assert [*estimator.predict(X)] == [("no", "yes")[row.argmax()] for row in nn.predict(model, X)]
    before = estimator.predict_proba(X)
    estimator.partial_fit(X, y)
    assert 0.0 < np.abs(estimator.predict_proba(X) - before).max() < 0.1
    with pytest.raises(ValueError, match="has 2 classes, the network 3"):
        nn.write(nn.Sequential(nn.Linear(3, 3), nn.Softmax()), estimator)


def test_networks_that_scikit_learn_doesnt_have_are_refused() -> None:
    module = pytest.importorskip("sklearn.neural_network")
    for kind, layers, said in (
        ("MLPClassifier", [nn.Linear(3, 2)], "ends in Softmax or Sigmoid, not in .'identity'"),
        ("MLPRegressor", [nn.Linear(3, 2), nn.Softmax()], "and ends in none"),
        ("MLPRegressor", [nn.Linear(3, 2), nn.ELU(), nn.Linear(2, 1)], "layer '1', ELU"),
        ("MLPRegressor", [nn.ReLU(), nn.Linear(3, 2)], "layer '0', ReLU"),
        ("MLPRegressor", [type("Own", (nn.Linear,), {})(3, 2)], "layer '0', Own"),
        ("MLPRegressor", [nn.Dropout()], "there is no Linear"),
        (
            "MLPRegressor",
            [nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1)],
            "has one activation between layers",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            nn.write(nn.Sequential(*layers), getattr(module, kind)())  # type: ignore[arg-type]


# --- Keras ------------------------------------------------------------------------------------


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Keras on PyTorch, in float64 also where it multiplies: of two float64 matrices it would make
    a float32 one."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KERAS_BACKEND", "torch")
        environment.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # as the import itself would set it
        keras = pytest.importorskip("keras")
    from keras.src.backend.common import dtypes

    monkeypatch.setitem(dtypes.BIT64_TO_BIT32_DTYPE, "float64", "float64")
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx("float64")
    return keras


def sources(model: Any, folder: Path) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # .h5 is called old
        model.save(folder / "net.keras")
        model.save(folder / "net.h5")
    return [folder / "net.keras", folder / "net.h5", model]


def trained(model: Any) -> Any:
    """Moves what batch norms keep, and the biases."""
    rng = np.random.default_rng(1)
    model.set_weights([w + rng.uniform(0.1, 0.5, w.shape) for w in model.get_weights()])
    return model.predict(X, verbose=0)


def test_sequential_models_of_keras(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3,)),
            L.BatchNormalization(),
            L.Dense(4, activation="relu", name="b"),
            *(L.Dense(4, use_bias=False, name="a"), L.BatchNormalization(scale=False)),
            *(L.LeakyReLU(), L.Dense(4, activation="leaky_relu"), L.Dropout(0.3)),
            *(L.Dense(4, activation=L.ELU(0.5)), L.BatchNormalization(), L.Activation("gelu")),
            *(L.Dense(4, activation="silu"), L.Dense(4, activation="selu"), L.ReLU()),
            *(L.Dense(4, activation="log_softmax"), L.Flatten(), L.Dense(2), L.Softmax()),
        ]
    )
    expected = trained(model)
    for source in sources(model, tmp_path):
        found = nn.read(source)
        assert difference(found, expected) < 1e-13 and not found.training


def test_layers_of_keras_that_normalise_an_example(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3,)),
            *(L.LayerNormalization(), L.Dense(4, activation="tanh")),
            *(L.LayerNormalization(scale=False, epsilon=1e-5, axis=[-1]), L.Dense(4)),
            L.LayerNormalization(center=False, axis=1),
        ]
    )
    expected = trained(model)
    for source in sources(model, tmp_path):
        assert difference(nn.read(source), expected) < 1e-13
    flattened = [keras.Input((5, 2)), L.Conv1D(2, 3), L.Flatten(), L.LayerNormalization()]
    for layers, said in (
        ([keras.Input((3, 2)), L.LayerNormalization(axis=1)], "its axis is"),
        ([keras.Input((3,)), L.LayerNormalization(scale=False, center=False)], "neither scale"),
        ([*flattened, L.Dense(1)], "channels that are flattened"),
    ):
        with pytest.raises(nn.ReadError, match=said):
            nn.read(keras.Sequential(layers))


def test_functional_nested_and_shared_layers_of_keras(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    inputs = keras.Input((3,))
    twice, tanh = L.Dense(3, name="zz"), L.Activation("tanh", name="aa")
    inner = keras.Sequential(
        [keras.Input((3,)), L.Dense(2, name="q"), L.BatchNormalization(), L.Dense(2)], name="in"
    )
    within = keras.Input((2,))
    deeper = keras.Model(within, L.Dense(3)(inner(L.Dense(3, activation="tanh")(within))))
    x = twice(tanh(twice(inputs)))
    outputs = L.Dense(2, name="last")(deeper(L.Dense(2, name="first")(x)))
    model = keras.Model(inputs, outputs)
    expected = trained(model)
    for source in sources(model, tmp_path):
        found = nn.read(source)
        assert difference(found, expected) < 1e-13
        assert found[0] is found[2]  # type: ignore[index]


@pytest.mark.parametrize("dims", [1, 2])
def test_convolutions_of_keras(keras: Any, tmp_path: Path, dims: int) -> None:
    L = keras.layers

    def of(kind: str, *sizes: Any, **options: Any) -> Any:
        return getattr(L, f"{kind}{dims}D")(*sizes, **options)

    layers = [
        *(of("Conv", 4, 3, use_bias=False, groups=2), L.BatchNormalization(), L.ReLU()),
        *(of("MaxPooling", 2), of("Conv", 3, 2, padding="same", activation="tanh")),
        *(of("AveragePooling", 2), L.Flatten(), L.Dropout(0.1), L.Dense(3)),
        L.Dense(2, activation="softmax"),
    ]
    model = keras.Sequential([keras.Input((*[13] * dims, 2)), *layers])
    pictures = np.random.default_rng(0).normal(size=(10, *[13] * dims, 2))
    rng = np.random.default_rng(1)
    model.set_weights([w + rng.uniform(0.1, 0.5, w.shape) for w in model.get_weights()])
    expected = model.predict(pictures, verbose=0)
    for source in sources(model, tmp_path):
        found = nn.predict(nn.read(source), np.moveaxis(pictures, -1, 1))
        assert np.allclose(found, expected, rtol=0, atol=1e-13)
    for last, said in (
        ([L.Softmax(name="on_channels")], "Softmax.* is on channels, which are first here"),
        ([L.Flatten()], "it ends in channels that are flattened"),
        ([L.Dense(2)], "Linear.* is on channels"),
        ([of("Conv", 2, 3, strides=2, padding="same", name="c")], "'c': .*same"),
        ([of("MaxPooling", 2, padding="same", name="p")], "'p': nn's MaxPool.d is as with"),
    ):
        with pytest.raises(nn.ReadError, match=said):
            nn.read(keras.Sequential([keras.Input((*[13] * dims, 2)), of("Conv", 2, 3), *last]))
    for layer in (L.BatchNormalization(), L.Dense(2), L.Softmax()):
        first = keras.Sequential([keras.Input((*[13] * dims, 2)), layer, of("Conv", 2, 3)])
        with pytest.raises(nn.ReadError, match=r"'0': .* is on channels"):
            nn.read(first)
    first = keras.Sequential([keras.Input((*[13] * dims, 2)), of("MaxPooling", 2)])
    with pytest.raises(nn.ReadError, match="is before all convolutions"):
        nn.read(first)


def test_softplus_of_keras_is_exact(keras: Any) -> None:
    """But on PyTorch it is cut off above 20, as PyTorch's is, which is within 2.1e-9."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="softplus")])
    trained(model)
    model.set_weights([20.0 * w for w in model.get_weights()])
    found = nn.read(model)
    z = X @ model.get_weights()[0] + model.get_weights()[1]
    assert (z > 20.0).any() and difference(found, np.logaddexp(z, 0.0)) < 1e-13
    assert 1e-12 < difference(found, model.predict(X, verbose=0)) < 2.1e-9


def test_models_that_are_no_chain_are_refused(keras: Any, tmp_path: Path) -> None:
    L = keras.layers
    inputs = keras.Input((3,))
    one, two = L.Dense(3)(inputs), L.Dense(3)(inputs)
    branching = keras.Model(inputs, L.Add(name="both")([one, two]))
    with_two = keras.Model([inputs, keras.Input((3,))], one)
    normalized = keras.Sequential([keras.Input((3,)), L.UnitNormalization(name="unit")])
    for model, said in (
        (branching, "'both': it has 2 inputs"),
        (with_two, "the model's input_layers.*it has 2 inputs"),
        (normalized, "'unit': nn has no layer for a UnitNormalization"),
        (keras.Sequential([L.Dense(2)]), "it has 0 arrays.*never built"),
    ):
        with pytest.raises(nn.ReadError, match=said):
            nn.read(model)
    branching.save_weights(tmp_path / "net.weights.h5")
    with pytest.raises(nn.ReadError, match="it has weights alone"):
        nn.read(tmp_path / "net.weights.h5")


def test_what_is_written_is_loaded_by_keras(keras: Any, tmp_path: Path) -> None:
    layers = [nn.Linear(3, 4), nn.LeakyReLU(0.3), nn.Linear(4, 4, bias=False), nn.ELU(0.5)]
    activations = [nn.GELU(), nn.SELU(), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Dropout(0.1)]
    rest = [nn.Sequential(nn.MLP(4, [3, 2])), nn.Softplus(), nn.LogSoftmax(), nn.Softmax()]
    model = nn.Sequential(*layers, *activations, *rest).eval()
    nn.write(model, tmp_path / "net.keras")
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert difference(model, loaded.predict(X, verbose=0)) < 1e-14
    for p in model.parameters():
        p.data += 1.0
    nn.write(model, tmp_path / "net.weights.h5")
    loaded.load_weights(tmp_path / "net.weights.h5")
    assert difference(model, loaded.predict(X, verbose=0)) < 1e-14
    nn.write(model, tmp_path / "net.keras", dtype=np.float32)
    loaded = keras.saving.load_model(tmp_path / "net.keras")
    assert {weight.dtype for weight in loaded.get_weights()} == {np.dtype("float32")}
