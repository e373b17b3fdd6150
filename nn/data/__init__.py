"""Data sets, and what is done to one before training."""

from typing import TYPE_CHECKING

from engine import deferred
from nn.data.batches import DataLoader, Dataset, Subset, TensorDataset, random_split
from nn.data.preparing import one_hot, split, train_test_split
from nn.data.scaling import Standardizer
from nn.data.sets import blobs, circles, moons, spirals, unit_circle, xor
from nn.data.streams import Rows, read_npy_folder

if TYPE_CHECKING:
    from nn.data.mnist_files import mnist, read_idx
    from nn.data.packaged import digits, first_names, iris

# What reads files: archives and digests take long to load.
__getattr__, __dir__ = deferred.attributes(
    __name__,
    {
        "nn.data.mnist_files": ("mnist", "read_idx"),
        "nn.data.packaged": ("digits", "first_names", "iris"),
    },
)

__all__ = [
    "DataLoader",
    "Dataset",
    "Rows",
    "Standardizer",
    "Subset",
    "TensorDataset",
    "blobs",
    "circles",
    "digits",
    "first_names",
    "iris",
    "mnist",
    "moons",
    "one_hot",
    "random_split",
    "read_idx",
    "read_npy_folder",
    "spirals",
    "split",
    "train_test_split",
    "unit_circle",
    "xor",
]
