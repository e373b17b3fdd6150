"""A scalar with reverse-mode gradients in as few lines as such classes have: what to measure by.

It knows nothing but numbers, the nodes they came from, and the local derivatives; code written for
it runs on `engine.Value` as it is (`scalar_gpt`).
"""

from __future__ import annotations

import math


class PlainValue:
    """A number, its gradient, the nodes that it came from, and its derivative by each of them."""

    __slots__ = ("children", "data", "grad", "local_grads")

    def __init__(self, data, children=(), local_grads=()):
        self.data = data
        self.grad = 0
        self.children = children
        self.local_grads = local_grads

    def __add__(self, other):
        other = other if isinstance(other, PlainValue) else PlainValue(other)
        return PlainValue(self.data + other.data, (self, other), (1, 1))

    def __mul__(self, other):
        other = other if isinstance(other, PlainValue) else PlainValue(other)
        return PlainValue(self.data * other.data, (self, other), (other.data, self.data))

    def __pow__(self, power):
        slope = power * self.data ** (power - 1)
        return PlainValue(self.data**power, (self,), (slope,))

    def log(self):
        return PlainValue(math.log(self.data), (self,), (1 / self.data,))

    def exp(self):
        result = math.exp(self.data)
        return PlainValue(result, (self,), (result,))

    def relu(self):
        return PlainValue(max(0, self.data), (self,), (float(self.data > 0),))

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + (-other)

    def __truediv__(self, other):
        return self * other**-1

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return other + (-self)

    def __rtruediv__(self, other):
        return other * self**-1

    def backward(self):
        """Add the derivatives of this node to the `grad` of all nodes it came from."""
        order, seen = [], set()

        def visit(node):
            if node not in seen:
                seen.add(node)
                for child in node.children:
                    visit(child)
                order.append(node)

        visit(self)
        self.grad = 1
        for node in reversed(order):
            for child, slope in zip(node.children, node.local_grads, strict=True):
                child.grad += slope * node.grad
