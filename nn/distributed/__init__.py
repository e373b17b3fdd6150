"""Training on several processes, with the same bits for any number of them: `nn.fit(..., on=...)`.

    on=nn.distributed.mpi()         the ranks of MPI, each of which runs the same program
    on=nn.distributed.dask(client)  the workers of a Dask cluster
    on=nn.distributed.local()       this process alone

A batch is divided into a fixed number of `shards`, whose gradients are added up in a fixed tree
(`shards`), so that it does not matter who computes which. What the processes tell each other is a
`Group`'s matter (`groups`); the optimiser moves the parameters in every rank alike, or in Dask's
client. Neither MPI nor Dask is imported before it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine import deferred

if TYPE_CHECKING:
    from nn.distributed.groups import DistributedError, Group, local
    from nn.distributed.ranks import mpi
    from nn.distributed.workers import dask
else:
    __getattr__, __dir__ = deferred.attributes(
        __name__,
        {
            "nn.distributed.groups": ("DistributedError", "Group", "local"),
            "nn.distributed.ranks": ("mpi",),
            "nn.distributed.workers": ("dask",),
        },
    )

__all__ = ["DistributedError", "Group", "dask", "local", "mpi"]
