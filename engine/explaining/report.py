"""What `explain` returns: findings, each with its causes, as fields, as text, and as HTML."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.explaining.words import number
from engine.lines import Line
from engine.showing import Told, words

_ITEMS = 4  # names and causes that are written out of many
_WIDTH = 96
_Texts = list["tuple[int, str]"]  # lines of text with their depth


@dataclass(frozen=True)
class Cause:
    """Why a gradient is what it is: what happened at one operation, `count` times at this line.

    `kind` is "flat", "underflow", "cancelled", "cut", "unused", "read", "compared", "absorbed",
    "born" (a number forwards), "given", "partial" or "overflow" (backwards), "path", "factor",
    "gathered", or "kink". `factor` is the product of what the operations of a "factor" multiply.
    """

    kind: str
    text: str
    line: Line | None = None
    operation: str = ""
    operands: tuple[float, ...] = ()
    count: int = 1
    factor: float = 1.0
    scope: str = ""  # such as "Sequential/ReLU"


@dataclass(frozen=True)
class Finding:
    """What is the matter with some inputs of one name, all of one status.

    `status` is "zero", "nan", "inf", "huge", "tiny" or "fine"; and "forward" for numbers that are
    not finite before anything was differentiated, or "kink", both with no inputs.
    """

    status: str
    group: str = ""
    inputs: tuple[str, ...] = ()
    gradients: tuple[float, ...] = ()
    total: int = 0  # how many numbers the group has
    causes: tuple[Cause, ...] = ()
    advice: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line without the causes."""
        if self.status == "forward":
            return "a number that is not finite was born before anything was differentiated:"
        if self.status == "kink":
            return "met exactly at a kink, where there are two slopes:"
        return f"{self._who()}: {self._what()}"

    def _who(self) -> str:
        count = len(self.inputs)
        if self.total == 1:
            return self.inputs[0]
        if count == self.total == 2:
            return f"both numbers of {self.group}"
        if count == self.total:
            return f"all {count:,} numbers of {self.group}"
        shown = ", ".join(self.inputs[:_ITEMS]) + (", …" if count > _ITEMS else "")
        return f"{count:,} of {self.total:,} numbers of {self.group} ({shown})"

    def _what(self) -> str:
        have = "gradient" if len(self.inputs) == 1 else "gradients"
        sizes = sorted(map(abs, self.gradients))
        if self.status == "zero":
            return "gradient 0"
        if self.status in ("nan", "inf"):
            return f"gradient {self.gradients[0]}" if len(set(self.gradients)) == 1 else "±inf"
        size = number(self.gradients[0]) if len(sizes) == 1 else ""
        if not size and sizes[0] == sizes[-1]:
            size = f"of size {number(sizes[0])}"
        elif not size:
            size = f"of sizes {number(sizes[0])} to {number(sizes[-1])}"
        return f"{have} {size}" + ("" if self.status == "fine" else f", {self.status}")

    @property
    def reason(self) -> tuple[object, ...]:
        """What two findings have in common that have the same causes."""
        return (
            self.status,
            *((cause.kind, cause.operation, cause.line, cause.scope) for cause in self.causes),
        )


def lines_of(causes: Sequence[Cause], advice: Sequence[str]) -> _Texts:
    """Causes and advice as lines of text with their depth."""
    found: _Texts = []
    shown = causes[: _ITEMS + 2]
    for cause in shown:
        found.append((1, cause.text))
        if cause.line is not None:
            found += [(2, text) for text in cause.line.marked()]
    if len(causes) > len(shown):
        found.append((1, f"… and {len(causes) - len(shown)} more such places"))
    return [*found, *((1, f"What to do: {text}") for text in advice)]


@dataclass(frozen=True, repr=False)
class Explanation(Told):
    """Why each gradient of a function is what it is. `print` it; in Jupyter it shows itself.

    `gradients` has the gradient of each input by its name, and `findings` what there is to say:
    first numbers born inf or nan, then what is wrong, what is fine, and kinks.
    """

    name: str
    output: float
    gradients: dict[str, float]
    operations: int
    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Finding:
        """The finding about an input, or about the first of a group, by name.

        Raises KeyError naming what there is.
        """
        for finding in self.findings:
            if name in finding.inputs:
                return finding
        for finding in self.findings:
            if finding.inputs and name == finding.group:
                return finding
        raise KeyError(f"there is no input {name!r}; there are {', '.join(self.gradients)}")

    @property
    def healthy(self) -> bool:
        """Whether there is nothing to worry about: no finding but "fine" ones and kinks."""
        return all(finding.status in ("fine", "kink") for finding in self.findings)

    def _head(self) -> str:
        count = len(self.gradients)
        name = "the result" if self.name == "the function" else self.name
        return (
            f"{name} = {number(self.output)}, from {self.operations:,} "
            f"operation{'' if self.operations == 1 else 's'} and {count:,} "
            f"input{'' if count == 1 else 's'}"
        )

    def __str__(self) -> str:
        texts = [self._head()]
        for finding, below in self._told():
            if finding.status != "fine" or below:
                texts.append("")
            texts += indented(0, f"{finding.status.upper():5s} {finding.title}")
            texts += [line for part in below for line in indented(*part)]
        return "\n".join(texts)

    def _told(self) -> Iterator[tuple[Finding, _Texts]]:
        """The findings with what stands below their titles; what was told before is not again."""
        reasons: dict[tuple[object, ...], str] = {}
        advice: set[str] = set()
        for finding in self.findings:
            first = reasons.setdefault(finding.reason, finding.group)
            if finding.causes and finding.group != first:
                yield finding, [(1, f"for the same reason as {first}")]
                continue
            news = [
                (depth, text)
                for depth, text in lines_of(finding.causes, finding.advice)
                if text not in advice
            ]
            advice.update(text for _, text in news if text.startswith("What to do"))
            yield finding, news

    def _page(self) -> str:
        return "".join(self._html())

    def _html(self) -> Iterator[str]:
        colours = {"fine": "#2a9d6f", "kink": "#6b7280"}
        yield f"<div><b>{html.escape(self._head())}</b>"
        for finding, below in self._told():
            colour = colours.get(finding.status, "#b4530a")
            yield (
                f'<div style="margin-top:0.5em"><span style="color:{colour};font-weight:bold">'
                f"{finding.status}</span> {html.escape(finding.title)}</div>"
            )
            text = "\n".join(line for part in below for line in indented(*part))
            if text:
                yield words(text)
        yield "</div>"


def indented(depth: int, text: str) -> list[str]:
    """Text at its depth, sentences broken into lines, source lines (the third level) kept whole."""
    margin = "  " * depth
    if depth > 1:
        return [margin + text]
    bound = text.replace("× ", "×\N{NO-BREAK SPACE}")
    lines = textwrap.wrap(bound, _WIDTH, initial_indent=margin, subsequent_indent=margin + "  ")
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in lines]
