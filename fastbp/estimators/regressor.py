"""`MLPRegressor`: numbers."""

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from fastbp import losses
from fastbp.estimators import _checks
from fastbp.estimators._base import is_stochastic
from fastbp.estimators._ensemble import Ensemble, is_ensemble, quantiles, standard_deviation
from fastbp.estimators._parameters import Names

SCIKIT_LEARN_NAMES = {"squared_error": "squared"}


def loss_names() -> list[str]:
    """What `loss` may be called: the losses for numbers."""
    return ["squared_error", *(cls.name for cls in losses.LOSSES.classes if getattr(cls, "task", "") not in ("labels", "binary"))]


def _one_column(outputs):
    return outputs[:, 0] if outputs.shape[1] == 1 else outputs


class MLPRegressor(RegressorMixin, Ensemble):
    """Multi-layer perceptron for numbers: scikit-learn's `MLPRegressor`, trained by compiled kernels.

    Parameters, attributes, methods, random draws and results are those of ``sklearn.neural_network.MLPRegressor``; numbers like
    #9113 below are scikit-learn's issues that asked for what is added.

    Parameters
    ----------
    loss : str or Loss, default "squared_error"
        "squared_error" or "poisson" (half the deviance; the outputs are exponentials, y >= 0) of scikit-learn, or any other loss
        for numbers of `fastbp.losses`, by name or as an instance: "absolute", "huber", "quantile", "log_cosh", "gamma" (#14571),
        and those that you register.
    hidden_layer_sizes : array_like of int, default (100,)
        Units of each hidden layer.
    activation : str, Activation, or list of them, default "relu"
        "identity", "logistic", "tanh" or "relu" of scikit-learn, or any other of `fastbp.activations` (#10665), also those
        that you register; a list has one for each hidden layer (#10097).
    solver : str, default "adam"
        "adam" (Kingma & Ba, 2015), "sgd" or "lbfgs" (SciPy's L-BFGS-B on all samples at once) of scikit-learn, or any other rule of
        `fastbp.optimizers`, also those that you register, with the parameters below as its arguments: "adamw" has `alpha` for its
        weight decay instead of a penalty (#6780), "rmsprop" `beta_2` for its decay. "lm", "gauss-newton-cg": `fastbp.minimizers`.
    alpha : float, default 0.0001
        Penalty: alpha / (2 w) times the sum of the squared weights, w being the weight of the mini-batch (its samples, if they
        are not weighted), is added to the loss. Intercepts are not penalised.
    batch_size : int or "auto", default "auto"
        Samples in a mini-batch; "auto" is min(200, n_samples). Not used by solvers that take all samples at once.
    learning_rate : {"constant", "invscaling", "adaptive"}, another name, or Schedule, default "constant"
        Schedule of solver "sgd": learning_rate_init; learning_rate_init / (t + 1)^power_t after t samples; or divided by 5
        whenever training would have stopped for lack of progress, which it does once it is at most 1e-6. Or, for every solver
        with mini-batches, a schedule of `fastbp.schedules`, by name or as an instance: it begins with each `fit`, goes on in
        `partial_fit`, and is laid out over `max_iter` epochs, after which the last rate stays.
    learning_rate_init : float, default 0.001
        Learning rate. Not used by solvers that take all samples at once.
    power_t : float, default 0.5
        Exponent of "invscaling".
    max_iter : int, default 200
        The most epochs, or iterations of a solver that takes all samples at once.
    shuffle : bool, default True
        Visit the samples in a new order every epoch. Not used by solvers that take all samples at once.
    random_state : int, RandomState instance or None, default None
        Source of the first weights, the split for early stopping and the order of the samples, drawn in scikit-learn's order.
    tol : float, default 1e-4
        An epoch makes progress if it improves the best loss (validation score, with early stopping) by at least this.
        For solvers that take all samples at once the largest component of the gradient at which to stop.
    verbose : bool, default False
        Print the loss of every epoch.
    warm_start : bool, default False
        `fit` goes on from the weights there are.
    momentum : float, default 0.9
        Of solver "sgd", from 0 to 1.
    nesterovs_momentum : bool, default True
        Use Nesterov's momentum with solver "sgd".
    early_stopping : bool, default False
        Set a part of the samples aside, stop when the score on them makes no progress, and keep the weights of the best epoch.
    validation_fraction : float, default 0.1
        That part.
    beta_1, beta_2 : float, default 0.9 and 0.999
        Decay of Adam's moving averages, in [0, 1).
    epsilon : float, default 1e-8
        Added to the root in Adam and its kin.
    n_iter_no_change : int or numpy.inf, default 10
        Training stops after more than so many epochs running without progress.
    max_fun : int, default 15000
        The most evaluations of the loss by "lbfgs".
    scoring : str or callable, optional
        What early stopping maximises, by the name of a scorer of scikit-learn or as ``scorer(estimator, X, y)``; by default
        R^2 (#24411).
    dtype : {"float32", "float64"}, optional
        Precision of weights and arithmetic; by default that of X, as in scikit-learn. "float32" is about twice as fast. "lbfgs"
        always computes in double precision, in which its weights end in scikit-learn too; "lm" and "gauss-newton-cg" by default.
    n_threads : int, optional
        The most threads; by default as many as the work of a mini-batch or a prediction repays, and one in `partial_fit`
        (#13567). Never more than the least of the limits set when the fit begins: cores and quota of the process,
        ``OMP_NUM_THREADS``, ``NUMBA_NUM_THREADS``, `threadpoolctl`, joblib's share. The result does not depend on it.
    l1 : float, default 0.0
        l1 / w times the sum of the sizes of the weights, w as for `alpha`, is added to the loss. This and what follows is for
        the solvers with mini-batches, not "lbfgs".
    clip_norm : float, optional
        A gradient, penalties included, whose Euclidean norm is above this is scaled down to it.
    clip_value : float, optional
        The components of the gradient are cut off at this size, before `clip_norm`.
    max_norm : float, optional
        After every step the weights into each unit are scaled down to at most this norm.
    dropout : float or list of float, default 0.0
        Probability, in [0, 1), that a hidden unit is dropped in a step of training; a list has one for each hidden layer
        (#6175, #7407). The units are drawn by `random_state`.
    input_dropout : float, default 0.0
        The same for the inputs.
    n_networks : int, default 1
        With more, an ensemble (Hansen & Salamon, 1990), trained in one go: the mean is taken of the members' probabilities or
        outputs. Each begins with a seed of its own, drawn from `random_state`, and becomes what an estimator with that seed does.
        With early stopping all are judged by the same samples. No `warm_start`, `partial_fit`, `coefs_init` and callbacks.

    Attributes
    ----------
    coefs_, intercepts_ : lists of ndarray
        Weights (n_units of the layer below, n_units) and biases (n_units,) of each layer, input side first. They may be edited and
        replaced. `coefs_` are in Fortran order.
    history_ : History
        ``loss`` (the same list as `loss_curve_`), ``learning_rate`` and ``time`` of each epoch, and ``validation_loss`` and
        ``validation_score`` where there are validation data (#18507). Not in scikit-learn.
    networks_ : Networks
        With `n_networks` above 1: the members, in the place of `coefs_` and `intercepts_`; `histories_` is a list of the `history_`
        of each, `n_iter_` the largest and `loss_` the mean of theirs, and what else is about the training is not set.
    loss_ : float
        Loss of the last epoch: the mean over its mini-batches, each before its step, penalty included.
    best_loss_ : float or None
        The lowest loss of an epoch; None with early stopping.
    loss_curve_ : list of float
        Loss of each epoch.
    validation_scores_ : list of float or None
        Score of each epoch, with early stopping.
    best_validation_score_ : float or None
        The highest of them.
    t_ : int
        Samples seen in training.
    n_iter_ : int
        Epochs of the last call of `fit`, or iterations of "lbfgs".
    n_features_in_, feature_names_in_ : int, ndarray of str
        Columns of X, and their names if all were strings.
    n_layers_, n_outputs_ : int
        Layers, input and output counted; units of the last.
    out_activation_ : str
        "identity", or "exp" for "poisson" and "gamma".

    See Also
    --------
    MLPClassifier : The same for classes.
    Network : The network behind it.

    Notes
    -----
    With several outputs the squared error that is reported is half the mean over the outputs, but the gradient that is followed is
    that of half the sum: scikit-learn's convention (scikit-learn#8349), kept so that results are equal.

    Where scikit-learn goes on silently, this raises: for masked arrays with masked values, dates, negative sample weights, negative
    targets of "poisson", and training that diverges.

    Examples
    --------
    >>> from fastbp import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(n_samples=200, n_features=5, random_state=0)
    >>> model = MLPRegressor(solver="lbfgs", max_iter=500, random_state=0).fit(X, y / y.std())
    >>> model.score(X, y / y.std()) > 0.99
    True
    """

    _counterpart = "MLPRegressor"
    _parameter_constraints: dict = {
        **Ensemble._parameter_constraints,
        "loss": [Names(loss_names), losses.Loss],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        scoring=None,
        dtype=None,
        n_threads=None,
        l1=0.0,
        clip_norm=None,
        clip_value=None,
        max_norm=None,
        dropout=0.0,
        input_dropout=0.0,
        n_networks=1,
    ):
        self._store(locals())

    def _network_loss(self):
        return losses.get(SCIKIT_LEARN_NAMES.get(self.loss, self.loss) if isinstance(self.loss, str) else self.loss)

    def _out_activation(self) -> str:
        return self._network_loss().link or "identity"

    def _checked_targets(self, name, y):
        return _checks.numeric_targets(name, y)

    def _encode(self, targets, is_known):
        """Targets as a matrix, after a check that the loss is defined for them."""
        task, least = self._network_loss().task, np.min(targets)
        if (task == "not_negative" and least < 0) or (task == "positive" and least <= 0):
            bound = ">= 0" if task == "not_negative" else "> 0"
            raise ValueError(f"Some value(s) of y are out of the valid range of the loss {self.loss!r}: they must be {bound}.")
        return targets.reshape(len(targets), -1)

    def _decode(self, data):
        return data.values[:, 0] if data.values.shape[1] == 1 else data.values

    def _stratify(self, data):
        return None

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, X_val=None, y_val=None, coefs_init=None, intercepts_init=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
            Where most of it is zero, the zeros are left out of the first layer. A stream is given alone, to one network.
        y : array_like, optional
            Targets (n_samples,) or (n_samples, n_outputs).
        sample_weight : array_like (n_samples,), optional
            Not negative, not all zero.
        X_val, y_val : array_like, optional
            Validation data, or a stream as `X_val`: `history_` records loss and score on them, and early stopping looks at them
            instead of setting samples aside (#18507). Under metadata routing they pass through pipelines and searches.
        coefs_init, intercepts_init : list of array_like, optional
            Weights and intercepts to start from, shaped like `coefs_` and `intercepts_` (#19701).

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For parameters or data at fault. `fastbp.DivergenceError`, a kind of it, when training diverges.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val), (coefs_init, intercepts_init))

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None):
        """Train for one epoch on the given samples, from the weights there are.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
        y : array_like, optional
            Targets (n_samples,) or (n_samples, n_outputs).
        sample_weight : array_like (n_samples,), optional
            Not negative, not all zero.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X):
        """Predictions.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
            Of a stream the inputs are read, block by block, whether or not it has targets; the outputs are in memory.

        Returns
        -------
        ndarray (n_samples,), or (n_samples, n_outputs) for several outputs
            A row's result does not depend on the others.
        """
        return _one_column(self._outputs(X))

    @available_if(is_ensemble)
    def predict_std(self, X):
        """Standard deviation of the predictions over the members of an ensemble: their disagreement, not the noise of y.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples,), or (n_samples, n_outputs) for several outputs
        """
        return _one_column(self._of_members(X, standard_deviation))

    @available_if(is_ensemble)
    def predict_quantiles(self, X, q=(0.05, 0.5, 0.95)):
        """Quantiles of the predictions over the members of an ensemble, by linear interpolation.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features)
        q : float or array_like of float, default (0.05, 0.5, 0.95)
            From 0 to 1.

        Returns
        -------
        ndarray (n_samples, n_quantiles), or (n_samples, n_outputs, n_quantiles) for several outputs
            Without the last dimension if `q` is one number.

        Raises
        ------
        ValueError
            If `q` is none of these.
        """
        return _one_column(self._of_members(X, quantiles(q)))

    def score(self, X, y=None, sample_weight=None) -> float:
        """R^2 of the predictions for X, given the true y.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
        y : array_like, optional
            As for `fit`.
        sample_weight : array_like (n_samples,), optional

        Returns
        -------
        float
        """
        return self._score(r2_score, X, y, sample_weight)
