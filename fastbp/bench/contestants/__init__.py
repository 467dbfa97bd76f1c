"""Trainers of one network behind one interface: set the first weights, run these steps, give the weights back.

Each library is used as its documentation says, in the fastest of the ways that do the same arithmetic; whether they do is not
taken on trust, see :mod:`fastbp.bench.measure`. Where a library cannot express a workload, `reason_against` says why.

Like :mod:`fastbp.bench.workloads` this package can be loaded by path beside an older installed fastbp.
"""

from .base import Contestant as Contestant
from .compiled import NumbaDot, NumbaLoops
from .frameworks import JAX, OnnxRuntime, PyTorch
from .libraries import NumPy, ScikitLearn
from .ours import Calls, Estimators, Fastbp, Fits

TRAINERS: tuple[type[Contestant], ...] = (Fastbp, NumPy, ScikitLearn, PyTorch, JAX)
STEPPERS: tuple[type[Contestant], ...] = (*TRAINERS, Fits, Estimators)
PREDICTORS: tuple[type[Contestant], ...] = (*TRAINERS, OnnxRuntime)
LOOPERS: tuple[type[Contestant], ...] = (Fastbp, NumbaDot, NumbaLoops, JAX, OnnxRuntime, PyTorch, Calls, NumPy)
_all: tuple[type[Contestant], ...] = (*STEPPERS, OnnxRuntime, NumbaDot, NumbaLoops, Calls)
CONTESTANTS = {cls.name: cls for cls in _all}
