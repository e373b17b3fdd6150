"""Terms: the loops that collect what is added in a sum, and the terms of a chain of maxima.

What they fill in is said at `sums.Sums`. `table` has FIELDS entries for each sum, by the names
below; `at` counts things, by the names below; `lefts`, `rights` and `others` are products and
single terms of the sum at hand, from the last to the first.
"""

from __future__ import annotations

from engine.compiled.columns import CONSTANT, INPUT
from engine.compiled.lift.marks import CODES
from engine.compiled.sequential import Bytes, Ints, Longs, Shorts, loop

MATRIX, ZERO, CHAINS = 1, 2, 4  # flags of a sum: see `sums.Sums`
NODE, PRODUCT, SINGLE, BIAS, INIT, FLAGS = range(6)
FIELDS = 6
# The sums, nodes with those that are made, products and singles of all sums; then of the sum at
# hand nodes, products, products of S and L, singles, and its flags.
SUMS, MADE, PRODUCTS, SINGLES, INNER, TAKEN, MIXED, OTHERS, MARKS = range(9)
ADD, SUB, NEG, MUL, STEP, SQUARE, MAXIMUM, DETACH = (
    CODES[name] for name in ("add", "sub", "neg", "mul", "pass_on", "square", "maximum", "detach")
)
_MINUS_ONE = -0x4010000000000000  # the bits of -1.0
_MAGNITUDE = (1 << 63) - 1  # all bits but the sign


@loop
def mark_parts(
    op: Shorts,
    uses: Ints,
    user: Ints,
    space: Bytes,
    part: Ints,
    roots: Ints,
    count: int,
) -> int:
    """Say of each node whether it is 1, a part of the sum that its only user belongs to, or 2, a
    product that may become one; and list the last additions of sums, the last one first."""
    found = 0
    for i in range(count - 1, -1, -1):
        code = op[i]
        if uses[i] and code in (ADD, SUB, NEG, MUL, STEP, SQUARE):
            inside = 0
            if uses[i] == 1 and space[user[i]] == space[i]:
                over = op[user[i]]
                if over in (ADD, SUB) or (over == NEG and part[user[i]] == 1):
                    inside = 1
            if inside:
                part[i] = 2 if code in (MUL, STEP, SQUARE) else 1
            elif code in (ADD, SUB):
                roots[found] = i
                found += 1
    return found


@loop
def collect_sums(
    op: Shorts,
    a: Ints,
    b: Ints,
    bits: Longs,
    space: Bytes,
    part: Ints,
    roots: Ints,
    absorbed: Bytes,
    narrow: Bytes,
    rank: Longs,
    of_node: Ints,
    table: Ints,
    left: Ints,
    right: Ints,
    singles: Ints,
    stack: Ints,
    inner: Ints,
    lefts: Ints,
    rights: Ints,
    others: Ints,
    at: Ints,
    count: int,
    found: int,
) -> int:
    """Collect the terms of each sum, and keep it if it is worth a block of its own."""
    for r in range(found - 1, -1, -1):
        root = roots[r]
        if narrow[root]:
            continue
        _collect(op, a, b, bits, space, part, stack, inner, lefts, rights, others, at, root)
        zero = 1 if at[MARKS] & ZERO else 0
        if not (at[MIXED] or at[TAKEN] >= 2 or at[TAKEN] + at[OTHERS] + zero >= 3):
            continue
        for k in range(at[INNER]):
            absorbed[inner[k]] = inner[k] != root
        own = _begin(of_node, table, at, root) * FIELDS
        table[own + FLAGS] = at[MARKS] | (ZERO if at[MARKS] & CHAINS else 0)
        if space[root] and at[MIXED]:
            table[own + FLAGS] = table[own + FLAGS] | MATRIX
            _split(space, of_node, table, left, right, singles, lefts, rights, others, at, own)
        elif space[root] or at[TAKEN] < 2:
            _put_products(space, left, right, lefts, rights, at, 2)
            _put_singles(space, singles, others, at, 2)
        else:
            table[own + FLAGS] = table[own + FLAGS] | MATRIX
            _orient(rank, lefts, rights, at)
            _put_products(space, left, right, lefts, rights, at, 2)
            x = _one_of(space, of_node, table, singles, others, at, 0, 2)
            is_given = x >= 0 and x < count and op[x] in (INPUT, CONSTANT)
            table[own + (BIAS if is_given else INIT)] = x
    table[at[SUMS] * FIELDS + PRODUCT] = at[PRODUCTS]
    table[at[SUMS] * FIELDS + SINGLE] = at[SINGLES]
    return 0


@loop
def _collect(
    op: Shorts,
    a: Ints,
    b: Ints,
    bits: Longs,
    space: Bytes,
    part: Ints,
    stack: Ints,
    inner: Ints,
    lefts: Ints,
    rights: Ints,
    others: Ints,
    at: Ints,
    root: int,
) -> int:
    """Find the terms of a sum. `stack` has what is to be visited, ~i for a sign of -1."""
    known = 0
    taken = 0
    mixed = 0
    alone = 0
    flags = 0
    stack[0] = root
    top = 1
    while top:
        top -= 1
        i = stack[top]
        minus = i < 0
        if minus:
            i = ~i
        code = op[i]
        if i == root or part[i] == 1:
            inner[known] = i
            known += 1
            if code == NEG:
                stack[top] = a[i] if minus else ~a[i]
                top += 1
            else:
                stack[top] = ~a[i] if minus else a[i]
                stack[top + 1] = b[i] if minus != (code == ADD) else ~b[i]
                top += 2
        elif part[i] == 2:
            inner[known] = i
            known += 1
            x = a[i]
            y = x if code == SQUARE else b[i]
            if code == STEP:
                flags = flags | CHAINS
            if code == STEP and bits[y] == _MINUS_ONE and op[y] == CONSTANT:
                stack[top] = x if minus else ~x
                top += 1
            else:
                mixed += space[x] != space[y]
                lefts[taken] = ~x if minus else x
                rights[taken] = y
                taken += 1
        elif op[i] == CONSTANT and not bits[i] & _MAGNITUDE:
            # x - 0.0 is x, and so is x + -0.0; but -0.0 + 0.0 is 0.0
            if (bits[i] < 0) == minus:
                flags = flags | ZERO
        else:
            others[alone] = ~i if minus else i
            alone += 1
    at[INNER] = known
    at[TAKEN] = taken
    at[MIXED] = mixed
    at[OTHERS] = alone
    at[MARKS] = flags
    return 0


@loop
def _orient(rank: Longs, lefts: Ints, rights: Ints, at: Ints) -> int:
    """Have the factor of a lower rank on the left: it is the matrix."""
    for k in range(at[TAKEN]):
        x = lefts[k]
        z = ~x if x < 0 else x
        if rank[rights[k]] < rank[z]:
            lefts[k] = ~rights[k] if x < 0 else rights[k]
            rights[k] = z
    return 0


@loop
def _begin(of_node: Ints, table: Ints, at: Ints, i: int) -> int:
    """Begin the sum of node i, and return its number."""
    k = at[SUMS]
    at[SUMS] = k + 1
    of_node[i] = k
    table[k * FIELDS + NODE] = i
    table[k * FIELDS + PRODUCT] = at[PRODUCTS]
    table[k * FIELDS + SINGLE] = at[SINGLES]
    table[k * FIELDS + BIAS] = -1
    table[k * FIELDS + INIT] = -1
    table[k * FIELDS + FLAGS] = 0
    return k  # type: ignore[no-any-return]


@loop
def _put_products(
    space: Bytes, left: Ints, right: Ints, lefts: Ints, rights: Ints, at: Ints, side: int
) -> int:
    """Add products to the sum begun last: of L and L (1), of S and L (0), of which the left one is
    the one of S, or all of them (2)."""
    place = at[PRODUCTS]
    for k in range(at[TAKEN] - 1, -1, -1):
        x = lefts[k]
        y = rights[k]
        z = ~x if x < 0 else x
        if side == 2 or (space[z] == space[y]) == side:
            if side == 0 and space[z]:
                left[place] = ~y if x < 0 else y
                right[place] = z
            else:
                left[place] = x
                right[place] = y
            place += 1
    at[PRODUCTS] = place
    return 0


@loop
def _put_singles(space: Bytes, singles: Ints, others: Ints, at: Ints, side: int) -> int:
    """Add single terms to the sum begun last: those of a space, or all of them (2)."""
    place = at[SINGLES]
    for k in range(at[OTHERS] - 1, -1, -1):
        x = others[k]
        if side == 2 or space[~x if x < 0 else x] == side:
            singles[place] = x
            place += 1
    at[SINGLES] = place
    return 0


@loop
def _one_of(
    space: Bytes,
    of_node: Ints,
    table: Ints,
    singles: Ints,
    others: Ints,
    at: Ints,
    products: int,
    side: int,
) -> int:
    """One node for the single terms of a space, or for all (2): -1 for none, the term itself if it
    is one, and else a sum made for them, begun with so many `products` still to come."""
    many = 0
    only = 0
    for k in range(at[OTHERS]):
        x = others[k]
        if side == 2 or space[~x if x < 0 else x] == side:
            many += 1
            only = x
    if not many and not products:
        return -1
    if many == 1 and only >= 0 and not products:
        return only
    made = at[MADE]
    at[MADE] = made + 1
    space[made] = side & 1
    _begin(of_node, table, at, made)
    _put_singles(space, singles, others, at, side)
    return made  # type: ignore[no-any-return]


@loop
def _split(
    space: Bytes,
    of_node: Ints,
    table: Ints,
    left: Ints,
    right: Ints,
    singles: Ints,
    lefts: Ints,
    rights: Ints,
    others: Ints,
    at: Ints,
    own: int,
) -> int:
    """A sum in L in which shared numbers meet lanes is a matrix product; what is added to it comes
    of one node of S, and one of L, of which products of two lanes are a part."""
    _put_products(space, left, right, lefts, rights, at, 0)
    table[own + BIAS] = _one_of(space, of_node, table, singles, others, at, 0, 0)
    both = at[TAKEN] - at[MIXED]
    table[own + INIT] = _one_of(space, of_node, table, singles, others, at, both, 1)
    if both:
        table[(at[SUMS] - 1) * FIELDS + FLAGS] = CHAINS
        _put_products(space, left, right, lefts, rights, at, 1)
    return 0


@loop
def collect_maxima(
    op: Shorts,
    a: Ints,
    b: Ints,
    uses: Ints,
    user: Ints,
    space: Bytes,
    absorbed: Bytes,
    stack: Ints,
    of_node: Ints,
    start: Ints,
    terms: Ints,
    count: int,
) -> int:
    """Collect the terms of each chain, from the first to the last, and keep those of 3 or more."""
    found = 0
    for root in range(count):
        if op[root] != MAXIMUM or uses[root] != 1 or op[user[root]] != DETACH:
            continue
        end = start[found]
        stack[0] = root
        top = 1
        while top:
            top -= 1
            i = stack[top]
            if op[i] == MAXIMUM and uses[i] == 1 and space[i] == space[root]:
                stack[top] = b[i]
                stack[top + 1] = a[i]
                top += 2
            else:
                terms[end] = i
                end += 1
        if end - start[found] >= 3:
            stack[0] = root
            top = 1
            while top:
                top -= 1
                i = stack[top]
                if op[i] == MAXIMUM and uses[i] == 1 and space[i] == space[root]:
                    absorbed[i] = i != root
                    stack[top] = b[i]
                    stack[top + 1] = a[i]
                    top += 2
            of_node[root] = found
            found += 1
            start[found] = end
    return found
