"""What scikit-learn does to class labels that are integers, at a tenth of its cost: most of a short fit's, or of a score's."""

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import LabelBinarizer


def plain_classes(y: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(classes, number of each sample's class) for one column of integers, of which scikit-learn would think no more.

    None for anything else, and where there are so many classes that scikit-learn warns.
    """
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "iub":
        return None
    classes, numbers = np.unique(y, return_inverse=True)
    if len(y) > 20 and len(classes) > round(0.5 * len(y)):
        return None
    return classes, numbers


def numbers_of_classes(classes: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """Number of each sample's class, for one column of integers that are all among `classes`, which ascend; else None."""
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype != classes.dtype or y.dtype.kind not in "iub":
        return None
    numbers = classes.searchsorted(y)
    numbers[numbers == len(classes)] = 0
    return numbers if (classes[numbers] == y).all() else None


def binarizer_of(classes: np.ndarray) -> LabelBinarizer:
    """A binarizer as it is after a fit."""
    binarizer = LabelBinarizer()
    binarizer.y_type_ = "multiclass" if len(classes) > 2 else "binary"
    binarizer.sparse_input_ = False
    binarizer.classes_ = classes
    return binarizer


def indicators(classes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(N, n_classes) with True in the column of each sample's class; one column, for the second class, where there are two."""
    if len(classes) <= 2:
        return (numbers == 1)[:, None]
    matrix = np.zeros((len(numbers), len(classes)), bool)
    matrix[np.arange(len(numbers)), numbers] = True
    return matrix


def refuse_other_than_sets(targets) -> None:
    """Raise where two numbers of several columns are others than 0 and 1: both would say that a sample has a label."""
    if not np.isin(targets.data if issparse(targets) else targets, (0, 1)).all():
        raise ValueError("y of several columns must hold 0 and 1, which labels a sample has.")


def check_known(classes, known, warm_start) -> None:
    """Raise where a network that goes on is given other classes than it knows."""
    if warm_start:
        if set(classes) != set(known):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. Previously got"
                f" {known}, `y` has {classes}"
            )
    elif len(np.setdiff1d(classes, known, assume_unique=True)):
        raise ValueError(f"`y` has classes not in `self.classes_`. `self.classes_` has {known}. 'y' has {classes}.")


def accuracy(y, predictions, sample_weight=None) -> float:
    """scikit-learn's `accuracy_score`."""
    are_plain = all(type(each) is np.ndarray and each.ndim == 1 and each.dtype.kind in "iub" for each in (y, predictions))
    if are_plain and sample_weight is None and len(y) == len(predictions) > 0:
        return float(np.mean(y == predictions))
    return float(accuracy_score(y, predictions, sample_weight=sample_weight))
