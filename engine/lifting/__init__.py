"""Looking at lifting: a program as its instructions, a graph folded by them, and the passes.

This package joins what the compiler knows of its blocks (`engine.compiled`) with the pictures of
`engine.drawing`, which know nothing of each other. `by_instructions` makes a picture of a program,
`by_blocks` folds a graph of Values by the blocks that are in it, `passes` tells what each pass
found, and `show` makes a page of that. Nothing in the core imports this package.
"""

from __future__ import annotations

from engine.lifting.by_blocks import by_blocks
from engine.lifting.by_instructions import draw_program
from engine.lifting.show import LiftingPlayer, show_lifting

__all__ = ["LiftingPlayer", "by_blocks", "draw_program", "show_lifting"]
