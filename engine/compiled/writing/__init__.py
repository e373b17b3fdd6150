"""What rows of the table of instructions write themselves down with, as texts: expressions, blocks
of rows as arrays, and what the rows of the operation table say as formulas. Nothing here computes,
nor knows the table of instructions."""
