"""Every exception that the engine raises on purpose.

A message says what happened, with which numbers, where, and what to do next.
This module imports nothing, so that any layer may raise from it.
"""

from __future__ import annotations


class GraphError(RuntimeError):
    """A graph can't do what was asked: a hand-made node, a changed leaf, an interior assignment."""


class DomainError(ArithmeticError):
    """An operation made inf or nan from finite operands under ``errstate("raise")``."""


class GradcheckError(AssertionError):
    """An analytic derivative and a numerical one disagree, or the input sits at a kink."""


class DrawingError(RuntimeError):
    """A picture can't be made: the graph is too large, or no renderer is installed."""
