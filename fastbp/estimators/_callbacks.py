"""Callbacks of scikit-learn 1.9 (`sklearn.callback`): a fit is a task, and every epoch one of its subtasks."""

from typing import Any

Support: Any = type("Support", (), {})  # not `object`, which cannot stand before another base
try:
    from sklearn.callback import CallbackSupportMixin

    Support = CallbackSupportMixin
except ImportError:  # pragma: no cover - scikit-learn < 1.9
    pass


class Tasks:
    """The task of a fit that has callbacks.

    Parameters
    ----------
    estimator : MultilayerPerceptron
    data : dict
        Arguments of every hook: X, y and metadata as the user gave them.
    """

    is_watched = True

    def __init__(self, estimator, data):
        self.estimator, self.data = estimator, data
        self.context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        self.context.call_on_fit_task_begin(estimator=estimator, **data)

    @staticmethod
    def begin(estimator, X, y, sample_weight, incremental) -> "Tasks | Unwatched":
        """The task of a fit; one that costs nothing where there are no callbacks."""
        if incremental or not (hasattr(estimator, "_skl_callbacks") or hasattr(estimator, "_parent_callback_ctx")):
            return Unwatched()
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        return Tasks(estimator, {"X": X, "y": y, "metadata": metadata})

    def begin_epoch(self):
        """Call the hooks at the beginning of an epoch, or of an iteration of lbfgs."""
        self.epoch = self.context.subcontext(task_name="epoch")
        self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def end_epoch(self) -> bool:
        """Call the hooks at its end; whether one of them wants the fit to stop."""
        hooks = self.epoch.call_on_fit_task_end
        return bool(hooks(estimator=self.estimator, **self.data, reconstruction_attributes=self._fitted))

    def end(self):
        """Call the hooks at the end of the fit."""
        self.context.call_on_fit_task_end(estimator=self.estimator, **self.data, reconstruction_attributes=self._fitted)

    def _fitted(self):
        estimator = self.estimator
        return {name: [array.copy() for array in getattr(estimator, name)] for name in ("coefs_", "intercepts_")}


class Unwatched:
    """The task of a fit without callbacks."""

    is_watched = False

    def begin_epoch(self):
        """Nothing."""

    def end_epoch(self) -> bool:
        """Nothing stops the fit."""
        return False

    def end(self):
        """Nothing."""
