"""From a `Flow` to findings: what happened where, folded by source line and operation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from engine.explaining import words
from engine.explaining.flow import Edge, Flow, Step
from engine.explaining.report import Cause, Finding
from engine.explaining.words import number, times
from engine.lines import Line, Recorder
from engine.value import Value

_ORDER = ("forward", "nan", "inf", "zero", "huge", "tiny", "fine", "kink")
_CANCELLED = 1e6  # where more than six of sixteen digits are lost, it is said


class Inquiry:
    """All findings about the gradients of one run."""

    def __init__(
        self,
        flow: Flow | None,
        recorder: Recorder,
        names: dict[Value, str],
        huge: float,
        tiny: float,
    ) -> None:
        self.flow = flow
        self.recorder = recorder
        self.names = names
        self.huge = huge
        self.tiny = tiny

    def gradient(self, value: Value) -> float:
        """The gradient of an input; 0.0 where the result does not depend on it."""
        place = self.flow.index.get(value) if self.flow is not None else None
        return 0.0 if place is None or self.flow is None else self.flow.adjoints[place]

    def findings(self) -> tuple[Finding, ...]:
        """What there is to say, the worst first."""
        totals: dict[str, int] = {}
        groups: dict[tuple[str, str, bool], list[Value]] = {}
        for value, name in self.names.items():
            group = group_of(name)
            totals[group] = totals.get(group, 0) + 1
            connected = self.flow is not None and value in self.flow.index
            groups.setdefault((group, self._status(value), connected), []).append(value)
        for group, total in totals.items():  # a few tiny ones among many are no news
            few = groups.get((group, "tiny", True), [])
            if 0 < 10 * len(few) < total and (group, "fine", True) in groups:
                groups[group, "fine", True] += groups.pop((group, "tiny", True))
        found = [
            self._finding(status, group, members, connected, totals[group])
            for (group, status, connected), members in groups.items()
        ]
        found += [*self._forward(), *self._kinks()]
        return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.status)))

    def _status(self, value: Value) -> str:
        size = math.fabs(self.gradient(value))
        if size != size:
            return "nan"
        if size == math.inf:
            return "inf"
        if size == 0.0:
            return "zero"
        return "huge" if size > self.huge else "tiny" if size < self.tiny else "fine"

    def _finding(
        self, status: str, group: str, members: list[Value], connected: bool, total: int
    ) -> Finding:
        empty = Finding(
            status,
            group,
            tuple(self.names[value] for value in members),
            tuple(self.gradient(value) for value in members),
            total,
        )
        if self.flow is None or not connected:
            causes, advice = self._unconnected(members)
        else:
            places = [self.flow.index[value] for value in members]
            explain = {"zero": self._zero, "nan": self._spoiled, "inf": self._spoiled}
            causes, advice = explain.get(status, self._sized)(places)
        return replace(empty, causes=tuple(causes), advice=tuple(dict.fromkeys(advice)))

    # --- zero ---

    def _unconnected(self, members: Sequence[Value]) -> tuple[list[Cause], list[str]]:
        """Where inputs that the result does not depend on were used, or read as numbers."""
        below = self._made_of(members)
        causes = []
        for kind, seen, text in (
            ("read", self.recorder.reads, "was read as a plain number"),
            ("compared", self.recorder.comparisons, "was compared"),
        ):
            for node, at in seen.items():
                if node in below.reached:
                    what = self._called(node)
                    causes.append(
                        Cause(
                            kind,
                            f"{what} {text}, which leaves the graph",
                            self.recorder.line(at),
                            operands=(node._data,),
                        )
                    )
        if causes:
            return _folded(causes), [words.ON_LEFT]
        if below.made:
            text = "it is used, last here, but the result does not depend on what comes out"
            line = self.recorder.line(self.recorder.spots[below.made[-1]])
            return [Cause("unused", text, line)], [words.ON_UNUSED]
        text = "no operation uses it: nothing connects it with the result"
        return [Cause("unused", text)], [words.ON_UNUSED]

    def _made_of(self, members: Sequence[Value]) -> _Reach:
        """The nodes recorded that depend on some inputs, in the order of making."""
        reached = set(members)
        made = []
        for node in self.recorder.spots:  # in the order of making, so operands come first
            cut = self.recorder.cuts.get(node)
            operands = [cut[0]] if cut is not None else _operands(node)
            if any(operand in reached for operand in operands):
                reached.add(node)
                made.append(node)
        return _Reach(reached, made)

    def _zero(self, places: list[int]) -> tuple[list[Cause], list[str]]:
        flow = self._flow
        causes, advice = [], []
        for death in flow.deaths(places):
            if isinstance(death, int):
                causes.append(self._cancelled(death))
                advice.append(words.ON_CANCELLED)
                continue
            name, numbers = self._operation(death.user)
            if death.partial != 0.0:
                adjoint = flow.adjoints[death.user]
                text = (
                    f"underflow at {self._call(death.user)}: {number(adjoint)} times its "
                    f"derivative {number(death.partial)} is below the smallest float64"
                )
                causes.append(self._cause("underflow", text, death.user))
                advice.append(words.ON_UNDERFLOW)
            else:
                why = words.why_zero(name, numbers, death.k)
                kind = "cut" if flow.nodes[death.user] in flow.cuts else "flat"
                by = f" by operand {death.k + 1}" if len(numbers) > 1 else ""
                text = f"{self._call(death.user)} has the derivative 0{by}: {why}"
                text += self._maker_of_zero(death)
                arrived = flow.adjoints[death.user]
                if not math.isfinite(arrived):
                    text += f". The gradient that arrives there, {number(arrived)}, ends there"
                causes.append(self._cause(kind, text, death.user))
                advice.append(words.advice_on_zero(name, numbers))
        found = _folded(causes)
        absorbed = flow.absorbed(places)
        if absorbed is not None:
            found.append(
                self._cause(
                    "absorbed",
                    f"behind that, {self._call(absorbed.user)} has the derivative "
                    f"{number(absorbed.partial)}; nothing arrives there, so it spoils nothing",
                    absorbed.user,
                )
            )
        return found, advice

    def _maker_of_zero(self, death: Edge) -> str:
        """Of a product: which operation the factor 0 came out of."""
        operands = self._flow.nodes[death.user]._operands()
        if self._operation(death.user)[0] != "mul":
            return ""
        factor = operands[1 - death.k][0]
        if factor is None or factor.op is None or factor not in self._flow.index:
            return ""
        return f", the result of {self._call(self._flow.index[factor])}"

    def _cancelled(self, i: int) -> Cause:
        flow = self._flow
        parts = sorted((e.passed for e in flow.users[i] if e.passed != 0.0), key=math.fabs)
        shown = ", ".join(number(x) for x in reversed(parts[-3:])) + (
            ", …" if len(parts) > 3 else ""
        )
        text = (
            f"the contributions to {self._called(flow.nodes[i])} cancel to "
            f"{number(flow.adjoints[i])}: {shown}"
        )
        return self._cause("cancelled", text, i)

    # --- inf and nan ---

    def _spoiled(self, places: list[int]) -> tuple[list[Cause], list[str]]:
        found = [self.spoiled_at(birth) for birth in self._flow.births(places)]
        return _folded(cause for cause, _ in found), [text for _, text in found if text]

    def spoiled_at(self, birth: Edge | int) -> tuple[Cause, str]:
        """What made inf or nan going back, and advice, for one of the flow's births."""
        flow = self._flow
        if isinstance(birth, int):
            count = f"{len(flow.users[birth])} contributions"
            text = f"going back, the {count} to {self._called(flow.nodes[birth])} add up to "
            text += number(flow.adjoints[birth])
            return self._cause("overflow", text, birth), words.advice_on_huge("add", 3, ())
        name, numbers = self._operation(birth.user)
        arrived, result = flow.adjoints[birth.user], flow.nodes[birth.user]._data
        if math.isfinite(birth.partial):
            text = (
                f"overflow going back through {self._call(birth.user)}: the gradient "
                f"{number(arrived)} times its derivative {number(birth.partial)} is beyond the "
                "largest float64"
            )
            return self._cause("overflow", text, birth.user), words.advice_on_huge(name, 3, numbers)
        before = [x for x in (*numbers, result) if not math.isfinite(x)]
        because = f", because {number(before[0])} came in or out there forwards" if before else ""
        text = (
            f"going back, it begins at {self._call(birth.user)}: its derivative"
            f"{self._by(birth)} is {number(birth.partial)}{because}"
        )
        if arrived == 0.0:
            text += "; times the gradient 0 that arrives there, it is nan"
        else:
            text += f"; the gradient {number(arrived)} that arrives becomes {number(birth.passed)}"
        advice = "" if before else words.advice_on_not_finite(name, numbers)
        return self._cause("partial", text, birth.user), advice

    def _by(self, edge: Edge) -> str:
        node = self._flow.nodes[edge.user]
        return f" by operand {edge.k + 1}" if len(node._operands()) > 1 else ""

    def _forward(self) -> list[Finding]:
        """The first numbers that are inf or nan though their operands are finite."""
        if self.flow is None:
            return []
        found = [self.born_at(i) for i in self.flow.not_finite()]
        if not found:
            return []
        causes = _folded(cause for cause, _ in found)
        if math.isfinite(self.flow.nodes[-1]._data):
            text = "the result is finite all the same: what came of it was not chosen"
            causes.append(Cause("absorbed", text))
        advice = dict.fromkeys(text for _, text in found)
        return [Finding("forward", causes=tuple(causes), advice=tuple(advice))]

    def born_at(self, i: int) -> tuple[Cause, str]:
        """What made the number of a node inf or nan, and advice."""
        node = self._flow.nodes[i]
        if node.op is None:
            text = f"{self._called(node)} was {number(node._data)} to begin with"
            advice = "Look where that number comes from: the data, or an earlier step."
            return Cause("given", text, operands=(node._data,)), advice
        advice = words.advice_on_not_finite(*self._operation(i))
        return self._cause("born", f"{self._call(i)} is {number(node._data)}", i), advice

    # --- sizes ---

    def _sized(self, places: list[int]) -> tuple[list[Cause], list[str]]:
        """What makes gradients large or small: the path that carries most, and cancellation."""
        flow = self._flow
        sizes = [math.fabs(flow.adjoints[i]) for i in places]
        huge, tiny = max(sizes) > self.huge, max(sizes) < self.tiny
        i = places[sizes.index(min(sizes) if tiny else max(sizes))]
        causes: list[Cause] = []
        advice: list[str] = []
        steps = flow.path_to(i)
        lossy = max([i, *(step.edge.to for step in steps)], key=flow.loss_at, default=i)
        if flow.loss_at(lossy) >= _CANCELLED:
            digits = min(16, int(math.log10(flow.loss_at(lossy))))
            cause = self._cancelled(lossy)
            text = f"{cause.text}: about {digits} of 16 digits are lost"
            causes.append(replace(cause, text=text))
            advice.append(words.ON_CANCELLED)
        if (huge or tiny) and steps and not (tiny and causes):
            causes += self._path(i, steps, -1.0 if tiny else 1.0)
            worst = next((cause for cause in causes if cause.kind == "factor"), None)
            if worst is not None:
                name, count = worst.operation, worst.count
                if tiny:
                    each = worst.factor ** (1.0 / count)
                    advice.append(words.advice_on_tiny(name, count, each, worst.operands))
                else:
                    advice.append(words.advice_on_huge(name, count, worst.operands))
            elif huge:
                advice.append(words.advice_on_huge("add", 3, ()))
        return causes, advice

    def _path(self, i: int, steps: list[Step], sign: float) -> list[Cause]:
        """The path that carries most, and the factors on it that make it large or small."""
        flow = self._flow
        size = math.exp(min(709.0, sum(math.log(math.fabs(s.edge.partial)) for s in steps)))
        adjoint = flow.adjoints[i]
        share = size / math.fabs(adjoint)
        carried = f"carries {100 * share:.3g}% of it"
        if share > 1.5:
            carried = "carries more than all of it, which other paths cancel"
        elif share < 1e-3:
            carried = "carries next to nothing of it: the gradient is the sum over very many paths"
        text = (
            f"the largest path from the result to {self._called(flow.nodes[i])} "
            f"({len(steps):,} operation{'' if len(steps) == 1 else 's'}) multiplies by "
            f"{number(size)} and {carried}. On it:"
        )
        factors: dict[tuple[Line | None, str, str], list[tuple[float, Edge]]] = {}
        for edge, gathered in steps:
            name = self._operation(edge.user)[0]
            factor, more = math.fabs(edge.partial), math.fabs(gathered)
            if factor != 1.0:
                key = (self._line(edge.user), name, "factor")
                factors.setdefault(key, []).append((factor, edge))
            if more != 1.0:
                factors.setdefault((self._line(edge.to), "", "gathered"), []).append((more, edge))
        ranked = []
        for (line, name, kind), entries in factors.items():
            total = sum(math.log(factor) for factor, _ in entries if factor > 0.0)
            ranked.append((sign * total, line, name, kind, entries))
        ranked.sort(key=lambda entry: -entry[0])
        whole = math.fabs(math.log(math.fabs(adjoint)))
        causes = [Cause("path", text, count=len(steps), factor=size)]
        explained = 0.0
        for total, _, name, kind, entries in ranked[:3]:
            if total < 0.05 * whole or explained > 0.9 * whole:
                break
            explained += total
            causes.append(self._factor(kind, name, entries, math.exp(min(709.0, sign * total))))
        return causes

    def _factor(
        self, kind: str, name: str, entries: list[tuple[float, Edge]], product: float
    ) -> Cause:
        each = sorted(factor for factor, _ in entries)
        edge = entries[len(entries) // 2][1]
        size = number(each[0]) if each[-1] <= each[0] * 1.001 else ""
        size = size or f"{number(each[0])} to {number(each[-1])}"
        all_in_all = f", {times(len(each))}: × {number(product)} in all" if len(each) > 1 else ""
        if kind == "gathered":
            i = edge.to
            what = self._called(self._flow.nodes[i])
            how = "add up" if product > 1.0 else "partly cancel"
            text = f"{what} is used in several places, whose gradients {how}: × {size}{all_in_all}"
        else:
            i = edge.user
            text = f"{self._call(i)} passes on × {size}{all_in_all}"
        return replace(self._cause(kind, text, i), count=len(each), factor=product)

    # --- kinks ---

    def _kinks(self) -> list[Finding]:
        if self.flow is None:
            return []
        causes = []
        for i, node in enumerate(self.flow.nodes):
            if node.op is None or self.flow.adjoints[i] == 0.0:
                continue
            if node.op.has_kink([x for _, x in node._operands()]):
                causes.append(self._cause("kink", f"{self._call(i)}: {node.op.doc}", i))
        for at, x in self.recorder.ties.items():
            text = f"a comparison of {number(x)} with an equal number: both branches meet here"
            causes.append(Cause("kink", text, self.recorder.line(at)))
        return [Finding("kink", causes=tuple(_folded(causes)))] if causes else []

    # --- what nodes are called ---

    @property
    def _flow(self) -> Flow:
        assert self.flow is not None
        return self.flow

    def _line(self, i: int) -> Line | None:
        return self.recorder.line(self.recorder.spots.get(self._flow.nodes[i]))

    def _operation(self, i: int) -> tuple[str, tuple[float, ...]]:
        node = self._flow.nodes[i]
        if node in self._flow.cuts:
            return self._flow.cuts[node][1], (node._data,)
        name = node.op.name if node.op is not None else ""
        return name, tuple(x for _, x in node._operands())

    def _cause(self, kind: str, text: str, i: int) -> Cause:
        name, numbers = self._operation(i)
        return Cause(kind, text, self._line(i), name, numbers, scope=self._scope(i))

    def _name(self, node: Value | None) -> str:
        return "" if node is None else self.names.get(node) or node.label

    def _called(self, node: Value) -> str:
        name = self._name(node)
        return name or f"the number {number(node._data)}"

    def _call(self, i: int) -> str:
        """An operation with its operands, by name where they have one: log(p = 0)."""
        node = self._flow.nodes[i]
        cut = self._flow.cuts.get(node)
        if cut is not None:
            operands: list[tuple[Value | None, float]] = [(cut[0], node._data)]
        else:
            operands = node._operands()
        texts = [
            f"{name} = {words.operand(x)}" if (name := self._name(operand)) else words.operand(x)
            for operand, x in operands[:4]
        ]
        more = ", …" if len(operands) > 4 else ""
        place = f" in {self._scope(i)}" if self._scope(i) else ""
        return f"{self._operation(i)[0]}({', '.join(texts)}{more}){place}"

    def _scope(self, i: int) -> str:
        scope = self._flow.nodes[i].scope
        return "" if scope is None else "/".join(scope.path)


class _Reach:
    def __init__(self, reached: set[Value], made: list[Value]) -> None:
        self.reached = reached
        self.made = made


def _operands(node: Value) -> list[Value]:
    return [operand for operand, _ in node._operands() if operand is not None]


def group_of(name: str) -> str:
    """What an input belongs to: "0.weight" for "0.weight[2][1]"."""
    return name.split("[", 1)[0]


def _folded(causes: Iterable[Cause]) -> list[Cause]:
    """Causes of one kind and place as one, with their count; the most frequent first."""
    same: dict[tuple[str, Line | None, str, str], list[Cause]] = {}
    for cause in causes:
        key = (cause.kind, cause.line, cause.operation, cause.scope)
        same.setdefault(key, []).append(cause)
    found = []
    for alike in same.values():
        text = alike[0].text
        if len(alike) > 1:
            text += f" (and {len(alike) - 1:,} more like it)"
        found.append(replace(alike[0], text=text, count=len(alike)))
    return sorted(found, key=lambda cause: -cause.count)
