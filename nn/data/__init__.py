"""Data sets, and what is done to one before training."""

from nn.data.batches import DataLoader, Dataset, Subset, TensorDataset, random_split
from nn.data.idx import read_idx
from nn.data.mnist_files import mnist
from nn.data.packaged import digits, first_names, iris
from nn.data.preparing import one_hot, split, train_test_split
from nn.data.scaling import Standardizer
from nn.data.sets import blobs, circles, moons, spirals, unit_circle, xor

__all__ = [
    "DataLoader",
    "Dataset",
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
    "spirals",
    "split",
    "train_test_split",
    "unit_circle",
    "xor",
]
