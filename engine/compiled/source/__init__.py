"""A program as array code, as equations and as C: what `Program.source` prints.

In: the trace of a compiled function. Out: the text of a function in NumPy, equations in LaTeX, or
functions in C99, of the value and the gradient. All print the instructions that lifting found and
those of their adjoint, as the rows of the table of instructions say; what an operation computes is
said by the rows of its table, which are run on operands that write themselves down.

Data flows one way: `inputs` names the arrays; `derive` has the instructions, some put more plainly
(`plain`), write statements about arrays; `tidy` puts lines together; `as_numpy` and `as_latex`
write them. In C the instructions are as they are (`c_statements`, `as_c`). Nothing here computes,
nor knows what is computed; what rows write with is in `engine.compiled.writing`.
"""

from __future__ import annotations

from engine.compiled.source.texts import Source, source

__all__ = ["Source", "source"]
