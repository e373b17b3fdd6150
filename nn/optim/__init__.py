"""Optimisers: PyTorch's names on top (`optimizers`), the arithmetic below (`rules`)."""

from nn.optim.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]
