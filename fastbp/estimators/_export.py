"""Fitted estimators as files that others run."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from fastbp.exports.onnx import estimating


def _between(scaler, low, high):
    return [("Max", low), ("Min", high)] if getattr(scaler, "clip", False) else []


# what each does, in its order, so that numbers are rounded as there
STEPS = {
    StandardScaler: lambda s: [("Sub", s.mean_ if s.with_mean else None), ("Div", s.scale_)],
    RobustScaler: lambda s: [("Sub", s.center_), ("Div", s.scale_)],
    MaxAbsScaler: lambda s: [("Div", s.scale_), *_between(s, -1.0, 1.0)],
    MinMaxScaler: lambda s: [("Mul", s.scale_), ("Add", s.min_), *_between(s, *s.feature_range)],
}


def steps_of(scaler, n_features) -> list[tuple[str, np.ndarray]]:
    """Operators and numbers, one after the other, of a scaler or a pipeline of them.

    Raises
    ------
    TypeError
        For any other.
    ValueError
        If it is of other features.
    """
    if scaler is None or (isinstance(scaler, str) and scaler == "passthrough"):
        return []
    if type(scaler) is Pipeline:
        return [step for _, each in scaler.steps for step in steps_of(each, n_features)]
    if type(scaler) not in STEPS:
        names = ", ".join(cls.__name__ for cls in STEPS)
        raise TypeError(f"scaler must be one of {names}, or a Pipeline of them, got {scaler!r}: do in Python what that does to X")
    check_is_fitted(scaler)
    if scaler.n_features_in_ != n_features:
        raise ValueError(f"scaler is of {scaler.n_features_in_} features, and the network of {n_features}")
    return [(op, np.asarray(value)) for op, value in STEPS[type(scaler)](scaler) if value is not None]


class Export:
    """Methods of the estimators."""

    def to_onnx(self, path: Any, scaler: Any = None, *, input_dtype: Any = None) -> None:
        """Write the fitted estimator as an ONNX graph; needs ``pip install 'fastbp[exports]'``.

        Opset and IR version are those of `fastbp.Network.to_onnx`; the input is "X" (N, n_features). A classifier has the outputs
        "label" (N,), what `predict` gives, as int64 (truth values too) or text, and "probabilities" (N, n_classes), what
        `predict_proba` gives; of sets of labels "label" is (N, n_classes) of 0 and 1. A regressor has "variable" (N, n_outputs).
        Of several networks the mean is written.

        Parameters
        ----------
        path : str or path
            Replaced in one step.
        scaler : StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler, or Pipeline of these, optional
            Fitted; what is done to X first, in float64. Of a pipeline that ends in the estimator this is ``pipe[:-1]``.
        input_dtype : {"float32", "float64", "uint8", "int8", "float16"}, optional
            What X is given as, by default float64 with a scaler, else the dtype of the network.

        Raises
        ------
        ImportError
            If onnx is not installed.
        sklearn.exceptions.NotFittedError
            If the estimator, or the scaler, is not fitted.
        ValueError
            For an activation of your own, classes that are neither numbers nor text, more parameters than one file holds (2 GiB),
            and a scaler of other features.
        TypeError
            For another `scaler`.
        OSError
            If the file cannot be written; a file that was there before is still there.
        """
        self._require_fitted()  # type: ignore[attr-defined]
        nets = self._nets()  # type: ignore[attr-defined]
        steps = steps_of(scaler, nets[0].sizes[0])
        classes = None
        if is_classifier(self) and self._label_binarizer.y_type_ != "multilabel-indicator":  # type: ignore[attr-defined]
            classes = self.classes_  # type: ignore[attr-defined]
        estimating.write(nets, path, input_dtype, steps, classes, is_classifier(self))
