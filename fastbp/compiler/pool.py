"""The threads of Numba's own parallel loops, of which kernels have none: a limit set there holds for them, too."""

import sys


def threads_of_numba() -> int | None:
    """How many they are, None where nothing has asked for such loops."""
    parallel = sys.modules.get("numba.np.ufunc.parallel")
    if parallel is None:
        return None
    # asked before its pool has been started, Numba would start it
    return int(parallel.get_num_threads() if parallel._is_initialized else sys.modules["numba.core.config"].NUMBA_NUM_THREADS)
