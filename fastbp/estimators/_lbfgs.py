"""Training by SciPy's L-BFGS-B, which asks the kernels for the loss of all samples and its gradient."""

import numpy as np
from scipy.optimize import minimize
from sklearn.utils.optimize import _check_optimize_result

from fastbp.engine import memory, threads
from fastbp.engine.session import Session
from fastbp.engine.validation import with_finite_sums
from fastbp.estimators._checks import NOT_FINITE
from fastbp.estimators._training_data import report
from fastbp.kernels.modes import DIFFERENTIATE


def fit_lbfgs(estimator, net, data, held_out, tasks):
    """Train by solver "lbfgs"; sets the attributes of the estimator."""
    watch, first_params = _Watch(estimator, net, held_out, tasks), net.params.copy()
    n_samples = len(data)
    entries = data.entries(net)
    members = threads.members_for(n_samples * threads.flop_of_sample(net.sizes, entries), estimator.n_threads)
    session = Session(net, n_samples, differentiate=True, members=members, entries=entries)
    try:
        function = _Objective(net, session, data, estimator.alpha)
        result = minimize(
            function,
            net.params.astype(np.float64),
            method="L-BFGS-B",
            jac=True,
            callback=watch.after if watch.is_needed else None,
            options={"maxfun": estimator.max_fun, "maxiter": estimator.max_iter, "gtol": estimator.tol},
        )
    finally:
        session.close()
        if held_out is not None:
            held_out.close()
    if not np.isfinite(result.x).all() or not np.isfinite(result.fun):
        net.params[:] = first_params
        raise ValueError(f"{NOT_FINITE} (The weights are again those from before the fit.)")
    net.params[:] = result.x
    if watch.stopped:
        estimator.n_iter_ = result.nit
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = result.fun


class _Watch:
    """Looks at each iteration, where somebody wants to."""

    def __init__(self, estimator, net, held_out, tasks):
        self.estimator, self.net, self.held_out, self.tasks = estimator, net, held_out, tasks
        self.is_needed = bool(tasks.is_watched or held_out is not None)
        self.stopped = False

    def after(self, intermediate_result):
        """What SciPy calls; the name of the argument asks it for more than the parameters."""
        self.net.params[:] = intermediate_result.x
        history = self.estimator.history_
        history.loss.append(float(intermediate_result.fun))
        self.tasks.begin_epoch()
        if self.held_out is not None:
            loss, score = self.held_out.judge(self.estimator, self.net)
            history.validation_loss.append(loss)
            history.validation_score.append(score)
        if self.tasks.end_epoch():
            self.stopped = True
            raise StopIteration


class _Objective:
    """theta -> (loss as scikit-learn reports it, gradient of the loss it minimises)."""

    def __init__(self, net, session, data, alpha):
        data.give(session)
        if data.weights is None:
            session.set_penalty(alpha / len(data), 0.0)
        else:
            weights, unit = with_finite_sums(data.weights)
            session.set_penalty(alpha / weights.sum() / unit, 0.0)
        session.out = memory.zeros(net.params.size, net.dtype)
        session.set_report(*report(net))
        self.net, self.session = net, session

    def __call__(self, theta):
        net, session = self.net, self.session
        net.params[:] = theta
        return session.call(DIFFERENTIATE), session.out.copy()
