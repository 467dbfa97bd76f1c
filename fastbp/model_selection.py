"""`GridSearchCV` and `RandomizedSearchCV`: scikit-learn's, which train the networks of all candidates and folds together."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from copy import copy
from time import perf_counter
from typing import Any

import numpy as np
from sklearn import model_selection
from sklearn.base import clone, is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing, get_tags
from sklearn.utils.validation import _num_samples

from fastbp.estimators import MLPClassifier, MLPRegressor
from fastbp.estimators._stochastic import warn_of_limit
from fastbp.estimators._together import OWN, Fit, Samples, may_be_together, train

__all__ = ["GridSearchCV", "RandomizedSearchCV"]

MOST_NUMBERS = 1 << 26  # of samples, of several folds, that wait to be trained on


class _Splits:
    """A splitter that remembers what it gave."""

    def __init__(self, cv: Any) -> None:
        self.cv, self.found = cv, []  # type: Any, list[tuple[Any, Any]]

    def __getstate__(self) -> dict[str, Any]:
        return {"cv": self.cv, "found": []}  # what worker processes do not need

    def split(self, X: Any, y: Any = None, groups: Any = None) -> list[tuple[Any, Any]]:
        """What the splitter gives, as a list."""
        self.found = list(self.cv.split(X, y, groups))
        return self.found

    @property
    def get_metadata_routing(self) -> Any:
        """What the splitter asks for, as `groups`, where it is one that does."""
        return self.cv.get_metadata_routing

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """How many pairs that is."""
        return int(self.cv.get_n_splits(X, y, groups))


class _Trained:
    """`fit` of an estimator that is trained already."""

    def __init__(self, estimator: Any, net: Any, is_told: bool, n_samples: int) -> None:
        self.estimator, self.net, self.is_told, self.n_samples = estimator, net, is_told, n_samples

    def __call__(self, X: Any, y: Any) -> Any:
        """Nothing but what a fit says at its end; from then on `fit` is that of the class."""
        del self.estimator.fit
        if _num_samples(X) != self.n_samples:
            raise RuntimeError(
                "scikit-learn has asked for the fits of a search in an order that is not known here; please report it"
            )
        if not self.is_told:
            warn_of_limit(self.net, stacklevel=3)
        return self.estimator


class _Handed:
    """What scikit-learn takes for a clone of the estimator until it has set the parameters: then it has the estimator itself."""

    def __init__(self, estimator: Any, trained: _Trained | None = None) -> None:
        self.estimator, self.trained = estimator, trained

    def set_params(self, **parameters: Any) -> Any:
        """The estimator, with these parameters."""
        if self.trained is None:
            return self.estimator.set_params(**parameters)
        self.estimator.fit = self.trained
        return self.estimator


class _Search:
    """The fits of one search. In the place of the estimator it is cloned by scikit-learn for each of them, in their order.

    Parameters
    ----------
    estimator : estimator
        The user's.
    X, y : array_like
        All samples.
    splits : _Splits
    """

    def __init__(self, estimator: Any, X: Any, y: Any, splits: _Splits) -> None:
        self.estimator, self.X, self.y, self.splits = estimator, X, y, splits
        self.candidates: list[dict[str, Any]] = []
        self.fits: dict[tuple[int, int], _Handed] = {}  # by the numbers of candidate and split
        self.seconds = np.zeros(0)
        self.n_alone = 0
        self.waiting: Iterator[tuple[int, int]] = iter(())

    def __sklearn_clone__(self) -> _Handed:
        if self.candidates and not len(self.seconds):
            self._train()
            self.waiting = iter(list(np.ndindex(self.seconds.shape)))
        place = next(self.waiting, (-1, -1))
        return self.fits.pop(place) if place in self.fits else _Handed(clone(self.estimator))

    def _train(self) -> None:
        """All fits that can be trained together."""
        begun, prepared = perf_counter(), [self._prepared(each) for each in self.candidates]
        self.seconds = np.zeros((len(self.candidates), len(self.splits.found)))
        fits: dict[tuple[int, int], tuple[Any, Any, Fit]] = {}
        numbers = 0
        for j, (rows, _) in enumerate(self.splits.found if any(prepared) else []):
            numbers += self._begin(j, rows, prepared, fits)
            if numbers > MOST_NUMBERS:
                self._finish(fits)
                numbers = 0
        self._finish(fits)
        self.n_alone = self.seconds.size - len(self.fits)
        if self.fits:
            rest = (perf_counter() - begun - self.seconds.sum()) / len(self.fits)
            self.seconds[tuple(np.transpose(list(self.fits)))] += rest

    def _begin(self, j: int, rows: Any, prepared: list[Any], fits: dict[tuple[int, int], tuple[Any, Any, Fit]]) -> int:
        """Add the fits on a split; how many numbers they are on. What goes wrong is left to scikit-learn, to tell it."""
        X, y = _safe_indexing(self.X, rows), _safe_indexing(self.y, rows)
        heads: dict[Hashable, Any] = {}
        samples: dict[Hashable, Any] = {}
        for k, each in enumerate(prepared):
            if each is None:
                continue
            whole, net, of_head, of_samples = each
            try:
                if of_head not in heads:
                    heads[of_head] = None
                    heads[of_head] = _transformed(whole, X, y)
                if heads[of_head] is not None and of_samples not in samples:
                    samples[of_samples] = None
                    samples[of_samples] = Samples(net, heads[of_head][1], y)
                if samples.get(of_samples) is not None:
                    fit = samples[of_samples].fit_of({name: getattr(net, name) for name in OWN})
                    fits[k, j] = whole, heads[of_head][0], fit
            except Exception:
                continue
        return sum(len(each.data) * each.net.sizes[0] for each in samples.values() if each is not None)

    def _finish(self, fits: dict[tuple[int, int], tuple[Any, Any, Fit]]) -> None:
        """Train these fits, and forget what they are on."""
        train([fit for *_, fit in fits.values()])
        for (k, j), (whole, head, fit) in fits.items():
            if not fit.is_done:
                continue
            self.seconds[k, j], estimator = fit.seconds, fit.estimator
            if isinstance(whole, Pipeline):
                estimator = copy(whole)
                estimator.steps = [*([] if head is None else head.steps), (whole.steps[-1][0], fit.estimator)]
            trained = _Trained(estimator, fit.estimator, fit.is_told, len(fit.start.rows))
            self.fits[k, j] = _Handed(estimator, trained)
        fits.clear()

    def _prepared(self, parameters: dict[str, Any]) -> tuple[Any, ...] | None:
        """The estimator of a candidate, its network, and what those with the same preprocessing, and samples, have in common."""
        try:
            whole = clone(self.estimator).set_params(**clone(parameters, safe=False))
            net, prefix = (whole.steps[-1][1], f"{whole.steps[-1][0]}__") if isinstance(whole, Pipeline) else (whole, "")
            if not _is_ours(net) or not may_be_together(net):
                return None
            net._validate_params()
        except Exception:
            return None
        own = {name for name in parameters if name.startswith(prefix)}
        of_head = frozenset((name, *_mark(value)) for name, value in parameters.items() if name not in own)
        shared = own - {prefix + name for name in OWN}
        return whole, net, of_head, (of_head, frozenset((name, *_mark(parameters[name])) for name in shared))


def _mark(value: Any) -> tuple[Any, ...]:
    """What is equal for equal values; those that no set can hold are equal to themselves only."""
    try:
        hash(value)
    except TypeError:
        return id(value), "id"
    return type(value), value


def _is_ours(net: Any) -> bool:
    return type(net) in (MLPClassifier, MLPRegressor) and net.n_networks == 1


def _transformed(whole: Any, X: Any, y: Any) -> tuple[Pipeline | None, Any]:
    """The steps before the last, fitted, and the samples as they leave them."""
    if not isinstance(whole, Pipeline) or len(whole.steps) == 1:
        return None, X
    head = clone(whole[:-1])
    return head, head.fit_transform(X, y)


def _reason(search: Any, y: Any, params: dict[str, Any]) -> str | None:
    """Why nothing is trained together, if that is known before the candidates are."""
    estimator = search.estimator
    if type(estimator) is not Pipeline and not _is_ours(estimator):
        return f"{type(estimator).__name__} is neither an estimator of fastbp with one network nor a Pipeline that ends with one"
    if type(estimator) is Pipeline and (not estimator.steps or estimator.verbose or getattr(estimator, "transform_input", None)):
        return "the Pipeline has verbose or transform_input"
    if y is None or any(value is not None for name, value in params.items() if name != "groups"):
        return "fit has parameters that go to the estimator" if y is not None else "there is no y"
    everything = [search, estimator, *estimator.get_params(deep=True).values()]
    if any(getattr(each, "_skl_callbacks", None) for each in everything):
        return "there are callbacks"
    return "X is pairwise" if get_tags(estimator).input_tags.pairwise else None


class _Together:
    """What is added to scikit-learn's searches."""

    estimator: Any
    cv: Any
    verbose: int
    _search: _Search | None = None

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        return {name: value for name, value in state.items() if name != "_search"}

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Fit all candidates on all folds, and the best on all samples.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_features)
        y : array_like
        **params : dict
            As of scikit-learn. With others than `groups`, nothing is trained together.

        Returns
        -------
        self
        """
        reason = _reason(self, y, params)
        if reason is not None:
            if self.verbose:
                print(f"The networks are trained one by one: {reason}.")
            return super().fit(X, y, **params)  # type: ignore[misc]
        with self._standing_in(X, y):
            return super().fit(X, y, **params)  # type: ignore[misc]

    @contextmanager
    def _standing_in(self, X: Any, y: Any) -> Iterator[None]:
        """Estimator and splitter are others, which look like them, until the end of the fit."""
        before, cv = self.estimator, self.cv
        try:
            splits = _Splits(model_selection.check_cv(cv, y, classifier=is_classifier(before)))
        except Exception:  # of which scikit-learn has its own to say
            yield
            return
        same = copy(before)

        def stand_in() -> _Search:
            del same.__sklearn_clone__
            self._search = _Search(before, X, y, splits)
            return self._search

        same.__sklearn_clone__ = stand_in
        self.estimator, self.cv = same, splits
        try:
            yield
        finally:
            same.__dict__.pop("__sklearn_clone__", None)
            self.estimator, self.cv = before, cv
            self.__dict__.pop("_search", None)
            if getattr(self, "_checked_cv_orig", None) is splits:
                self._checked_cv_orig = splits.cv

    def _run_search(self, evaluate_candidates: Any, *, callback_ctx: Any = None) -> None:
        context = {} if callback_ctx is None else {"callback_ctx": callback_ctx}
        search = self._search
        if search is None:
            super()._run_search(evaluate_candidates, **context)  # type: ignore[misc]
            return

        def evaluate(candidates: Any, **_: Any) -> Any:
            search.candidates = list(candidates)
            results = evaluate_candidates(search.candidates)
            results["mean_fit_time"] += search.seconds.mean(axis=1)
            results["std_fit_time"] = np.hypot(results["std_fit_time"], search.seconds.std(axis=1))
            if self.verbose and search.n_alone:
                print(f"{search.n_alone} of {search.seconds.size} fits were trained one by one.")
            return results

        super()._run_search(evaluate, **context)  # type: ignore[misc]


class GridSearchCV(_Together, model_selection.GridSearchCV):
    """Search over all candidates of a grid: scikit-learn's `GridSearchCV`, which trains their networks, of all folds, together.

    Parameters, attributes, methods and results are those of ``sklearn.model_selection.GridSearchCV``, the latter to rounding.

    Parameters
    ----------
    estimator : estimator
        An `fastbp.MLPClassifier` or `fastbp.MLPRegressor`, or a ``Pipeline`` that ends with one, for there to be a difference.
    param_grid, scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As of scikit-learn's.

    Attributes
    ----------
    cv_results_, best_estimator_, best_params_, best_score_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As of scikit-learn's. The time of what is done together counts in equal parts as `fit_time` of those that it is done for.

    See Also
    --------
    RandomizedSearchCV : Candidates are drawn.
    fastbp.Networks : Many networks of one shape.

    Notes
    -----
    Candidates may differ in anything. Those whose networks have the same shape, and the same settings but for `alpha`,
    `learning_rate_init`, `random_state`, `tol`, and those of the solver's rule and of the data, are trained side by side, on all
    folds; what stands before the network in a pipeline is fitted once for each fold, for all candidates that share its parameters.
    Each network begins with the weights, and sees the samples in the orders, that its estimator draws. With ``random_state=None``
    each has a generator of its own.

    Trained one by one, in scikit-learn's way, are: networks too large to repay it (more than 4096 weights, or 2048 with AVX-512),
    solvers for all samples at once, `early_stopping`, `learning_rate="adaptive"` and schedules with a rate for every step, `l1`,
    limits of gradient and weights, dropout, `verbose`, ensembles, X of which the zeros are left out, fits that fail or diverge;
    and all, where there are callbacks, or parameters of `fit` besides `groups`. With `verbose`, a line says so.

    Networks are trained by as many threads as repay it, as `n_threads` and the limits of the process allow; `n_jobs` is for what
    is scored, and trained one by one.

    Examples
    --------
    >>> from fastbp import MLPClassifier
    >>> from fastbp.model_selection import GridSearchCV
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), max_iter=300, tol=0, n_iter_no_change=300, random_state=0)
    >>> search = GridSearchCV(model, {"alpha": [0.01, 1.0], "learning_rate_init": [0.003, 0.03]}).fit(X, y)
    >>> search.best_score_ > 0.95
    np.True_
    """


class RandomizedSearchCV(_Together, model_selection.RandomizedSearchCV):
    """Search over parameters that are drawn: scikit-learn's `RandomizedSearchCV`, which trains all networks together.

    Parameters, attributes, methods and results are those of ``sklearn.model_selection.RandomizedSearchCV``, the latter to rounding;
    `GridSearchCV` tells what is trained together.

    Parameters
    ----------
    estimator : estimator
        As of `GridSearchCV`.
    param_distributions, n_iter, scoring, n_jobs, refit, cv, verbose, pre_dispatch, random_state, error_score, return_train_score
        As of scikit-learn's.

    Attributes
    ----------
    cv_results_, best_estimator_, best_params_, best_score_, best_index_, scorer_, n_splits_, refit_time_, multimetric_
        As of scikit-learn's.

    See Also
    --------
    GridSearchCV : All candidates of a grid.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> rates = {"learning_rate_init": [1e-3, 3e-3, 1e-2, 3e-2]}
    >>> estimator = MLPClassifier((8,), max_iter=100, n_iter_no_change=100, random_state=0)
    >>> search = RandomizedSearchCV(estimator, rates, n_iter=3, cv=3, random_state=0).fit(X, y)
    >>> len(search.cv_results_["mean_test_score"]), search.best_score_ > 0.9
    (3, np.True_)
    """
