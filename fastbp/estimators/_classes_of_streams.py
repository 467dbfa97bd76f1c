"""Class labels of a stream: which there are, by one look at all targets, and what number each is, part by part."""

from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import _check_partial_fit_first_call, check_classification_targets, unique_labels

from fastbp.engine import validation
from fastbp.engine.stream_reading import NO_TARGETS, Checks
from fastbp.estimators import _checks, _labels
from fastbp.streams import Part, Source


def find_classes(estimator, source, n_columns, incremental, classes):
    """Set the classes of an estimator, by one pass over the targets if they are not known.

    Returns
    -------
    n_outputs : int
    weights : ndarray (n_classes,) or None
        What classes weigh.
    """
    given, present, counts = estimator.class_weight, np.empty(0), np.empty(0)
    told = None if classes is None else _told(classes)
    if incremental:
        _check_partial_fit_first_call(estimator, classes)
    if incremental and isinstance(given, str):
        raise ValueError("class_weight='balanced' is not known to partial_fit, which sees a part of y: give a dict.")
    _checks.class_weight(given)
    if n_columns > 1:  # sets of labels
        found = np.arange(n_columns)
        if told is not None and not np.array_equal(told, found):
            raise ValueError(f"classes of sets of labels are the numbers of their columns, 0 to {n_columns - 1}: leave them out.")
    elif told is not None and not isinstance(given, str):
        found = told
    elif incremental:
        found = estimator.classes_
    else:
        present, counts = classes_of(source)
        found = present
        if told is not None:
            _labels.check_known(found, told, False)
            found = told  # which may be more
    is_new = not hasattr(estimator, "classes_") or not (estimator.warm_start or incremental)
    if is_new or (incremental and not hasattr(estimator, "coefs_")):
        estimator._label_binarizer = _labels.binarizer_of(found)
        if n_columns > 1:
            estimator._label_binarizer.y_type_ = "multilabel-indicator"
        estimator.classes_ = found
    else:
        _labels.check_known(found, estimator.classes_, estimator.warm_start and not incremental)
    known, of_classes = estimator.classes_, None
    if given is not None:
        if n_columns > 1:
            raise ValueError("class_weight needs one class a sample: leave it out for sets of labels.")
        if isinstance(given, str):  # n_samples / (n_classes * count), scikit-learn's "balanced"
            of_classes = np.ones(len(known))
            of_classes[np.isin(known, present)] = counts.sum() / (len(counts) * counts)
        else:
            of_classes = compute_class_weight(given, classes=known, y=known)
    return (n_columns if n_columns > 1 else 1 if len(known) <= 2 else len(known)), of_classes


def _told(classes):
    """Classes that are given, in ascending order."""
    for check in (_checks.refuse_misleading, _checks.refuse_odd_labels):
        check("classes", classes)
    with _checks.Blamed("classes", (TypeError, OverflowError, ValueError)):
        return unique_labels(classes)


def _column(y, where):
    """One column of labels, after a check that none of them is missing, and that they are what a classifier of arrays takes."""
    if y is None:
        raise ValueError(NO_TARGETS.format(where))
    for check in (_checks.refuse_misleading, _checks.refuse_odd_labels):
        check(f"y ({where})", y)
    y = np.asarray(y)
    kind = type(y.flat[0]) if y.dtype.kind == "O" and y.size else y.dtype.type
    if y.dtype.kind in "ScV" or (y.dtype.kind == "O" and not issubclass(kind, str | np.object_)):
        raise ValueError(
            f"y ({where}) must hold words or numbers, and not objects of type {kind.__name__}: convert it, strings of HDF5 by"
            " dataset.asstr()."
        )
    return y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y


def classes_of(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """All classes there are in the targets of a source, in ascending order, and how many samples each has."""
    counts: dict[Any, int] = {}
    kinds = []
    for y, where in source.targets():
        labels = _column(y, where)
        if labels.size:
            if labels.ndim != 1:
                raise ValueError(f"y ({where}) must have one label a sample, got shape {labels.shape}.")
            if labels.dtype.kind == "f" and not np.isfinite(labels).all():
                raise ValueError(f"y ({where}) holds NaN or infinity; drop these samples, or give them a class of their own.")
            if labels.dtype.kind == "f" and (labels != np.floor(labels)).any():
                check_classification_targets(labels)
            found, number = np.unique(labels, return_counts=True)
            kinds.append(found[:0])
            for label, count in zip(found.tolist(), number.tolist(), strict=True):
                counts[label] = counts.get(label, 0) + count
    if not counts:
        raise ValueError("y gave no labels: give at least one row.")
    if len({kind.dtype.kind in "OU" for kind in kinds}) > 1:
        raise ValueError(
            "y holds words in some of its parts and numbers in others; make all of them words, or all of them numbers."
        )
    dtype = np.result_type(*{kind.dtype for kind in kinds})
    classes = np.array(sorted(counts), None if dtype.kind == "O" else dtype)
    return classes, np.array([counts[label] for label in classes.tolist()])


class ChecksOfClasses(Checks):
    """Class labels of any kind as numbers of classes, and weights by them."""

    def __init__(self, net, estimator, weights):
        super().__init__(net, getattr(estimator, "feature_names_in_", None))
        self._classes, self._weights = estimator.classes_, weights
        self._is_sets = estimator._label_binarizer.y_type_ == "multilabel-indicator"

    def __call__(self, part: Part):
        """As of a network; classes that weigh something are given as weights of the samples."""
        rows, values, labels, weights = super().__call__(part)
        if self._weights is not None:
            numbers = labels if len(labels) else values[:, 0].astype(np.int64)
            weights = _checks.products_of_weights(self._weights[numbers], weights if len(weights) else None)
        return rows, values, labels, weights

    def targets(self, part, count):
        """Numbers of classes; of two classes, and of sets of labels, 0 and 1."""
        net, name = self.net, f"y ({part.where})"
        if self._is_sets:
            if part.y is not None and not np.isin(np.asarray(part.y), (0, 1)).all():
                raise ValueError(f"{name} of several columns must hold 0 and 1, which labels a sample has.")
            return super().targets(part, count)
        y = _column(part.y, part.where)
        if y.shape != (count,):
            raise ValueError(f"{name} must have one label a sample: shape ({count},), got {y.shape}.")
        numbers = _labels.numbers_of_classes(self._classes, y)
        if numbers is None:
            numbers = self._numbers(name, y)
        if net.loss_function.task == "labels":
            return validation.NOTHING[net.dtype], numbers
        return (numbers == 1).astype(net.dtype)[:, None], validation.NO_LABELS

    def _numbers(self, name, y):
        found, inverse = np.unique(y, return_inverse=True)
        numbers = {label: number for number, label in enumerate(self._classes.tolist())}
        unknown = [label for label in found.tolist() if label not in numbers]
        if unknown:
            raise ValueError(f"{name} has classes not in `classes_`, {self._classes}: {unknown[:10]}.")
        return np.array([numbers[label] for label in found.tolist()], np.int64)[inverse.reshape(-1)]
