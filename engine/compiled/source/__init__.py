"""A program as array code and as equations: what `Program.source` prints.

In: the trace of a compiled function. Out: the text of a function in NumPy, or equations in LaTeX,
of the value and the gradient. Both are derived: from the instructions that lifting found, and from
the rows of the operation table, whose partials are run on operands that write themselves down.

Data flows one way: `inputs` names the arrays, `derive` goes forwards and backwards through the
instructions, on expressions (`algebra`, `formulas`) of arrays (`blocks`); `tidy` puts lines
together; `as_numpy` and `as_latex` write them. Nothing here computes, nor knows what is computed.
"""

from __future__ import annotations

from engine.compiled.source.texts import Source, source

__all__ = ["Source", "source"]
