"""`MLPClassifier`: classes and sets of labels."""

from numbers import Real

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from fastbp import losses
from fastbp.estimators import _checks, _labels
from fastbp.estimators._base import is_stochastic
from fastbp.estimators._ensemble import Ensemble


class MLPClassifier(ClassifierMixin, Ensemble):
    """Multi-layer perceptron that minimises the log-loss: scikit-learn's `MLPClassifier`, trained by compiled kernels.

    Parameters, attributes, methods, random draws and results are those of ``sklearn.neural_network.MLPClassifier``; numbers like
    #9113 below are scikit-learn's issues that asked for what is added.

    Parameters
    ----------
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
        That part, stratified by class unless samples have several labels.
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
        the accuracy (#24411).
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
    class_weight : dict, "balanced" or None, default None
        Weights of the classes, multiplied into those of the samples; "balanced" makes all classes weigh the same (#9113).
    label_smoothing : float, default 0.0
        s in [0, 1): this part of each target is spread evenly over the classes (Szegedy et al., 2016).
    n_networks : int, default 1
        With more, an ensemble (Hansen & Salamon, 1990), trained in one go: the mean is taken of the members' probabilities or
        outputs. Each begins with a seed of its own, drawn from `random_state`, and becomes what an estimator with that seed does.
        With early stopping all are judged by the same samples. No `warm_start`, `partial_fit`, `coefs_init` and callbacks.

    Attributes
    ----------
    classes_ : ndarray (n_classes,)
        Class labels; for sets of labels their numbers.
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
        "softmax" for several classes, "logistic" for two, or for sets of labels.

    See Also
    --------
    MLPRegressor : The same for numbers.
    Network : The network behind it.

    Notes
    -----
    Where scikit-learn goes on silently, this raises: for masked arrays with masked values, dates, missing labels, labels of words
    and numbers, negative sample weights, and training that diverges. The loss is computed from raw outputs, never from
    probabilities: where scikit-learn cuts a loss off at -log(machine epsilon), `loss_` is the true one.

    Examples
    --------
    >>> from fastbp import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(max_iter=500, random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    loss = "log_loss"
    _counterpart = "MLPClassifier"
    _label_binarizer: LabelBinarizer
    _parameter_constraints: dict = {
        **Ensemble._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
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
        class_weight=None,
        label_smoothing=0.0,
        n_networks=1,
    ):
        self._store(locals())

    def _out_activation(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _network_loss(self):
        kind = losses.CrossEntropy if self.out_activation_ == "softmax" else losses.BinaryCrossEntropy
        return kind(self.label_smoothing)

    def _checked_targets(self, name, y):
        _checks.refuse_odd_labels(name, y)
        return y

    def _encode(self, targets, is_known):
        """Targets as a matrix of bool; the classes are those of a fit before, if `is_known` or in a warm start."""
        is_new = not hasattr(self, "classes_") or (not self.warm_start and not is_known)
        known = self._label_binarizer.classes_ if is_known and not self.warm_start and not is_new else None
        numbers = None if known is None else _labels.numbers_of_classes(known, targets)
        if known is not None and numbers is not None and self._label_binarizer.y_type_ != "multilabel-indicator":
            return _labels.indicators(known, numbers)
        plain = _labels.plain_classes(targets)
        if plain is not None and (is_new or np.array_equal(plain[0], self._label_binarizer.classes_)):
            if is_new:
                self._label_binarizer = _labels.binarizer_of(plain[0])
                self.classes_ = plain[0]
            return _labels.indicators(*plain)
        if is_new:
            self._label_binarizer = LabelBinarizer().fit(targets)
            self.classes_ = self._label_binarizer.classes_
        else:
            _labels.check_known(unique_labels(targets), self.classes_, self.warm_start)
        if self._label_binarizer.y_type_ == "multilabel-indicator":
            _labels.refuse_other_than_sets(targets)
        return self._label_binarizer.transform(targets).astype(bool)

    def _decode(self, data):
        if data.labels is not None:
            return self.classes_[data.labels]
        return self._label_binarizer.inverse_transform(data.values.astype(np.int64))

    def _weigh_classes(self, targets, sample_weight, incremental):
        if self.class_weight is None:
            return sample_weight
        if incremental and self.class_weight == "balanced":
            raise ValueError("class_weight='balanced' is not known to partial_fit, which sees a part of y: give a dict.")
        _checks.class_weight(self.class_weight)
        return _checks.product_of_weights(compute_sample_weight(self.class_weight, targets), sample_weight)

    def _stratify(self, data):
        """What a split for early stopping keeps the proportions of: the classes, if they are not sets of labels."""
        if self.n_outputs_ == 1:
            return data.values.astype(bool)
        return None

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None, *, classes=None, X_val=None, y_val=None, coefs_init=None, intercepts_init=None):
        """Train on X and y.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
            Where most of it is zero, the zeros are left out of the first layer. A stream is given alone, to one network.
        y : array_like, optional
            Class labels (n_samples,), or (n_samples, n_classes) of 0 and 1 for sets of labels.
        sample_weight : array_like (n_samples,), optional
            Not negative, not all zero.
        classes : array_like (n_classes,), optional
            All classes of a stream, whose targets are else read once to find them.
        X_val, y_val : array_like, optional
            Validation data, or a stream as `X_val`: `history_` records loss and score on them, and early stopping looks at them
            instead of setting samples aside (#18507). They pass through pipelines and searches.
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
        return self._fit(X, y, sample_weight, (X_val, y_val), (coefs_init, intercepts_init), classes=classes)

    @available_if(is_stochastic)
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None, classes=None):
        """Train for one epoch on the given samples, from the weights there are.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
        y : array_like, optional
            Class labels (n_samples,), or (n_samples, n_classes) of 0 and 1 for sets of labels.
        sample_weight : array_like (n_samples,), optional
            Not negative, not all zero.
        classes : array_like (n_classes,), optional
            All classes there will be; needed at the first call.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True, classes=classes)

    def _begin_partial_fit(self, y, classes):
        _checks.refuse_misleading("y", y)
        _checks.refuse_odd_labels("y", y)
        _checks.refuse_odd_labels("classes", classes)
        with _checks.Blamed("classes"):
            is_first = _check_partial_fit_first_call(self, classes)
        if is_first:
            with _checks.Blamed("y"):
                is_multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if is_multilabel else classes)

    def predict(self, X):
        """The likeliest classes.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features), or `stream`
            Of a stream the inputs are read, block by block, whether or not it has targets; the outputs are in memory.

        Returns
        -------
        ndarray (n_samples,), or (n_samples, n_classes) of 0 and 1 for sets of labels
        """
        outputs = self._outputs(X)
        binarizer = self._label_binarizer
        if binarizer.y_type_ == "multiclass":
            return binarizer.classes_[outputs.argmax(axis=1)]
        if outputs.shape[1] == 1 and len(binarizer.classes_) == 2:
            return binarizer.classes_[(outputs[:, 0] > 0.5).view(np.int8)]
        return binarizer.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)

    def score(self, X, y=None, sample_weight=None) -> float:
        """Accuracy of the predictions for X, given the true y.

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
        return self._score(_labels.accuracy, X, y, sample_weight)

    def predict_proba(self, X):
        """Probabilities of the classes.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)
            Columns in the order of `classes_`. A row's result does not depend on the others.
        """
        outputs = self._outputs(X)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X):
        """Logarithms of `predict_proba`.

        Parameters
        ----------
        X : {array_like, sparse matrix} (n_samples, n_features)

        Returns
        -------
        ndarray (n_samples, n_classes)
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
