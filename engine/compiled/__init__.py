"""Compiling: scalar code, traced once, lifted to block operations, replayed by machine code.

Data flows one way: `trace` a function's Values, `columns` and `numbering` what becomes its `tape`
of flat columns, `lift` blocks, `machine` buffers, `loop` what runs; `native` writes blocks out as
machine code, `kernels` and `jit` have a function for each kind of them; `sequential` makes machine
code of the passes themselves; `arguments`, `paths` and `program` are the way in, `threads` divide
large batches, `describe` and `source` are ways to look at it all. Only this package knows Numba,
and it is loaded at the first run.
"""
