"""Estimators that train on collections of Dask: `dask.array` and `dask.dataframe`, on this machine or on many.

Each partition is computed where it is; what travels are parameters and gradients. What a fit gives depends on the partitions, and
not on the workers, their threads, or which of them are lost meanwhile.
"""

from fastbp.dask.classifier import MLPClassifier
from fastbp.dask.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
