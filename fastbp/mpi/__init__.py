"""Data-parallel training over MPI: every rank has a part of the samples, and all take the same steps.

``net.fit(X_local, y_local, comm=MPI.COMM_WORLD)`` is all that a program needs; `Ranks` is for what else can be set.

- Every mini-batch is divided equally among the ranks. Each computes the gradient of its samples, layer by layer from the last one
  on, and while it goes on with the layer below, the sum of the layer above is formed.
- Ranks that share memory add up gradients where they lie (`board.py`): each a segment of its own, for all of them. Between nodes
  that segment is summed by Allreduce, one rank of each node with one of the others (`sums.py`).
- All sums of a rank's own and of a node are pairwise, in the order of the ranks (`pairs.py`). With a fixed number of parts, those
  between nodes are, too: then the number of ranks does not change a bit.
- No rank waits for ever (`ranks.py`): what one of them raises, all raise, and who does not answer is named.

They know no network: :mod:`fastbp.engine.data_parallel_run` trains.
"""

from fastbp.mpi.ranks import RankError as RankError
from fastbp.mpi.ranks import Ranks as Ranks
