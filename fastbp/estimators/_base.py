"""What classifier and regressor have in common: the scikit-learn contract around a `Network`."""

from copy import deepcopy
from functools import partial
from itertools import chain, pairwise
from operator import is_
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from fastbp import optimizers
from fastbp.engine.held_out import naming
from fastbp.engine.history import History
from fastbp.engine.session import rows_upto
from fastbp.engine.stream_reading import reading
from fastbp.engine.turn import Turn
from fastbp.engine.validation import finite_parameters, numbers
from fastbp.estimators import _checks, _parameters, _streams
from fastbp.estimators._callbacks import Support, Tasks
from fastbp.estimators._conversion import Conversion
from fastbp.estimators._export import Export
from fastbp.estimators._held_out import HeldOut
from fastbp.estimators._inspection import Inspection
from fastbp.estimators._minimizers import prepare_all
from fastbp.estimators._stochastic import prepare_stochastic
from fastbp.estimators._training_data import TrainingData
from fastbp.network import Network
from fastbp.streams import Source

COUNTED = ("history_", "loss_curve_", "_no_improvement_count", "best_loss_", "validation_scores_", "best_validation_score_")
PENDING = ("_network", "_views", "_turn")  # attributes that are made again when they are missing


def is_stochastic(estimator) -> bool:
    """Whether the solver takes mini-batches, for one network; else what needs that is not there."""
    if estimator.n_networks > 1:
        raise AttributeError("partial_fit needs n_networks=1: the networks of an ensemble are trained together, by fit.")
    if estimator.solver not in optimizers.OPTIMIZERS.names:
        raise AttributeError(f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic.")
    return True


class MultilayerPerceptron(Inspection, Conversion, Export, Support, BaseEstimator):
    """Base of the estimators: they differ in their targets, their loss and what they predict.

    `coefs_` and `intercepts_` are views of the parameters of a `Network`, so that edits in place act; arrays that a user puts in
    their place are copied into the network before it is used.
    """

    _parameter_constraints: dict = _parameters.CONSTRAINTS

    def _store(self, arguments):
        """Set the parameters from the local variables of ``__init__``."""
        self.__dict__.update((name, value) for name, value in arguments.items() if name != "self")

    # --- parameters of the network -----------------------------------------------------------------------------------------

    def _link(self, net):
        """Make `coefs_` and `intercepts_` the parameters of a network."""
        coefs, intercepts = [weights.T for weights in net.weights], list(net.biases)
        parts = {"_network": net, "_network_activation": self.activation, "_views": (*coefs, *intercepts)}
        self.__dict__.update(parts, coefs_=coefs, intercepts_=intercepts)  # at once: other threads may be predicting

    def _whose_turn(self) -> Turn:
        """The turn to train this estimator, one for all threads."""
        return self.__dict__.get("_turn") or self.__dict__.setdefault("_turn", Turn("estimator"))

    def _net(self) -> Network:
        """The network, with the parameters that the user sees."""
        net = self.__dict__.get("_network")
        if net is None or self._network_activation is not self.activation:
            return self._rebuild(net)
        if self._is_linked():
            return net
        arrays = [array for each in self._given_parameters(net.dtype) for array in each]
        if [array.shape for array in arrays] != [view.shape for view in self._views]:
            return self._rebuild(net)
        for array, view in zip(arrays, self._views, strict=True):
            view[...] = array
        return net

    def _nets(self) -> list[Network]:
        """All networks."""
        return [self._net()]

    def _is_linked(self) -> bool:
        """Whether `coefs_` and `intercepts_` are the parameters of the network."""
        coefs, intercepts = self.coefs_, self.intercepts_
        is_list = type(coefs) is type(intercepts) is list and 2 * len(coefs) == 2 * len(intercepts) == len(self._views)
        return is_list and all(map(is_, chain(coefs, intercepts), self._views))

    def _given_parameters(self, dtype):
        """`coefs_` and `intercepts_` as lists of arrays (of their own dtype if None), after a check that they make a network."""
        given = {name: getattr(self, name) for name in ("coefs_", "intercepts_")}
        for name, value in given.items():
            if not isinstance(value, list | tuple | np.ndarray):
                raise TypeError(f"{name} must be a list of arrays, one a layer, got {value!r}")
        if dtype is None:
            kinds = {getattr(array, "dtype", None) for value in given.values() for array in value}
            dtype = np.float32 if kinds == {np.dtype(np.float32)} else np.float64
        lists = [[numbers(f"{name}[{i}]", array, dtype) for i, array in enumerate(value)] for name, value in given.items()]
        shapes, ends = ([array.shape for array in arrays] for arrays in lists)
        is_chain = all(len(shape) == 2 for shape in shapes) and all(a[1] == b[0] for a, b in pairwise(shapes))
        if not shapes or not is_chain or ends != [shape[1:] for shape in shapes]:
            raise ValueError(
                "coefs_ and intercepts_ must hold, for layers that follow each other, arrays (n_in, n_out) and (n_out,); got shapes"
                f" {shapes} and {ends}"
            )
        if shapes[-1][1] != self.n_outputs_:
            raise ValueError(f"coefs_ and intercepts_ must be those of {self.n_outputs_} outputs, got {shapes[-1][1]}")
        return lists

    def _rebuild(self, net):
        coefs, intercepts = self._given_parameters(None if net is None else net.dtype)
        net = self._make_network([len(coefs[0]), *map(len, intercepts)], coefs, intercepts, coefs[0].dtype)
        self._link(net)
        return net

    def _make_network(self, sizes, coefs, intercepts, dtype):
        hidden = _parameters.hidden_activations(self.activation, len(sizes) - 2)
        weights = [np.transpose(array) for array in coefs]
        return Network(sizes, hidden, self._network_loss(), dtype=dtype, weights=weights, biases=intercepts, rng=0)

    def __getstate__(self):
        state = {name: value for name, value in super().__getstate__().items() if name not in PENDING}
        for name in ("coefs_", "intercepts_"):
            if name in state:
                state[name] = [np.array(array, order="C") for array in state[name]]
        return state

    def __copy__(self):
        return deepcopy(self)  # else two estimators would go on with one state of the rule

    def __sklearn_is_fitted__(self):
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- fit -----------------------------------------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight=None, held_out=(None, None), init=(None, None), incremental=False, classes=None, later=None):
        """Train; where something given is at fault, the estimator stays as it was.

        Instead, ``later(net, data, validation)`` is called, if it is given.
        """
        is_stream = isinstance(X, Source)
        if classes is not None and not incremental and not is_stream:
            raise ValueError("classes must be left out: those of arrays are found in y.")
        with self._whose_turn(), reading(X, held_out[0]):
            hidden = _parameters.hidden_sizes(self.hidden_layer_sizes)
            _parameters.check_finite(self)
            first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
            extra = _parameters.regularization_of(self, len(hidden if first else self._net().sizes[1:-1]))
            tasks = Tasks.begin(self, X, y, sample_weight, incremental)
            before = self.__dict__.copy()
            # to make a generator from a seed takes longer than a small `partial_fit`, whose order is known
            is_known = incremental and not first and type(self.random_state) is int and not extra.dropout
            rng = None if is_known else check_random_state(self.random_state)
            drawn = rng.get_state(legacy=False) if rng is self.random_state and (first or self.early_stopping) else None
            try:
                data: Any
                if is_stream:
                    rng = check_random_state(self.random_state) if rng is None else rng
                    data = _streams.Given(self, X, y, sample_weight, incremental, classes, first)
                    rows, matrix = data.rows, data.matrix
                else:
                    if incremental:
                        self._begin_partial_fit(y, classes)
                    rows, targets, sample_weight = self._validated(X, y, sample_weight, first, incremental)
                    with _checks.Blamed("y"):
                        matrix = self._encode(targets, incremental)
                    sample_weight = self._weigh_classes(targets, sample_weight, incremental)
                net = self._begin(first, hidden, rows, matrix, rng)
                init = self._first_parameters(net, *init)
                if not is_stream:
                    data = self._data(net, rows, matrix, sample_weight)
                validation = self._given_held_out(net, *held_out)
                if later is not None:
                    train = partial(later, net, data, validation)
                else:
                    train = self._training(net, data, validation, rng, tasks, incremental, extra)
            except BaseException:
                self.__dict__.update(before)
                for name in self.__dict__.keys() - before.keys():
                    del self.__dict__[name]
                if drawn is not None and rng is not None:
                    rng.set_state(drawn)
                raise
            if not self._is_linked():
                self._link(net)
            for array, view in init:
                view[...] = array
            train()
            tasks.end()
        return self

    def _data(self, net, rows, matrix, sample_weight):
        """What a network is trained on."""
        return TrainingData.make(net, rows, matrix, sample_weight)

    def _training(self, net, data, validation, rng, tasks, incremental, extra):
        """The function that trains by the solver."""
        if isinstance(data, _streams.Given):
            return _streams.prepare_stream(self, net, data, validation, rng, tasks, incremental, extra)
        if _parameters.takes_all(self):
            return prepare_all(self, net, data, validation, tasks)
        return prepare_stochastic(self, net, data, validation, rng, tasks, incremental, extra)

    def _begin_partial_fit(self, y, classes):
        """Take what only the first call of `partial_fit` is told."""

    def _score(self, measure, X, y, sample_weight) -> float:
        """What a measure of scikit-learn says of the predictions for X; y is looked at as `fit` does."""
        if isinstance(X, Source):
            if y is not None or sample_weight is not None:
                raise ValueError("y and sample_weight must be left out for a stream, which has its own: give them to stream.")
            return _streams.score_of(self, X)
        predictions = self.predict(X)
        _checks.refuse_misleading("y", y)
        y, sample_weight = self._checked_targets("y", y), _checks.weights(sample_weight, predictions)
        with _checks.Blamed("y"):
            return measure(y, predictions, sample_weight=sample_weight)

    def _validated(self, X, y, sample_weight, first, incremental):
        """X, y and sample_weight, checked."""
        rows, targets = self._validate_X_y(X, y, reset=first)
        _checks.refuse_large(rows)
        return rows, targets, _checks.weights(sample_weight, rows, ensure_non_negative=True)

    def _begin(self, first, hidden, rows, matrix, rng) -> Network:
        """The network to train: a new one, or that of the fit before."""
        n_features, n_outputs = rows.shape[1], matrix.shape[1]
        if first:
            self._initialize([n_features, *hidden, n_outputs], rows.dtype, rng)
        else:
            self._count_on()
        net = self._net()
        if net.sizes[-1] != n_outputs:
            raise ValueError(f"y has {n_outputs} outputs, but the network to go on with has {net.sizes[-1]}.")
        if net.sizes[0] != n_features:
            raise ValueError(f"X has {n_features} features, but the network to go on with, by coefs_, has {net.sizes[0]} inputs.")
        finite_parameters("coefs_ and intercepts_", net.params)
        return net

    def _validate_X_y(self, X, y, reset, names=("X", "y")):
        """X (in the precision of the network to be) and y (in one dimension, if it has one column), checked."""
        if not reset and _checks.are_plain(self, X, y):
            return _checks.in_dtype(names[0], X, self._precision() or X.dtype), y
        for name, value in zip(names, (X, y), strict=True):
            _checks.refuse_misleading(name, value)
        precision = self._precision()
        dtype = (np.float64, np.float32)
        numeric = {"y_numeric": True} if is_regressor(self) else {}
        y = self._checked_targets(names[1], y)
        with _checks.Blamed(names[0]):
            X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=dtype, reset=reset, **numeric)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return _checks.in_dtype(names[0], X, precision or X.dtype), y

    def _precision(self) -> np.dtype | None:
        """That of the network to be; None: that of X."""
        return None if self.dtype is None else _parameters.precision(self.dtype)

    def _initialize(self, sizes, dtype, rng):
        """First parameters, drawn as scikit-learn draws them, and everything that a fit counts from zero."""
        _parameters.check_room(sizes, dtype)
        self.n_iter_ = self.t_ = 0
        self.n_outputs_, self.n_layers_ = sizes[-1], len(sizes)
        self.out_activation_ = self._out_activation()
        coefs, intercepts = [], []
        for layer, (n_in, n_out) in enumerate(pairwise(sizes)):
            bound = np.sqrt(_parameters.gain(self.activation, layer, len(sizes) - 2) / (n_in + n_out))
            coefs.append(rng.uniform(-bound, bound, (n_in, n_out)).astype(dtype, copy=False))
            intercepts.append(rng.uniform(-bound, bound, n_out).astype(dtype, copy=False))
        # after lbfgs scikit-learn's weights are in double precision, whatever the precision of X
        is_double = self.solver == "lbfgs" or (_parameters.takes_all(self) and self.dtype is None)
        self._link(self._make_network(sizes, coefs, intercepts, np.float64 if is_double else dtype))
        for name in COUNTED:
            self.__dict__.pop(name, None)
        self._count_on()

    def _count_on(self):
        """Set what a fit counts on with, where that is missing: at first, or where the weights come from elsewhere."""
        own = self.__dict__
        own.setdefault("history_", History(loss=own.get("loss_curve_", [])))
        if _parameters.takes_all(self):
            return
        own.setdefault("t_", 0)
        own.setdefault("loss_curve_", self.history_.loss)
        own.setdefault("_no_improvement_count", 0)
        if self.early_stopping:
            own["best_loss_"] = None
            if own.get("best_validation_score_") is None:
                self.validation_scores_ = self.history_.validation_score
                self.best_validation_score_ = -np.inf
                self._best_params = self._net().params.copy()
        else:
            own["validation_scores_"] = own["best_validation_score_"] = None
            if own.get("best_loss_") is None:
                self.best_loss_ = np.inf

    def _first_parameters(self, net, coefs_init, intercepts_init):
        """Pairs of an array that the user gave to start from, and the view of the network's parameters to put it into."""
        pairs: list[tuple] = []
        for name, given, own in (("coefs_init", coefs_init, self.coefs_), ("intercepts_init", intercepts_init, self.intercepts_)):
            if given is None:
                continue
            if not isinstance(given, list | tuple | np.ndarray):
                raise TypeError(f"{name} must be a list of arrays, one a layer, got {given!r}.")
            arrays = [numbers(f"{name}[{i}]", array, net.dtype) for i, array in enumerate(given)]
            shapes, expected = [array.shape for array in arrays], [array.shape for array in own]
            if shapes != expected:
                raise ValueError(f"{name} must hold arrays of shapes {expected}, got {shapes}.")
            pairs += zip(arrays, own, strict=True)
        return pairs

    def _weigh_classes(self, targets, sample_weight, incremental):
        return sample_weight

    def _given_held_out(self, net, X_val, y_val):
        """What the user gave to validate by."""
        if X_val is None and y_val is None:
            return None
        if isinstance(X_val, Source):
            if y_val is not None:
                raise ValueError("y_val must be left out: X_val is a stream, which has its targets.")
            with naming("X_val"):
                return _streams.HeldOutStream(self, net, X_val)
        if X_val is None or y_val is None:
            raise ValueError("X_val and y_val go together: give both, or none.")
        rows, targets = self._validate_X_y(X_val, y_val, reset=False, names=("X_val", "y_val"))
        with _checks.Blamed("y_val"):
            matrix = self._encode(targets, True)
        data = TrainingData.make(net, rows, matrix, None)
        return HeldOut(self, data, targets)

    def _split(self, data, rng):
        """The rows to train on, and the others, to stop early by."""
        rows, held = train_test_split(
            rows_upto(len(data)), random_state=rng, test_size=self.validation_fraction, stratify=self._stratify(data)
        )
        if len(held) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        if data.weights is not None and not (data.weights[rows].any() and data.weights[held].any()):
            raise ValueError("Sample weights must contain at least one non-zero number.")  # on both sides of the split
        part = data.part(held)
        return rows, HeldOut(self, part, self._decode(part))

    # --- predictions ---------------------------------------------------------------------------------------------------------

    def _require_fitted(self):
        if "coefs_" not in self.__dict__:  # at a hundredth of the cost of asking scikit-learn
            check_is_fitted(self)

    def _outputs(self, X) -> np.ndarray:
        """Outputs of the network (n_samples, n_outputs_)."""
        self._require_fitted()
        if isinstance(X, Source):
            return _streams.outputs_of(self, X, lambda one, rows: one._outputs(rows))
        net = self._net()
        rows, dtype = _checks.rows(self, X, net.dtype, net.sizes[0])
        return net._outputs(rows, self.n_threads).astype(dtype, copy=False)
