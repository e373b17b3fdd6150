"""What is left of an HTML output where nothing is trusted, and the pictures that are in it."""

import base64
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

DROPPED = ("script", "style", "textarea", "option")  # with what is in them, as JupyterLab does it
KEPT = (
    *("a", "b", "blockquote", "br", "code", "dd", "details", "div", "dl", "dt", "em", "h3", "h4"),
    *("hr", "img", "li", "ol", "p", "pre", "section", "span", "strong", "sub", "summary", "sup"),
    *("table", "tbody", "td", "th", "thead", "tr", "ul"),
)


class Sanitised(HTMLParser):
    """`tags` with their attributes, `words`, and `unknown`: tags that go and leave their words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.unknown: list[str] = []
        self.words = ""
        self._within = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in DROPPED:
            self._within += 1
        elif tag in KEPT:
            self.tags.append((tag, dict(attrs)))
        else:
            self.unknown.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self._within -= tag in DROPPED

    def handle_data(self, data: str) -> None:
        self.words += data * (not self._within)

    @property
    def images(self) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.tags if tag == "img"]


def svg_in(image: dict[str, str | None]) -> ET.Element:
    """The SVG that an image has in its address."""
    kind, _, data = (image["src"] or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    return ET.fromstring(base64.b64decode(data))
