"""What lifting makes of a tape: a short list of instructions on rows of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from engine.compiled.blocks import Instruction, Lists


class Check(NamedTuple):
    """A guard at its row: `length` 0 means that the row equals `number`, else it is an index."""

    row: int
    space: int
    order: int
    length: int
    number: float


@dataclass(slots=True)
class Blocks:
    """A lifted function: instructions for S, then for L, and where numbers go in and come out."""

    instructions: tuple[list[Instruction], list[Instruction]]
    lists: Lists  # that they refer to
    rows: tuple[int, int]  # of S and L
    shared_inputs: list[int]  # numbers of the inputs in the first rows of S
    lane_inputs: list[int]  # and of L
    split_inputs: dict[int, int]  # shared inputs with a row of their own in L, for gradients
    outputs: list[tuple[int, int]]  # space and row
    checks: list[Check]  # of S, then of L, in their order
    recorded: int
