"""What both estimators do with collections of Dask; everything else is what the estimators on arrays do."""

from inspect import Parameter, cleandoc, signature
from typing import Any

import numpy as np
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import validate_data

from fastbp.dask._graph import is_collection, library
from fastbp.dask._partitions import Partitions
from fastbp.dask._rounds import check_synchronous, prepare_rounds
from fastbp.dask._table import Table, check_collection
from fastbp.estimators import _parameters
from fastbp.estimators._minimizers import prepare_all

OWN: dict[str, Any] = {"updates": "local", "local_epochs": 1}  # parameters that the estimators on arrays do not have
UPDATES = """
updates : {"local", "synchronous"}, default "local"
    Of solvers with mini-batches. "local": every partition trains `local_epochs` epochs from the same parameters, by mini-batches of
    `batch_size`, and the parameters, with what the rule keeps, are averaged by the weights of the partitions: one iteration.
    "synchronous": a mini-batch has rows of all partitions, `batch_size` in all, whose gradients are summed before each step.
local_epochs : int, default 1
    Of "local".
"""


def documented(cls: Any) -> Any:
    """A class with ``__init__`` and page of its last base, and `OWN` after them."""
    base = cls.__bases__[-1]
    own = [Parameter(name, Parameter.KEYWORD_ONLY, default=default) for name, default in OWN.items()]
    known = signature(base.__init__)
    whole = known.replace(parameters=[*known.parameters.values(), *own])

    def __init__(self: Any, *positional: Any, **given: Any) -> None:
        bound = whole.bind(self, *positional, **given)
        bound.apply_defaults()
        self._store(bound.arguments)

    __init__.__signature__ = whole  # type: ignore[attr-defined]
    cls.__init__ = __init__
    parameters, _, attributes = cleandoc(base.__doc__).partition("\nParameters\n")[2].partition("\nAttributes\n")
    attributes = attributes.partition("\nSee Also\n")[0]
    head, _, rest = cleandoc(cls.__doc__).partition("\nSee Also\n")
    pages = (head, "Parameters\n" + parameters.rstrip() + UPDATES, "Attributes\n" + attributes.rstrip() + "\n", "See Also\n" + rest)
    cls.__doc__ = "\n".join(pages)
    return cls


class OnPartitions:
    """Methods of the estimators here, before those of the estimators on arrays."""

    _plain: Any  # the estimator on arrays
    _parameter_constraints: dict[str, Any]
    _given_classes: Any = None

    # --- fit -----------------------------------------------------------------------------------------------------------------

    def _fit_partitions(self: Any, X, y, sample_weight, held_out, init, classes=None):
        """`fit`, for what both estimators have."""
        library()
        check_collection("X", X, self._plain.__name__)
        if self.n_networks > 1:
            raise ValueError("n_networks must be 1 on collections of Dask: ensembles are trained on arrays")
        if self.early_stopping and held_out[0] is None:
            raise ValueError("early_stopping=True needs X_val and y_val, arrays: no part of a collection is set aside")
        if self.updates == "synchronous" and not _parameters.takes_all(self):
            check_synchronous(self)
        self._given_classes = classes
        try:
            return super()._fit(X, y, sample_weight, held_out, init)  # type: ignore[misc]
        finally:
            self.__dict__.pop("_given_classes", None)

    def _validated(self: Any, X, y, sample_weight, first, incremental):
        table = Table(self._model({}), X, y, sample_weight)
        validate_data(self, _meta(table), reset=first, skip_check_array=True)
        table.dtype = self._precision() or table.dtype
        return table, table, None

    def _model(self: Any, attributes: dict[str, Any]) -> Any:
        """The estimator on arrays with the same parameters, and with attributes."""
        model = object.__new__(self._plain)
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name not in OWN}
        model.__dict__.update(parameters | attributes)
        return model

    def local(self: Any) -> Any:
        """The estimator on arrays with the same parameters, weights and history, copied."""
        self._require_fitted()
        model = object.__new__(self._plain)
        model.__dict__.update((name, value) for name, value in self.__getstate__().items() if name not in OWN)
        return model

    def _data(self: Any, net, rows, matrix, sample_weight):
        n_threads = 1 if self.n_threads is None else self.n_threads
        return Partitions(rows, rows.prepare(self._encoder(rows), net, n_threads))

    def _encoder(self: Any, table: Table) -> Any:
        """The estimator on arrays that makes samples of a partition."""
        return self._model({})

    def _training(self: Any, net, data, validation, rng, tasks, incremental, extra):
        if _parameters.takes_all(self):
            return prepare_all(self, net, data, validation, tasks)
        return prepare_rounds(self, net, data, validation, rng, tasks, extra)

    @property
    def partial_fit(self) -> Any:
        """Not here."""
        raise AttributeError("partial_fit takes arrays: that of the estimator that local() gives goes on from here")

    # --- predictions ---------------------------------------------------------------------------------------------------------

    def _is_partitioned(self: Any, X: Any) -> bool:
        """Whether X is a collection of Dask; one of rows and columns then, and the estimator is fitted."""
        if not is_collection(X):
            return False
        self._require_fitted()
        check_collection("X", X, self._plain.__name__)
        if X.ndim != 2:
            raise ValueError(f"X must have two dimensions, got {X.ndim}")
        return True

    def _result_dtype(self: Any, X: Any) -> Any:
        kinds = X.dtypes if hasattr(X, "columns") else [X.dtype]
        return np.result_type(self._net().dtype, *map(_as_numbers, kinds))


def _as_numbers(dtype: Any) -> Any:
    """What scikit-learn makes of a column: categories, objects and what only pandas has become float64."""
    return dtype if isinstance(dtype, np.dtype) and dtype.kind in "biuf" else np.dtype(np.float64)


def _meta(table: Table) -> Any:
    """Samples of which scikit-learn takes the number and names of columns."""
    if not table.is_frame:
        return np.zeros((1, table.shape[1]))
    import pandas

    return pandas.DataFrame(np.zeros((1, table.shape[1])), columns=table.columns)


CONSTRAINTS = {
    "updates": [StrOptions({"local", "synchronous"})],
    "local_epochs": _parameters.CONSTRAINTS["max_iter"],
}
