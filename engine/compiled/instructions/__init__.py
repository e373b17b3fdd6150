"""The table of instructions: what a lifted function is made of. One row an instruction.

A row says what the instruction reads, how its adjoint goes on as instructions of the same table,
what it computes in Python (its slow twin), how it is emitted, and how texts have it. Whoever
handles instructions asks the table: to add an instruction, add a row.
"""

from engine.compiled.instructions import dots, loops, maps, matrices, moves, scans, segments
from engine.compiled.instructions.row import Row

ROWS: dict[str, Row] = {
    row.kind: row
    for row in (
        maps.Map(),
        maps.Edge(),
        segments.Segment(),
        segments.SegmentBack(),
        loops.Loop(),
        loops.LoopBack(),
        scans.Scan(),
        scans.ScanBack(),
        matrices.Product(),
        matrices.Outer(),
        dots.Dot(),
        moves.Gather(),
        dots.Scatter(),
        moves.Broadcast(),
        moves.Total(),
        moves.Fill(),
        moves.Take(),
        moves.Put(),
        moves.Max(),
        moves.Draw(),
        moves.Guard(),
    )
}
