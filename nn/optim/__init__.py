"""Optimisers: PyTorch's names on top (`optimizers`), the arithmetic below (`rules`)."""

from nn.optim.optimizers import SGD, Optimizer

__all__ = ["SGD", "Optimizer"]
