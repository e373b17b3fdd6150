"""Benchmarks: gradloom beside its peers, measured in one run, on your machine.

`gradloom bench`, or `python -m benchmarks` in the checkout, runs them; `make bench` installs the
peers first. A row of the table is one piece of work, written once for each library (`rows`), and
measured in turn with it (`harness`), in a process of its own (`runner`). How ours is called stands
in one place (`ours`); what is done first in a process is measured in new ones (`fresh`), and an
older build in a process of its environment (`against`). Out come a file (`results`), tables
(`tables`) and plots (`plots`).
"""
