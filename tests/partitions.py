"""Samples in partitions, for the tests of estimators on collections of Dask."""

import dask.array as da
import numpy as np

UNEQUAL = (70, 1, 130, 99)


def samples(dtype="float64", n=300):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 5)).astype(dtype)
    return X, X[:, 0] * X[:, 1] + X[:, 2], rng.uniform(0.2, 3, n)


def classes(n=300, kind=int):
    X, target, weights = samples(n=n)
    return X, np.digitize(target, [-0.7, 0.7]).astype(kind), weights


def split(*arrays, chunks=UNEQUAL):
    return [da.from_array(each, chunks=(chunks, *[-1] * (each.ndim - 1))) for each in arrays]


def params_of(model):
    return np.concatenate([each.ravel() for each in (*model.coefs_, *model.intercepts_)])
