"""Levenberg-Marquardt in NumPy, from formulas that the kernels do not share."""

import numpy as np

from fastbp.baseline.formulas import ACTIVATIONS, lookup


def outputs_and_jacobian(net, X):
    """Outputs (N, O), and their derivatives (N, O, P) with respect to the parameters, in float64."""
    a, kept = np.asarray(X, np.float64), []
    weights, biases = ([np.float64(each) for each in arrays] for arrays in (net.weights, net.biases))
    for w, b, chosen in zip(weights, biases, [*net.hidden, net.output], strict=True):
        activation, options = lookup(ACTIVATIONS, "activation", chosen)
        z = a @ w.T + b
        f = np.empty_like(z) if activation.keeps_z else z.copy()
        s = np.ones_like(z)
        activation.forward(z if activation.keeps_z else f, f, s, options)
        result = f.copy()
        if activation.slope is not None:
            activation.slope(z if activation.keeps_z else f, f, s, options)
        kept.append((a, s))
        a = result
    rows = []
    for k in range(net.sizes[-1]):
        d, parts = np.zeros_like(a), []
        d[:, k] = kept[-1][1][:, k]
        for layer in range(len(weights) - 1, -1, -1):
            parts[:0] = [(d[:, :, None] * kept[layer][0][:, None, :]).reshape(len(a), -1), d]
            if layer:
                d = (d @ weights[layer]) * kept[layer - 1][1]
        rows.append(np.concatenate(parts, axis=1))
    return a, np.stack(rows, axis=1)


def normal_equations(net, X, y, weights=None):
    """J^T J, J^T e and e^T e, so that half of the last is the loss."""
    outputs, jacobian = outputs_and_jacobian(net, X)
    w = np.full(len(X), 1.0) if weights is None else weights
    roots = np.sqrt(2 * net.loss_function.scale(net.sizes[-1]) * w / w.sum())[:, None]
    e = (roots * (outputs - y)).reshape(-1)
    J = (roots[:, :, None] * jacobian).reshape(e.size, -1)
    return J.T @ J, J.T @ e, e @ e, J, roots


def levenberg_marquardt(net, X, y, steps, *, mu=1e-3, most=0.75, decay=0.0, weights=None, part=0.1, trials=None):
    """Losses after each of so many accepted steps; the network has the parameters after the last. The list `trials` has all."""
    growth, d, losses = 2.0, 0.0, []
    params = net.params

    def loss():
        return 0.5 * normal_equations(net, X, y, weights)[2] + 0.5 * np.sum(decay * params**2)

    while len(losses) < steps:
        A, g, _, J, roots = normal_equations(net, X, y, weights)
        A, g, before, now, start = A + np.diag(np.broadcast_to(decay, g.shape)), g + decay * params, params.copy(), loss(), net(X)
        d = max(d, A.diagonal().max())
        while True:
            damped = A + mu * d * np.eye(len(A))
            h = -np.linalg.solve(damped, g)
            step = h
            if most:
                params[:] = before + part * h
                curve = 2 / part * ((roots * (net(X) - start)).reshape(-1) / part - J @ h)
                a = -np.linalg.solve(damped, J.T @ curve)
                step = h + a / 2 if 2 * np.linalg.norm(a) <= most * np.linalg.norm(h) else h
            params[:] = before + step
            if trials is not None:
                trials.append(loss())
            gain = (now - loss()) / (0.5 * h @ (mu * d * h - g))
            if gain > 0:
                break
            mu, growth = mu * growth, growth * 2
        mu, growth = mu * max(1 / 3, 1 - (2 * gain - 1) ** 3), 2.0
        losses.append(loss())
    return losses
