"""What a test wants to know of a function that is traced, in a form that tracing allows."""

from __future__ import annotations

import io


class Notes(io.StringIO):
    """Lines that a function writes as into a log: to write there is no state that it reads.

    A list that it appended to would be one, and make the trace a TraceError.
    """

    def add(self, *items: object) -> None:
        """Write a line."""
        print(*items, file=self)

    @property
    def lines(self) -> list[str]:
        """What was written."""
        return self.getvalue().splitlines()

    def __len__(self) -> int:
        return len(self.lines)
