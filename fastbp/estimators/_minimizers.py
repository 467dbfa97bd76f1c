"""Training by solvers that take all samples at once: "lbfgs", "lm" and the like (`fastbp.minimizers`)."""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.optimize import _check_optimize_result

from fastbp import minimizers
from fastbp.engine.minimize.lbfgs import minimize_lbfgs
from fastbp.engine.minimize.run import check_network, search
from fastbp.engine.supervisor import DivergenceError, OverwrittenError
from fastbp.estimators._checks import NOT_FINITE
from fastbp.estimators._training_data import report


def prepare_all(estimator, net, data, held_out, tasks):
    """The function that trains by a solver for all samples at once, and sets the attributes of the estimator."""
    minimizer = minimizers.MINIMIZERS.get(estimator.solver, "solver")
    check_network(net, minimizer, "solver")
    if estimator.early_stopping and estimator.solver != "lbfgs":  # of which scikit-learn's takes no notice
        raise ValueError(
            f"early_stopping=True needs a solver that takes mini-batches, not {estimator.solver!r}: leave it out, or"
            " let fastbp.Network.fit stop by its validation_data and patience."
        )
    if minimizer.needs_squares:
        data.fill_zeros()
    by = _fit_lbfgs if estimator.solver == "lbfgs" else _fit_squares

    def train():
        estimator.history_.stopped_by = None
        watch, first_params = _Watch(estimator, net, held_out, tasks), net.params.copy()
        objective = data.objective(net, estimator.n_threads)
        objective.set_penalty(data.by_weight(estimator.alpha))
        try:
            by(estimator, net, data, objective, minimizer, watch)
        except OverwrittenError:
            raise
        except DivergenceError:
            net.params[:] = first_params
            raise ValueError(f"{NOT_FINITE} (The weights are again those from before the fit.)") from None
        finally:
            objective.close()
            if held_out is not None:
                held_out.close()

    return train


def _fit_lbfgs(estimator, net, data, objective, minimizer, watch):
    objective.set_report(*report(net))
    result = minimize_lbfgs(
        objective,
        (lambda step: watch.after(step.x, step.fun)) if watch.is_needed else None,
        maxfun=estimator.max_fun,
        maxiter=estimator.max_iter,
        gtol=estimator.tol,
    )
    if not np.isfinite(result.x).all() or not np.isfinite(result.fun):
        raise DivergenceError(result.nit, 0.0)
    net.params[:] = result.x
    if watch.stopped:
        estimator.n_iter_ = result.nit
    else:
        estimator.n_iter_ = _check_optimize_result("lbfgs", result, estimator.max_iter)
    estimator.loss_ = result.fun


def _fit_squares(estimator, net, data, objective, minimizer, watch):
    estimator.n_iter_ = 0

    def reported(loss):
        factor, cap = report(net)
        if factor == 1.0:
            return loss
        objective.set_report(factor, cap)
        loss = objective.loss()
        objective.set_report()
        return loss

    def after(loss, gradient):
        estimator.n_iter_ += 1
        estimator.loss_ = reported(loss)
        if estimator.verbose:
            print(f"Iteration {estimator.n_iter_}, loss = {estimator.loss_:.8f}")
        try:
            watch.after(net.params, estimator.loss_)
        except StopIteration:
            return True
        return bool(np.abs(gradient).max() <= estimator.tol)

    estimator.loss_ = reported(objective.loss())
    try:
        reason = search(minimizer, objective, data.by_weight(estimator.alpha), estimator.max_iter, after)
    except KeyboardInterrupt:
        estimator.history_.stopped_by = "interrupt"
        warnings.warn("Training interrupted by user.", stacklevel=6)
        return
    if reason is None and estimator.n_iter_ == estimator.max_iter:
        warnings.warn(
            f"{estimator.solver} did not converge in max_iter={estimator.max_iter} iterations.", ConvergenceWarning, stacklevel=6
        )


class _Watch:
    """Looks at each iteration, where somebody wants to."""

    def __init__(self, estimator, net, held_out, tasks):
        self.estimator, self.net, self.held_out, self.tasks = estimator, net, held_out, tasks
        self.is_needed = bool(tasks.is_watched or held_out is not None)
        self.stopped = False

    def after(self, params, loss):
        """Take over an iteration; raises StopIteration where a callback wants to stop."""
        self.net.params[:] = params
        history = self.estimator.history_
        history.loss.append(float(loss))
        self.tasks.begin_epoch()
        if self.held_out is not None:
            loss, score = self.held_out.judge(self.estimator, self.net)
            history.validation_loss.append(loss)
            history.validation_score.append(score)
        if self.tasks.end_epoch():
            self.stopped = True
            raise StopIteration
