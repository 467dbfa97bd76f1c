"""Samples that a fit is judged by, and not trained on."""

from sklearn.base import is_classifier
from sklearn.metrics import check_scoring

from fastbp.engine import metrics
from fastbp.engine.sparsity import CompressedRows
from fastbp.engine.validation import with_finite_sums


class HeldOut:
    """Held-out samples.

    Parameters
    ----------
    estimator : MultilayerPerceptron
        Its ``scoring`` says how outputs are judged.
    data : TrainingData
    targets : array_like
        The targets as the user knows them, for a scorer.
    """

    def __init__(self, estimator, data, targets):
        self.data, self.targets = data, targets
        self.weights = None if data.weights is None else with_finite_sums(data.weights)[0]
        self.measure = metrics.accuracy if is_classifier(estimator) else metrics.r2
        self.scorer = None if estimator.scoring is None else check_scoring(estimator, estimator.scoring)
        self.evaluation = None

    def judge(self, estimator, net) -> tuple[float, float]:
        """Loss without penalty, and score, of the estimator as it is now."""
        data = self.data
        if self.evaluation is None or self.evaluation.session.net is not net:
            self.evaluation = data.evaluation(net, estimator.n_threads)
        loss = self.evaluation.loss()
        if self.scorer is None:
            known = data.values if data.labels is None else data.labels
            return loss, self.measure(self.evaluation.outputs, known, self.weights)
        weights = {} if self.weights is None else {"sample_weight": self.weights}
        X = data.X.matrix if type(data.X) is CompressedRows else data.X
        return loss, float(self.scorer(without_names(estimator), X, self.targets, **weights))

    def close(self):
        """Let the threads go."""
        if self.evaluation is not None:
            self.evaluation.close()


def without_names(estimator):
    """The estimator, but it does not warn that arrays have no column names."""
    if not hasattr(estimator, "feature_names_in_"):
        return estimator
    same = object.__new__(type(estimator))
    same.__dict__.update((name, value) for name, value in vars(estimator).items() if name != "feature_names_in_")
    return same
