"""From a `Graph` to a `Picture` that a person can read: `fold`.

A small graph is drawn as it is, a box for each number. A larger one is folded in steps, until it
fits: long sums to one box each; alike parts, such as the neurons of a layer, to one with a count;
scopes, from the inside out; and at last, where nothing is alike and nothing has a name, slices of
the computation. Every node is in exactly one box, and the arrows are those of the graph between
boxes. Only the steps before the last two keep the graph without cycles.

"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from engine.drawing.boxes import assembled, leaf_keys
from engine.drawing.names import chain
from engine.drawing.parts import Order, Part, Parts, Rolled, contracted, stem
from engine.drawing.picture import Picture
from engine.graph import Graph
from engine.modes import Scope

LIMIT = 100  # numbers that are drawn as they are
FOLDED = 60  # boxes in a folded picture: each has more to read
LARGE = 1000  # boxes that a renderer lays out within a second or so

_SUMS = frozenset(("+", "-"))
_CHAINS = {"*": "Π of {} factors", "max": "max of {}", "min": "min of {}"}
_PRODUCTS = "Σ of products"
_TRANSPARENT = frozenset(("+", "-", "max", "min", "Σ of {}", "max of {}", "min of {}"))
_KINDS = 50  # a set of more becomes one kind: sets that grow on and on take too long
_FOLDABLE = ("arithmetic", "choice")  # the families of these: a custom "+" is another thing


def fold(
    graph: Graph,
    *,
    depth: int | None = None,
    limit: int | None = None,
    plain: int | None = None,
    groups: Mapping[int, str] | None = None,
    only: Collection[int] | None = None,
) -> Picture:
    """Return the picture of a graph, folded as far as it must be to be readable.

    `depth` is the number of levels of scopes that are drawn as frames: a scope below is one box.
    Without it as many as fit. `limit` is the number of boxes that a picture may have; without it
    1,000 if `depth` was given, else 100, or 60 once it is folded; it is folded beyond `plain`, if
    that is given. `groups` gives nodes, by their
    indices, to boxes of these names, in place of scopes. `only` leaves all other nodes out.

    >>> from engine import Value, dot
    >>> ws, xs = [Value(0.5)] * 50, [Value(float(i)) for i in range(50)]
    >>> picture = fold(Graph(dot(ws, xs).tanh()))
    >>> [(box.title, box.count) for box in picture.boxes]
    [('Σ of 50 products', 150), ('tanh', 1)]
    """
    work = _Fold(graph, groups, only)
    if limit is None:
        most, folded = (LIMIT, FOLDED) if depth is None else (LARGE, LARGE)
    else:
        most = folded = max(1, limit)
    return work.picture(depth, most if plain is None else plain, folded)


@dataclass(frozen=True, slots=True)
class _Step:
    """One way to fold a graph."""

    parts: Parts
    rolled: Rolled
    depth: int  # the levels of scopes that are shown, -1 for slices
    rolls: bool = True  # whether leaves that are alike share a box
    keeps: bool = True  # whether leaves with names of their own have one


class _Fold:
    def __init__(
        self, graph: Graph, groups: Mapping[int, str] | None, only: Collection[int] | None
    ) -> None:
        self.graph = graph
        self.is_grouped = groups is not None
        self.only = None if only is None else frozenset(only)
        self.shown = [node for node in graph.nodes if self.only is None or node.index in self.only]
        self.chain: Callable[[Scope | None], tuple[Scope, ...]] = cache(chain)
        self.scopes = [node.scope for node in graph.nodes]
        self.deepest = 0
        if groups is None:
            self.deepest = max(len(self.chain(scope)) for scope in {None, *self.scopes})
        else:
            named = {name: Scope(name, None) for name in groups.values()}
            places = range(len(graph.nodes))
            self.scopes = [named[groups[i]] if i in groups else None for i in places]

    def picture(self, depth: int | None, plainly: int, limit: int) -> Picture:
        """Return the picture; it is folded beyond `plainly` boxes, to at most `limit`."""
        numbers = sum(node.kind != "literal" for node in self.shown)
        grouped = self.is_grouped
        if depth is not None or grouped or numbers <= plainly:
            plain = self._each_operation()
            if depth is not None or grouped:
                plain = self._scopes_folded(plain, depth or 0)
            rolled = self._nothing_rolled(plain)
            leaves = leaf_keys(self.graph, plain, rolled, folded=grouped, rolls=grouped)
            shown = {
                key
                for leaf, key in leaves.items()
                if key is not None and self.graph.nodes[leaf].kind == "leaf"
            }
            boxes = len(plain.parts) + len(shown)
            if boxes <= plainly:
                folds = any(part.size > 1 for part in plain.parts)
                caption = f"{len(self.shown):,} nodes, folded to {{}}" if folds else ""
                return assembled(self.graph, self.shown, plain, rolled, leaves, caption)
        for step in self._steps(depth, limit):
            boxes = len(set(step.rolled.box_of))
            if boxes > limit:
                continue
            leaves = leaf_keys(
                self.graph, step.parts, step.rolled, folded=True, rolls=step.rolls, keeps=step.keeps
            )
            if boxes + len({key for key in leaves.values() if key is not None}) <= limit:
                break
        more = f"limit={10 * limit}"
        if 0 <= step.depth < self.deepest:
            more = f"depth={step.depth + 1}"
        caption = f"{len(self.shown):,} nodes, folded to {{}}: draw(…, {more}) shows more"
        return assembled(self.graph, self.shown, step.parts, step.rolled, leaves, caption)

    def _steps(self, depth: int | None, limit: int) -> Iterator[_Step]:
        """Yield foldings, each coarser than the one before."""
        sums = self._sums_folded()
        at_most = self.deepest if depth is None else min(depth, self.deepest)
        at_least = min(1, at_most) if depth is None else at_most
        for shown in range(at_most, at_least - 1, -1):
            parts = self._scopes_folded(sums, shown)
            if 3 * len(parts.parts) <= 2 * limit:  # many neurons say less than one "× 64"
                yield _Step(parts, self._nothing_rolled(parts), shown, rolls=False)
            order = Order(parts)
            # A long chain has no two parts that are alike, and is not searched for them.
            if max(order.height, default=0) < limit:
                yield _Step(parts, self._alike_rolled(parts, order), shown)
            if _length(parts, order) <= limit:
                yield _Step(parts, self._akin_rolled(parts, order), shown)
        if max(order.height, default=0) < limit:
            yield _Step(parts, self._level_rolled(parts, order), at_least)
        yield _Step(parts, self._loops_rolled(parts), at_least)
        if depth is None and at_least > 0:
            parts = self._scopes_folded(sums, 0)
            order = Order(parts)
            yield _Step(parts, self._level_rolled(parts, order), 0)
        for slices in (limit // 2, 1):  # the last is one box, and always fits
            sliced = self._sliced(parts, order, max(1, slices))
            yield _Step(sliced, self._nothing_rolled(sliced), -1, keeps=False)

    # --- steps ---

    def _each_operation(self) -> Parts:
        """Each operation as a part of its own."""
        return self._parts(range(len(self.graph.nodes)), {})

    def _parts(self, head: Sequence[int], made: Mapping[int, Part]) -> Parts:
        """Operations of one head as one part: that of `made`, or the only one of its head."""
        of_node = [-1] * len(self.graph.nodes)
        parts: list[Part] = []
        place: dict[int, int] = {}
        for node in self.shown:
            i = node.index
            if node.kind != "operation":
                continue
            if head[i] in place:
                parts[place[head[i]]].size += 1
            else:
                place[head[i]] = len(parts)
                own = made.get(head[i]) or Part(node.op, node.op, self.scopes[i], node.family)
                parts.append(own)
            of_node[i] = place[head[i]]
        operands: list[dict[int, int]] = [{} for _ in parts]
        leaves: dict[int, dict[int, int]] = {
            node.index: defaultdict(int) for node in self.shown if node.kind != "operation"
        }
        for p, sources in zip(of_node, self.graph.operands, strict=True):
            for source in sources if p >= 0 else ():
                q = of_node[source]
                if q < 0 and source in leaves:
                    leaves[source][p] += 1
                elif q not in (p, -1):
                    operands[p][q] = operands[p].get(q, 0) + 1
        return Parts(parts, operands, of_node, leaves)

    def _sums_folded(self) -> Parts:
        """Trees of additions, with the products that they add, as one part each; chains too."""
        graph, nodes = self.graph, self.graph.nodes
        user = [-1] * len(nodes)  # the only user of each node, -1 for none, -2 for several
        for i, operands in enumerate(graph.operands):
            for source in operands:
                user[source] = i if user[source] == -1 else -2
        for root in graph.roots:
            user[root] = -2
        head = list(range(len(nodes)))
        adds = [0] * len(nodes)
        products = [0] * len(nodes)
        squares = [0] * len(nodes)
        for node in reversed(nodes):
            i, op = node.index, node.op
            if node.family not in _FOLDABLE:
                continue
            above = nodes[user[i]] if user[i] >= 0 else None
            joins = (
                above is not None
                and not node.label
                and self.scopes[i] is self.scopes[above.index]
                and above.family in _FOLDABLE
            )
            if op in _SUMS or op in _CHAINS:
                into = above if joins else None
                same = into is not None and (
                    into.op in _SUMS if op in _SUMS else into.op == op and into.op in _CHAINS
                )
                if same and into is not None:
                    head[i] = head[into.index]
                elif op == "*" and into is not None and into.op in _SUMS:
                    head[i] = head[into.index]
                    products[head[i]] += 1
                    continue
                adds[head[i]] += 1
            elif op == "**2" and joins and above is not None and above.op in _SUMS:
                head[i] = head[above.index]
                products[head[i]] += 1
                squares[head[i]] += 1
        made: dict[int, Part] = {}
        for i, node in enumerate(nodes):
            h = head[i]
            if adds[h] < 2:
                head[i] = i  # too short to be folded
            elif h == i:
                terms = adds[h] + 1
                title, loosely = _sum_title(terms, products[h], squares[h])
                if node.op in _CHAINS:
                    loosely = _CHAINS[node.op]
                    title = loosely.format(terms)
                made[i] = Part(title, loosely, self.scopes[i], "reduction")
        return self._parts(head, made)

    def _scopes_folded(self, parts: Parts, depth: int) -> Parts:
        """Each scope below the given depth as one part."""
        keys: list[Hashable] = []
        made: dict[Hashable, Part] = {}
        for p, part in enumerate(parts.parts):
            around = self.chain(part.scope)
            scope = around[depth] if len(around) > depth else None
            if scope is not None and scope not in made:
                made[scope] = Part(scope.name, scope.name, scope.parent, "")
            keys.append(p if scope is None else scope)
        return contracted(parts, keys, made)

    def _sliced(self, parts: Parts, order: Order, slices: int) -> Parts:
        """Slices of the computation, by the longest path to each part."""
        step = max(order.height, default=0) // slices + 1
        keys = [height // step for height in order.height]
        made: dict[Hashable, Part] = {}
        for key in {*keys}:
            title = f"steps {key * step + 1:,} to {(key + 1) * step:,}"
            made[key] = Part(title, title, None, "")
        return contracted(parts, keys, made)

    # --- rolling up: which parts are alike ---

    def _nothing_rolled(self, parts: Parts) -> Rolled:
        return self._rolled(parts, list(range(len(parts.parts))), lambda scope: scope)

    def _alike_rolled(self, parts: Parts, order: Order) -> Rolled:
        """Parts that do the same to the same kinds of things, in scopes that contain the same."""
        path = cache(lambda scope: tuple(outer.name for outer in self.chain(scope)))
        number: dict[Hashable, int] = {}  # signatures as numbers, so that they don't grow
        signs = [0] * len(parts.parts)
        kinds: list[Counter[str]] = [Counter() for _ in parts.parts]
        for leaf, uses in parts.leaves.items():
            name = stem(self.graph.nodes[leaf])
            for p, count in uses.items():
                kinds[p][name] += count
        for p in order.order:
            part = parts.parts[p]
            below = Counter({signs[q]: 0 for q in parts.operands[p]})
            for q, count in parts.operands[p].items():
                below[signs[q]] += count
            sign: Hashable = (
                part.title,
                part.size,
                path(part.scope),
                frozenset(below.items()),
                frozenset(kinds[p].items()),
            )
            signs[p] = number.setdefault(sign if p not in order.cyclic else p, len(number))
        contents: dict[Scope, Counter[int]] = {}
        for p, part in enumerate(parts.parts):
            if part.scope is not None:
                contents.setdefault(part.scope, Counter())[signs[p]] += 1
        content_sign: dict[Scope, int] = {}
        every = {outer for scope in contents for outer in self.chain(scope)}
        for scope in sorted(every, key=lambda scope: -len(self.chain(scope))):  # parents come last
            key = (scope.name, frozenset(contents[scope].items()))
            content_sign[scope] = number.setdefault(key, len(number))
            if scope.parent is not None:
                contents.setdefault(scope.parent, Counter())[content_sign[scope]] += 1
        return self._rolled(parts, list(signs), lambda scope: content_sign[scope])

    def _akin_rolled(self, parts: Parts, order: Order) -> Rolled:
        """Parts of one kind whose operands come from the same kinds of things, however many.

        A sum is transparent: the positions of a sequence are alike, though each adds up more than
        the one before. What is compared is a set, the kinds of things that a number is made of.
        """
        number: dict[Hashable, int] = {}
        stems: list[set[Hashable]] = [set() for _ in parts.parts]
        for leaf, uses in parts.leaves.items():
            node = self.graph.nodes[leaf]
            if node.kind == "leaf":
                for p in uses:
                    stems[p].add(stem(node))
        made_of: list[frozenset[Hashable]] = [frozenset()] * len(parts.parts)
        entering: dict[Scope, set[Hashable]] = {}
        for p in order.order:
            part = parts.parts[p]
            below: set[Hashable] = set(stems[p])
            for q in parts.operands[p]:
                below |= made_of[q]
            inside = set(self.chain(part.scope))
            for scope in inside:
                entering.setdefault(scope, set()).update(stems[p])
            for q in parts.operands[p]:
                for scope in inside.difference(self.chain(parts.parts[q].scope)):
                    entering[scope] |= made_of[q]
            if p in order.cyclic:
                below.add(("cyclic", p))
            if part.loosely in _TRANSPARENT and len(below) <= _KINDS:
                made_of[p] = frozenset(below)
            else:
                kind = "*" if part.loosely == _PRODUCTS else part.loosely
                sign = number.setdefault((kind, frozenset(below)), len(number))
                made_of[p] = frozenset((sign,))
        keys: list[Hashable] = [
            (part.loosely, kinds) for part, kinds in zip(parts.parts, made_of, strict=True)
        ]
        return self._rolled(parts, keys, lambda scope: frozenset(entering[scope]))

    def _level_rolled(self, parts: Parts, order: Order) -> Rolled:
        """Parts of one kind that are equally far from the inputs, in scopes that begin there."""
        begin: dict[Scope, int] = {}
        for part, height in zip(parts.parts, order.height, strict=True):
            for scope in self.chain(part.scope):
                begin[scope] = min(height, begin.get(scope, height))
        keys: list[Hashable] = [
            (part.loosely, p if p in order.cyclic else height)
            for p, (part, height) in enumerate(zip(parts.parts, order.height, strict=True))
        ]
        return self._rolled(parts, keys, lambda scope: (scope.name, begin[scope]))

    def _loops_rolled(self, parts: Parts) -> Rolled:
        """Scopes of one name, and folded ones of one name: steps of a loop, one after another."""
        local = Order(parts, within=True).height
        keys: list[Hashable] = [
            (part.loosely, height) for part, height in zip(parts.parts, local, strict=True)
        ]
        return self._rolled(parts, keys, lambda scope: scope.name)

    def _rolled(
        self, parts: Parts, keys: list[Hashable], sign: Callable[[Scope], Hashable]
    ) -> Rolled:
        """Roll up scopes of one sign in one parent, and then parts of one key in one frame."""
        frames: list[tuple[Scope, int | None, int]] = []
        frame_of: dict[Scope, int] = {}
        known: dict[Hashable, int] = {}
        for part in parts.parts:
            for scope in self.chain(part.scope):
                if scope in frame_of:
                    continue
                parent = None if scope.parent is None else frame_of[scope.parent]
                key = (parent, scope.name, sign(scope))
                if key in known:
                    at = known[key]
                    frames[at] = (*frames[at][:2], frames[at][2] + 1)
                else:
                    at = known[key] = len(frames)
                    frames.append((scope, parent, 1))
                frame_of[scope] = at
        boxes: dict[Hashable, int] = {}
        box_of = [
            boxes.setdefault(
                (None if part.scope is None else frame_of[part.scope], key), len(boxes)
            )
            for part, key in zip(parts.parts, keys, strict=True)
        ]
        return Rolled(box_of, frame_of, frames)


def _length(parts: Parts, order: Order) -> int:
    """The longest chain of parts, not counting those that are transparent."""
    length = [0] * len(parts.parts)
    for p in order.order:
        below = max((length[q] for q in parts.operands[p]), default=0)
        length[p] = below + (parts.parts[p].loosely not in _TRANSPARENT)
    return max(length, default=0)


def _sum_title(terms: int, products: int, squares: int) -> tuple[str, str]:
    what = "squares" if squares == products else "products"
    if not products:
        return f"Σ of {terms:,} terms", "Σ of {}"
    rest = terms - products
    more = f" + {rest:,} term{'s' if rest > 1 else ''}" if rest else ""
    return f"Σ of {products:,} {what}{more}", _PRODUCTS if what == "products" else "Σ of squares"
