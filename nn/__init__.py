"""gradloom's neural networks: models written once, for one example, in scalars and lists.

>>> import random, nn
>>> model = nn.MLP(2, [4, 1], rng=random.Random(0))
>>> loss = (model([1.0, -2.0]) - 1.0) ** 2
>>> loss.backward()
>>> len(model.parameters())
17
"""

from typing import TYPE_CHECKING

from engine import deferred
from nn import data, init, metrics, optim
from nn.containers import ModuleList, Sequential
from nn.convolutions import AvgPool1d, AvgPool2d, Conv1d, Conv2d, MaxPool1d, MaxPool2d
from nn.data import DataLoader, Subset, TensorDataset, random_split
from nn.layers import (
    ELU,
    GELU,
    MLP,
    SELU,
    Activation,
    Dropout,
    Flatten,
    Identity,
    Layer,
    LeakyReLU,
    Linear,
    LogSoftmax,
    Neuron,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from nn.list_losses import (
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    MultiLabelMarginLoss,
    MultiMarginLoss,
    NLLLoss,
    TripletMarginLoss,
)
from nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    GaussianNLLLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    Loss,
    MSELoss,
    PoissonNLLLoss,
    SmoothL1Loss,
)
from nn.metrics import Confusion
from nn.module import Module
from nn.optim import *  # noqa: F403
from nn.recurrent import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from nn.sequences import (
    CausalSelfAttention,
    Embedding,
    LayerNorm,
    MultiheadAttention,
    RMSNorm,
)

if TYPE_CHECKING:
    from nn.compare import Comparison, compare_paths
    from nn.exchange.parts import ReadError
    from nn.exchange.routes import read, write
    from nn.layer_table import Summary, summary
    from nn.live import LivePlot
    from nn.minimize import minimize
    from nn.network_picture import draw_network
    from nn.predicting import evaluate, predict
    from nn.saving import CheckpointError, load, save
    from nn.stopping import EarlyStopping
    from nn.train import fit
    from nn.updates import History

# What trains, predicts, draws and saves: it knows the compiler, or takes long to load.
if not TYPE_CHECKING:
    __getattr__, __dir__ = deferred.attributes(
        __name__,
        {
            "nn.compare": ("Comparison", "compare_paths"),
            "nn.distributed": (),
            "nn.exchange.parts": ("ReadError",),
            "nn.exchange.routes": ("read", "write"),
            "nn.layer_table": ("Summary", "summary"),
            "nn.lessons": (),
            "nn.live": ("LivePlot",),
            "nn.minimize": ("minimize",),
            "nn.network_picture": ("draw_network",),
            "nn.plots": (),
            "nn.predicting": ("evaluate", "predict"),
            "nn.saving": ("CheckpointError", "load", "save"),
            "nn.sklearn": None,
            "nn.stopping": ("EarlyStopping",),
            "nn.train": ("fit",),
            "nn.updates": ("History",),
        },
    )

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "SELU",
    "Activation",
    "AvgPool1d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "CausalSelfAttention",
    "CheckpointError",
    "Comparison",
    "Confusion",
    "Conv1d",
    "Conv2d",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "DataLoader",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GaussianNLLLoss",
    "HingeLoss",
    "History",
    "HuberLoss",
    "Identity",
    "KLDivLoss",
    "L1Loss",
    "LSTMCell",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LivePlot",
    "LogSoftmax",
    "Loss",
    "MSELoss",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "ModuleList",
    "MultiLabelMarginLoss",
    "MultiMarginLoss",
    "MultiheadAttention",
    "NLLLoss",
    "Neuron",
    "PoissonNLLLoss",
    "RMSNorm",
    "RNNCell",
    "ReLU",
    "ReadError",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SmoothL1Loss",
    "Softmax",
    "Softplus",
    "Subset",
    "Summary",
    "Tanh",
    "TensorDataset",
    "TripletMarginLoss",
    "compare_paths",
    "data",
    "draw_network",
    "evaluate",
    "fit",
    "init",
    "load",
    "metrics",
    "minimize",
    "predict",
    "random_split",
    "read",
    "save",
    "summary",
    "write",
]
__all__ += optim.__all__
