"""Who tries: each library by its rules of training, in the fastest of the ways that its documentation has."""

from .base import Contestant as Contestant
from .jax_based import JAXAdam, OptimistixBFGS, OptimistixLM
from .libraries import LeastSquares, PyTorch, ScikitLearn
from .ours import LBFGS, Adam, GaussNewtonCG, LevenbergMarquardt

OURS: tuple[type[Contestant], ...] = (LevenbergMarquardt, GaussNewtonCG, LBFGS, Adam)
_all: tuple[type[Contestant], ...] = (*OURS, OptimistixLM, LeastSquares, OptimistixBFGS, PyTorch, ScikitLearn, JAXAdam)
CONTESTANTS = {cls.name: cls for cls in _all}
