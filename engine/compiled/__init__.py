"""Compiling: scalar code, traced once, lifted to block operations, replayed by machine code.

Data flows one way: `trace` a function's Values, `columns` and `numbering` what becomes its `tape`
of flat columns, `lift` what blocks they are, by passes that `sequential` makes machine code of;
`instructions` is the table of what blocks are computed by, `adjoint` makes the instructions of the
gradient; `native` writes all of them out as machine code, which `machine` runs, or the
`interpreter` does, by what Numba compiles (`jitted`). `arguments`, `paths` and `program` are the
way in; `plan` is the short one, for every call after the first, in `seats` of its own, `training`
that of training loops, `buffered` that of optimisers; `threads` divide large batches, `describe`
and `source` are ways to look at it all. Only this package knows LLVM and Numba, which are loaded
when used.
"""
