"""Machine code for a whole lifted function, written out for its very sizes.

In: instructions and their adjoint, and how many lanes a chunk has. Out: one function, `drive`, at
an address. The sizes of loops and the rows of operands are constants in it, and matrix products
are tiled into registers. An emitter only ever goes forwards: the adjoint is made of instructions
like all others.

To read it, begin with `numbers`, which write down what is done to them, and `function`, with loops
and memory; then `elementary` and `compensated`, functions on vectors, and `vectormath`, the rows
of the operation table; `layout`, where rows lie; `tiles`, loops over matrices; `driver`, what runs
the parts, and `job`, what it is given; `routines`, what all drivers call. What each instruction
emits stands in its row (see `engine.compiled.instructions`); `assembly` puts all of it together,
and `objects` has LLVM make code of it.
"""
