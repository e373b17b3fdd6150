"""Machine code for a whole lifted function: its blocks written out for their very sizes.

In: `Blocks`, which operands need adjoints, and how many lanes a chunk has. Out: a `Plan`, which
says which instructions became machine code and which stay calls of kernels, and functions at
addresses. The sizes of loops and the rows of operands are constants in them, matrix products are
tiled into registers, and each adjoint is stored by the first that writes to it, so that no buffer
is cleared.

Rows, spaces and lanes are those of `kernels`, whose functions say the same in plain Python: each
is the slow twin of what is emitted here. Products are multiplied plainly; whether a nan came of it
is looked up at the end, in the gradient (see `loop`), and in forward sums that contain derivatives.

To read it, begin with `emit`, numbers that write down what is done to them; then `vectormath`, the
elementary functions; `layout`, where rows lie; `elementwise`, `moves`, `matrix` (in `tiles`) and
`dots`, which emit an instruction each; and `plan`, all of them. LLVM makes code of it in `objects`,
beside this package.
"""

from engine.compiled.native.plan import Plan, plan, sources

__all__ = ["Plan", "plan", "sources"]
