"""From a `Graph` to a `Picture` that a person can read: `fold`.

A small graph is drawn as it is, a box for each number. A larger one is folded in steps, until it
fits: long sums to one box each; alike parts, such as the neurons of a layer, to one with a count;
scopes, from the inside out; and at last, where nothing is alike and nothing has a name, slices of
the computation. Every node is in exactly one box, and the arrows are those of the graph between
boxes. Only the steps before the last two keep the graph without cycles.

A step is a `Parts`, the graph contracted, which the next step contracts again: so that the
hundred thousand nodes are walked once, and not for each step.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass, field

from engine.drawing.picture import Arrow, Box, Cluster, Picture, Row
from engine.graph import Graph, Node
from engine.modes import Scope

LIMIT = 100  # boxes in a picture that a person reads
LARGE = 1000  # boxes that a renderer lays out within a second or so

_SUMS = frozenset(("+", "-"))
_CHAINS = {"*": "Π of {} factors", "max": "max of {}", "min": "min of {}"}
_FOLDABLE = ("arithmetic", "choice")  # the families of these: a custom "+" is another thing


@dataclass(slots=True)
class Part:
    """Operations that are drawn as one box, as long as nothing is rolled up or folded further."""

    title: str
    alike: str  # parts of one `alike` may be rolled up where they do the same
    loosely: str  # … or nearly the same
    scope: Scope | None
    family: str
    size: int = 1


@dataclass(slots=True)
class Parts:
    """A graph contracted: parts, what each uses, and which parts use the leaves."""

    parts: list[Part]
    operands: list[dict[int, int]]  # by part: the parts that it uses, with the number of edges
    of_node: list[int]  # by node of the graph: its part, -1 for leaves and literals
    leaves: dict[int, dict[int, int]] = field(default_factory=dict)  # by leaf: parts, edges


@dataclass(slots=True)
class _Rolled:
    """Which parts are drawn as one box, and which scopes as one frame."""

    box_of: list[int]
    frame_of: dict[Scope, int]
    frames: list[tuple[str, int | None, int]]  # name, parent, how many are alike


def fold(
    graph: Graph,
    *,
    depth: int | None = None,
    limit: int | None = None,
    groups: Mapping[int, str] | None = None,
    only: Collection[int] | None = None,
) -> Picture:
    """Return the picture of a graph, folded as far as it must be to be readable.

    `depth` is the number of levels of scopes that are drawn as frames: a scope below is one box.
    Without it as many as fit. `limit` is the number of boxes that a picture may have; without it
    100, or 1,000 if `depth` was given. `groups` gives nodes, by their indices, to boxes of these
    names, in place of scopes. `only` leaves all other nodes out.

    >>> from engine import Value, dot
    >>> ws, xs = [Value(0.5)] * 50, [Value(float(i)) for i in range(50)]
    >>> picture = fold(Graph(dot(ws, xs).tanh()))
    >>> [(box.title, box.count) for box in picture.boxes]
    [('Σ of 50 products', 150), ('tanh', 1)]
    """
    work = _Fold(graph, groups, only)
    bound = limit if limit is not None else LIMIT if depth is None else LARGE
    return work.picture(depth, max(1, bound))


class _Fold:
    def __init__(
        self, graph: Graph, groups: Mapping[int, str] | None, only: Collection[int] | None
    ) -> None:
        self.graph = graph
        self.groups = groups
        self.only = None if only is None else frozenset(only)
        self.scopes = _Scopes(graph)
        self.shown = [node for node in graph.nodes if self.only is None or node.index in self.only]

    def picture(self, depth: int | None, limit: int) -> Picture:
        numbers = sum(node.kind != "literal" for node in self.shown)
        if depth is not None or self.groups is not None or numbers <= limit:
            plain = self._each_operation()
            if depth is not None or self.groups is not None:
                plain = self._scopes_folded(plain, self.scopes.deepest if depth is None else depth)
            rolled = self._nothing_rolled(plain)
            leaves = self._leaves(plain, rolled, rolls=False)
            boxes = len(plain.parts) + sum(
                key is not None and self.graph.nodes[leaf].kind == "leaf"
                for leaf, key in leaves.items()
            )
            if boxes <= limit:
                return self._assembled(plain, rolled, leaves, "")
        for parts, rolled, shown in self._steps(depth, limit):
            boxes = len(set(rolled.box_of))
            if boxes > limit:
                continue
            leaves = self._leaves(parts, rolled, rolls=True, keeps=shown >= 0)
            if boxes + len({key for key in leaves.values() if key is not None}) <= limit:
                break
        deeper = 0 <= shown < self.scopes.deepest
        more = f"depth={shown + 1}" if deeper else f"limit={10 * limit}"
        caption = f"{len(self.shown):,} nodes, folded to {{}}: draw(…, {more}) shows more"
        return self._assembled(parts, rolled, leaves, caption)

    def _steps(self, depth: int | None, limit: int) -> Iterator[tuple[Parts, _Rolled, int]]:
        """Yield foldings, each coarser than the one before, with the depth of scopes shown."""
        sums = self._sums_folded()
        deepest = self.scopes.deepest
        at_most = deepest if depth is None else min(depth, deepest)
        at_least = min(1, at_most) if depth is None else at_most
        for shown in range(at_most, at_least - 1, -1):
            parts = self._scopes_folded(sums, shown)
            if 2 * len(parts.parts) <= limit:  # forty neurons say less than one "× 40"
                yield parts, self._nothing_rolled(parts), shown
            order = _Order(parts)
            yield parts, self._alike_rolled(parts, order), shown
            yield parts, self._loosely_rolled(parts, order), shown
        parts = self._scopes_folded(sums, at_least)
        yield parts, self._loops_rolled(parts), at_least
        parts = self._scopes_folded(sums, 0)
        if depth is None:
            yield parts, self._loosely_rolled(parts, _Order(parts)), 0
        for slices in (limit // 2, limit // 4, 1):  # the last is one box, and always fits
            sliced = self._sliced(parts, max(1, slices))
            yield sliced, self._nothing_rolled(sliced), -1

    # --- steps ---

    def _each_operation(self) -> Parts:
        """Each operation as a part of its own."""
        return self._contracted_nodes([node.index for node in self.graph.nodes], {})

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
        groups = self.groups
        for node in reversed(nodes):
            i, op = node.index, node.op
            if node.family not in _FOLDABLE:
                continue
            above = nodes[user[i]] if user[i] >= 0 else None
            joins = (
                above is not None
                and not node.label
                and node.scope is above.scope
                and above.family in _FOLDABLE
                and (groups is None or groups.get(i) == groups.get(above.index))
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
        titles: dict[int, tuple[str, str]] = {}
        for i, node in enumerate(nodes):
            h = head[i]
            if adds[h] < 2:
                head[i] = i  # too short to be folded
            elif h == i:
                terms = adds[h] + 1
                if node.op in _CHAINS:
                    text = _CHAINS[node.op]
                    titles[i] = (text.format(terms), text)
                else:
                    titles[i] = _sum_title(terms, products[h], squares[h])
        return self._contracted_nodes(head, titles)

    def _contracted_nodes(self, head: list[int], titles: dict[int, tuple[str, str]]) -> Parts:
        graph, nodes, only = self.graph, self.graph.nodes, self.only
        of_node = [-1] * len(nodes)
        parts: list[Part] = []
        place: dict[int, int] = {}
        for node in nodes:
            i = node.index
            if node.kind != "operation" or (only is not None and i not in only):
                continue
            h = head[i]
            if h in place:
                of_node[i] = place[h]
                parts[place[h]].size += 1
                continue
            of_node[i] = place[h] = len(parts)
            scope = node.scope if self.groups is None else None
            if h in titles:
                title, loosely = titles[h]
                part = Part(title, title, loosely, scope, "reduction")
            else:
                part = Part(node.op, node.op, node.op, scope, node.family)
            parts.append(part)
        operands: list[dict[int, int]] = [{} for _ in parts]
        leaves: dict[int, dict[int, int]] = {}
        for i, sources in enumerate(graph.operands):
            p = of_node[i]
            if p < 0:
                continue
            used = operands[p]
            for source in sources:
                q = of_node[source]
                if q >= 0:
                    if q != p:
                        used[q] = used.get(q, 0) + 1
                elif only is None or source in only:
                    uses = leaves.setdefault(source, {})
                    uses[p] = uses.get(p, 0) + 1
        for node in self.shown:
            if node.kind != "operation":
                leaves.setdefault(node.index, {})
        return Parts(parts, operands, of_node, leaves)

    def _scopes_folded(self, parts: Parts, depth: int) -> Parts:
        """Each scope below the given depth as one part."""
        keys: list[Hashable] = []
        scope_of: dict[Hashable, Part] = {}
        member = [-1] * len(parts.parts)
        if self.groups is not None:
            for i, p in enumerate(parts.of_node):
                if p >= 0:
                    member[p] = i
        for p, part in enumerate(parts.parts):
            group = self.groups.get(member[p]) if self.groups is not None else None
            if group is not None:
                keys.append(("group", group))
                scope_of[keys[-1]] = Part(group, group, group, None, "")
                continue
            folded = self.scopes.below(part.scope, depth)
            if folded is None:
                keys.append(p)
            else:
                keys.append(folded)
                scope_of[folded] = Part(folded.name, folded.name, folded.name, folded.parent, "")
        return _contracted(parts, keys, scope_of)

    def _sliced(self, parts: Parts, slices: int) -> Parts:
        """Slices of the computation, by the longest path to each part."""
        height = _Order(parts).height
        step = max(height, default=0) // slices + 1
        keys: list[Hashable] = [h // step for h in height]
        made: dict[Hashable, Part] = {}
        for key in keys:
            if key not in made:
                assert isinstance(key, int)
                title = f"steps {key * step + 1:,} to {(key + 1) * step:,}"
                made[key] = Part(title, title, title, None, "")
        return _contracted(parts, keys, made)

    # --- rolling up: which parts are alike ---

    def _nothing_rolled(self, parts: Parts) -> _Rolled:
        return self._rolled(parts, list(range(len(parts.parts))), lambda scope: scope)

    def _alike_rolled(self, parts: Parts, order: _Order) -> _Rolled:
        """Parts that do the same to the same kinds of things, in scopes that contain the same."""
        number: dict[Hashable, int] = {}  # signatures as numbers, so that they don't grow
        signs = [0] * len(parts.parts)
        kinds: list[Counter[str]] = [Counter() for _ in parts.parts]
        for leaf, uses in parts.leaves.items():
            stem = _stem(self.graph.nodes[leaf])
            for p, count in uses.items():
                kinds[p][stem] += count
        for p in order.order:
            part = parts.parts[p]
            below = Counter({signs[q]: 0 for q in parts.operands[p]})
            for q, count in parts.operands[p].items():
                below[signs[q]] += count
            sign: Hashable = (
                part.alike,
                part.size,
                self.scopes.path(part.scope),
                frozenset(below.items()),
                frozenset(kinds[p].items()),
            )
            signs[p] = number.setdefault(sign if p not in order.cyclic else p, len(number))
        contents: dict[Scope, Counter[int]] = {}
        for p, part in enumerate(parts.parts):
            if part.scope is not None:
                contents.setdefault(part.scope, Counter())[signs[p]] += 1
        content_sign: dict[Scope, int] = {}
        for scope in self.scopes.inner_first(contents):
            found = contents.get(scope, Counter())
            key = (scope.name, frozenset(found.items()))
            content_sign[scope] = number.setdefault(key, len(number))
            if scope.parent is not None:
                contents.setdefault(scope.parent, Counter())[content_sign[scope]] += 1
        return self._rolled(parts, list(signs), lambda scope: content_sign[scope])

    def _loosely_rolled(self, parts: Parts, order: _Order) -> _Rolled:
        """Parts of one kind that are equally far from the inputs, in scopes that begin there."""
        begin: dict[Scope, int] = {}
        for part, height in zip(parts.parts, order.height, strict=True):
            scope = part.scope
            while scope is not None and begin.get(scope, height + 1) > height:
                begin[scope] = height
                scope = scope.parent
        keys: list[Hashable] = [
            (part.loosely, p if p in order.cyclic else height)
            for p, (part, height) in enumerate(zip(parts.parts, order.height, strict=True))
        ]
        return self._rolled(parts, keys, lambda scope: (scope.name, begin[scope]))

    def _loops_rolled(self, parts: Parts) -> _Rolled:
        """Scopes of one name, and folded ones of one name: steps of a loop, one after another."""
        local = _Order(parts, within=True).height
        keys: list[Hashable] = [
            (part.loosely, height) for part, height in zip(parts.parts, local, strict=True)
        ]
        return self._rolled(parts, keys, lambda scope: scope.name)

    def _rolled(
        self, parts: Parts, keys: list[Hashable], sign: Callable[[Scope], Hashable]
    ) -> _Rolled:
        """Roll up scopes of one sign in one parent, and then parts of one key in one frame."""
        frames: list[tuple[str, int | None, int]] = []
        frame_of: dict[Scope, int] = {}
        known: dict[Hashable, int] = {}
        for part in parts.parts:
            if part.scope is None or part.scope in frame_of:
                continue
            for scope in self.scopes.outer_first(part.scope, frame_of):
                parent = None if scope.parent is None else frame_of[scope.parent]
                key = (parent, scope.name, sign(scope))
                if key in known:
                    at = known[key]
                    frames[at] = (*frames[at][:2], frames[at][2] + 1)
                else:
                    at = known[key] = len(frames)
                    frames.append((scope.name, parent, 1))
                frame_of[scope] = at
        boxes: dict[Hashable, int] = {}
        box_of = [
            boxes.setdefault(
                (None if part.scope is None else frame_of[part.scope], key), len(boxes)
            )
            for part, key in zip(parts.parts, keys, strict=True)
        ]
        return _Rolled(box_of, frame_of, frames)

    # --- leaves ---

    def _leaves(
        self, parts: Parts, rolled: _Rolled, *, rolls: bool, keeps: bool = True
    ) -> dict[int, Hashable | None]:
        """By leaf the key of the box that it shares with others; None if it is inside of its user.

        What is used only inside of a box of several operations goes in, but for what the user
        gave a name of its own, such as an input (if `keeps`): parameters of modules have names
        with dots and brackets.
        """
        nodes = self.graph.nodes
        sizes: Counter[int] = Counter()
        for part, box in zip(parts.parts, rolled.box_of, strict=True):
            sizes[box] += part.size
        roots = set(self.graph.roots)
        found: dict[int, Hashable | None] = {}
        for leaf, uses in parts.leaves.items():
            node = nodes[leaf]
            users = {rolled.box_of[p] for p in uses}
            inside = len(users) == 1 and leaf not in roots
            if inside and (node.kind == "literal" or not (keeps and _is_named(node))):
                [box] = users
                if sizes[box] > 1 or (rolls and node.kind == "literal"):
                    found[leaf] = None
                    continue
            found[leaf] = (
                (frozenset(users), _stem(node), node.kind, node.scope, leaf in roots)
                if rolls
                else leaf
            )
        return found

    # --- the picture ---

    def _assembled(
        self,
        parts: Parts,
        rolled: _Rolled,
        leaves: dict[int, Hashable | None],
        caption: str,
    ) -> Picture:
        nodes = self.graph.nodes
        keys: list[Hashable] = [None] * len(nodes)
        for i, p in enumerate(parts.of_node):
            if p >= 0:
                keys[i] = ("part", rolled.box_of[p])
        for leaf, key in leaves.items():
            if key is not None:
                keys[leaf] = ("leaf", key)
            else:
                keys[leaf] = ("part", rolled.box_of[next(iter(parts.leaves[leaf]))])
        members: dict[Hashable, list[int]] = {}
        for node in self.shown:
            members.setdefault(keys[node.index], []).append(node.index)
        repeats = Counter(rolled.box_of)
        first: dict[int, Part] = {}
        for p, place in zip(parts.parts, rolled.box_of, strict=True):
            first.setdefault(place, p)
        # In the order of computation: a box comes where it is complete.
        ordered = sorted(members, key=lambda key: members[key][-1])
        used = self._used_outside(keys)
        ids: dict[Hashable, str] = {}
        boxes = []
        counts: Counter[int] = Counter()
        for key in ordered:
            inside = members[key]
            if len(inside) == 1:
                box, frame = self._single(nodes[inside[0]], parts, rolled)
            else:
                assert isinstance(key, tuple)
                is_leaf = key[0] == "leaf"
                box, frame = self._several(
                    f"g{inside[-1]}",
                    inside,
                    [i for i in inside if i in used],
                    None if is_leaf else first[key[1]],
                    len(inside) if is_leaf else repeats[key[1]],
                    rolled,
                    parts,
                )
            ids[key] = box.id
            boxes.append(box)
            while frame is not None:
                counts[frame] += box.count
                frame = rolled.frames[frame][1]
        arrows = self._arrows(keys, ids, aggregated=bool(caption))
        clusters = tuple(
            Cluster(f"c{k}", name, None if parent is None else f"c{parent}", times, counts[k])
            for k, (name, parent, times) in enumerate(rolled.frames)
            if counts[k]
        )
        return Picture(tuple(boxes), arrows, clusters, caption.format(len(boxes)))

    def _used_outside(self, keys: list[Hashable]) -> set[int]:
        """The nodes whose number leaves their box."""
        used = set(self.graph.roots)
        for i, sources in enumerate(self.graph.operands):
            for source in sources:
                if keys[i] != keys[source]:
                    used.add(source)
        return used

    def _single(self, node: Node, parts: Parts, rolled: _Rolled) -> tuple[Box, int | None]:
        frame = self._frame(node, parts, rolled)
        rows = [Row("data", node.data)]
        if node.grad is not None:
            rows.append(Row("grad", node.grad))
        box = Box(
            id=f"n{node.index}",
            kind=node.kind,
            title=node.op,
            label=node.label,
            rows=tuple(rows),
            cluster=None if frame is None else f"c{frame}",
            family=node.family,
            is_root=node.index in self.graph.roots,
            members=(node.index,),
            detail=_detail(node),
        )
        return box, frame

    def _several(
        self,
        name: str,
        inside: list[int],
        outputs: list[int],
        part: Part | None,
        repeats: int,
        rolled: _Rolled,
        parts: Parts,
    ) -> tuple[Box, int | None]:
        nodes = self.graph.nodes
        if part is None:
            frame = self._frame(nodes[inside[0]], parts, rolled)
            title, family = _stem(nodes[inside[0]]) or "leaves", ""
        else:
            frame = None if part.scope is None else rolled.frame_of[part.scope]
            title, family = part.title, part.family
            if repeats > 1 and part.title != part.loosely:
                same = {
                    parts.parts[parts.of_node[i]].title for i in inside if parts.of_node[i] >= 0
                }
                title = part.title if len(same) == 1 else part.loosely.replace(" of {}", "")
        seen = outputs or inside
        rows = [_range("data", [nodes[i].data for i in seen])]
        grads = [g for i in seen if (g := nodes[i].grad) is not None]
        if grads:
            rows.append(_range("grad", grads))
        parameters = sum(nodes[i].kind == "leaf" for i in inside) if part is not None else 0
        if parameters:
            rows.append(Row("parameters", parameters))
        labels = {nodes[i].label for i in seen if nodes[i].kind == "operation"}
        box = Box(
            id=name,
            kind="fold",
            title=title,
            label=labels.pop() if len(labels) == 1 else "",
            rows=tuple(rows),
            count=len(inside),
            repeats=repeats,
            cluster=None if frame is None else f"c{frame}",
            family=family,
            is_root=any(root in inside for root in self.graph.roots),
            members=tuple(inside),
            detail=_contents([nodes[i] for i in inside]),
        )
        return box, frame

    def _frame(self, node: Node, parts: Parts, rolled: _Rolled) -> int | None:
        """The frame of a single box: a leaf that one box uses, such as a weight, is in its."""
        if node.kind == "operation":
            scope = parts.parts[parts.of_node[node.index]].scope
        else:
            uses = parts.leaves[node.index]
            scope = node.scope
            if scope is None and sum(uses.values()) == 1:
                scope = parts.parts[next(iter(uses))].scope
            while scope is not None and scope not in rolled.frame_of:
                scope = scope.parent
        return None if scope is None else rolled.frame_of[scope]

    def _arrows(
        self, keys: list[Hashable], ids: dict[Hashable, str], *, aggregated: bool
    ) -> tuple[Arrow, ...]:
        counts: Counter[tuple[str, str, int]] = Counter()
        for i, sources in enumerate(self.graph.operands):
            if keys[i] is None:
                continue
            for k, source in enumerate(sources):
                if keys[source] is not None and keys[source] != keys[i]:
                    counts[ids[keys[source]], ids[keys[i]], 0 if aggregated else k] += 1
        return tuple(Arrow(a, b, count) for (a, b, _), count in counts.items())


class _Scopes:
    """The scopes of a graph: how deep each is, and what encloses it."""

    def __init__(self, graph: Graph) -> None:
        self._chains: dict[Scope | None, tuple[Scope, ...]] = {None: ()}
        self._paths: dict[Scope | None, tuple[str, ...]] = {None: ()}
        for node in graph.nodes:
            if node.scope not in self._chains:
                self._chain(node.scope)
        self.deepest = max(map(len, self._chains.values()))

    def _chain(self, scope: Scope | None) -> tuple[Scope, ...]:
        """The scopes from the outermost one to this one."""
        new: list[Scope] = []
        while scope is not None and scope not in self._chains:
            new.append(scope)
            scope = scope.parent
        chain = self._chains[scope]
        for inner in reversed(new):
            chain = self._chains[inner] = (*chain, inner)
        return chain

    def path(self, scope: Scope | None) -> tuple[str, ...]:
        """The names of these."""
        if scope not in self._paths:
            self._paths[scope] = tuple(outer.name for outer in self._chain(scope))
        return self._paths[scope]

    def below(self, scope: Scope | None, depth: int) -> Scope | None:
        """The outermost scope around this one that is deeper than that many levels."""
        chain = self._chain(scope)
        return chain[depth] if len(chain) > depth else None

    def inner_first(self, scopes: Collection[Scope]) -> list[Scope]:
        """These scopes and all around them, each before its parent."""
        every = {outer for scope in scopes for outer in self._chain(scope)}
        return sorted(every, key=lambda scope: -len(self._chain(scope)))

    def outer_first(self, scope: Scope | None, known: Mapping[Scope, int]) -> list[Scope]:
        """This scope and those around it that are not known, each after its parent."""
        return [outer for outer in self._chain(scope) if outer not in known]


class _Order:
    """Parts in topological order, and how far each is from the inputs.

    `within` counts steps within a scope only. Parts on a cycle, which a scope that is entered
    again may make, come last.
    """

    def __init__(self, parts: Parts, *, within: bool = False) -> None:
        count = len(parts.parts)
        missing = [len(operands) for operands in parts.operands]
        users: list[list[int]] = [[] for _ in range(count)]
        for p, operands in enumerate(parts.operands):
            for q in operands:
                users[q].append(p)
        self.height = [0] * count
        self.order = [p for p in range(count) if not missing[p]]
        for p in self.order:  # which grows
            scope = parts.parts[p].scope
            for user in users[p]:
                if not within or parts.parts[user].scope is scope:
                    self.height[user] = max(self.height[user], self.height[p] + 1)
                missing[user] -= 1
                if not missing[user]:
                    self.order.append(user)
        self.cyclic = set(range(count)).difference(self.order)
        self.order += sorted(self.cyclic)


def _contracted(parts: Parts, keys: list[Hashable], made: Mapping[Hashable, Part]) -> Parts:
    """Parts of one key as one part: that of `made`, or the only one of its key."""
    place: dict[Hashable, int] = {}
    new: list[Part] = []
    at = []
    for part, key in zip(parts.parts, keys, strict=True):
        if key in place:
            new[place[key]].size += part.size
        else:
            place[key] = len(new)
            like = made.get(key, part)
            fields = (like.title, like.alike, like.loosely, like.scope, like.family)
            new.append(Part(*fields, size=part.size))
        at.append(place[key])
    operands: list[dict[int, int]] = [{} for _ in new]
    for p, sources in enumerate(parts.operands):
        for q, count in sources.items():
            if at[p] != at[q]:
                operands[at[p]][at[q]] = operands[at[p]].get(at[q], 0) + count
    leaves: dict[int, dict[int, int]] = {}
    for leaf, uses in parts.leaves.items():
        found = leaves[leaf] = dict[int, int]()
        for p, count in uses.items():
            found[at[p]] = found.get(at[p], 0) + count
    return Parts(new, operands, [p if p < 0 else at[p] for p in parts.of_node], leaves)


def _sum_title(terms: int, products: int, squares: int) -> tuple[str, str]:
    what = "squares" if squares == products else "products"
    if not products:
        return f"Σ of {terms:,} terms", "Σ of {}"
    rest = terms - products
    more = f" and {rest:,} term{'s' if rest > 1 else ''}" if rest else ""
    return f"Σ of {products:,} {what}{more}", "Σ of " + what


def _is_named(node: Node) -> bool:
    """Whether a leaf has a name of its own, and not one of many: "x1", but not "0.weight[2]"."""
    return bool(node.label) and "." not in node.label and "[" not in node.label


def _stem(node: Node) -> str:
    """A leaf's label without its numbers at the end: what the inputs x1 and x2 have in common."""
    label = node.label
    return re.sub(r"[\d\[\], ]+$", "", re.sub(r"\[\d+\]", "[]", label)) if label else ""


def _range(name: str, numbers: list[float]) -> Row:
    low, high = min(numbers), max(numbers)
    return Row(name, low, high if high != low else None)


def _detail(node: Node) -> str:
    lines = [node.label] if node.label else []
    lines.append(f"{node.op or node.kind}: {node.data!r}")
    if node.grad is not None:
        lines.append(f"grad {node.grad!r}")
    if node.scope is not None:
        lines.append("in " + "/".join(node.scope.path))
    return "\n".join(lines)


def _contents(nodes: list[Node]) -> str:
    """How many of what a box stands for."""
    kinds = Counter(node.op or node.kind for node in nodes)
    lines = [f"{len(nodes):,} nodes"]
    lines += [f"{count:,} {kind}" for kind, count in kinds.most_common(8)]
    scopes = {node.scope for node in nodes if node.scope is not None}
    if len(scopes) == 1:
        lines.append("in " + "/".join(scopes.pop().path))
    return "\n".join(lines)
