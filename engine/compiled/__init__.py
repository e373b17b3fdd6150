"""Compiling: scalar code, traced once, lifted to block operations, replayed by machine code.

Data flows one way: `trace` a function's Values, `tape` flat columns, `lift` blocks, `machine`
buffers, `loop` what runs, `kernels` and `jit` what an instruction does; `arguments`, `paths` and
`program` are the way in, `describe` a way to look at it. Only this package knows Numba, and it
is loaded at the first run.
"""

from engine.compiled.program import Program, compile

__all__ = ["Program", "compile"]
