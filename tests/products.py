"""The products of a layer, taken from networks that compute nothing else, so that what is asked of them holds for any kernel."""

import numpy as np

from fastbp import Network


def forward(x, w, b):
    """x W^T + b."""
    n_out, n_in = w.shape
    return Network([n_in, n_out], weights=[w], biases=[b], dtype=x.dtype)(x)


def shares(rows):
    """Sample weights that add up to a power of two, so that the mean over the mini-batch rounds nothing; and that power."""
    weights, total = np.ones(rows), 1 << rows.bit_length()
    weights[0] = total - (rows - 1)
    return weights, total


def backward(y, w):
    """D W, and D (rows, O), for targets y: the deltas of a network whose outputs are zero."""
    n_out, n_in = w.shape
    zeros = [np.zeros((n_in, 1)), w], [np.zeros(n_in), np.zeros(n_out)]
    net = Network([1, n_in, n_out], "identity", weights=zeros[0], biases=zeros[1], dtype=w.dtype)
    trace = net.trace(np.zeros((len(y), 1)), y)
    return trace.delta[0], trace.delta[1]


def outer(x, y):
    """D^T x and the sums of the rows of D = -y s / total, with s and total of `shares`: exact for integers."""
    n_in, n_out = x.shape[1], y.shape[1]
    net = Network([n_in, n_out], weights=[np.zeros((n_out, n_in))], biases=[np.zeros(n_out)], dtype=x.dtype)
    gradients = net.value_and_grad(x, y, shares(len(x))[0])[1]
    return gradients.weights[0], gradients.biases[0]


def gamma(terms, dtype):
    """k u / (1 - k u): relative error of a sum of k products in any order (Higham, 2002, section 3.1)."""
    unit = np.finfo(dtype).eps / 2
    return terms * unit / (1 - terms * unit)


def is_within(result, exact, absolute, terms):
    """|C - AB| <= gamma_k |A| |B| for every component."""
    bound = gamma(terms, result.dtype) * absolute
    if result.dtype == np.float64:
        bound = 2 * bound  # the reference is rounded as well
    return bool(np.isfinite(result).all() and (np.abs(result - exact) <= bound).all())


class Products:
    """The three products of a layer, of numbers or of small integers: results, what they should be, and sums of absolute values."""

    def __init__(self, x, w, b, y):
        self.given = x, w, b, y
        wide_x, wide_w, wide_b, wide_y = (array.astype(float) for array in self.given)
        s, total = shares(len(x))
        self.forward = forward(x, w, b)
        self.backward, d = backward(y, w)
        self.outer, self.sums = outer(x, y)
        wide_d, scaled = d.astype(float), -wide_y * s[:, None] / total
        self.rounded = {  # exact or in float64, the same of absolute values, terms
            "forward": (wide_x @ wide_w.T + wide_b, np.abs(wide_x) @ np.abs(wide_w.T) + np.abs(wide_b), w.shape[1] + 1),
            "backward": (wide_d @ wide_w, np.abs(wide_d) @ np.abs(wide_w), w.shape[0]),
            # 1 for the rounding of D
            "outer": (scaled.T @ wide_x, np.abs(scaled.T) @ np.abs(wide_x), len(x) + 1),
            "sums": (scaled.sum(axis=0), np.abs(scaled).sum(axis=0), len(x) + 1),
        }
        self.d_is_exact = np.array_equal(d, -wide_y / len(x))

    def outside(self):
        """Names of those that are not within the bound."""
        return [name for name, others in self.rounded.items() if not is_within(getattr(self, name), *others)]

    def inexact(self):
        """Names of those that are not equal, of integers; D is exact where the number of samples is a power of two."""
        rows = len(self.given[0])
        names = self.rounded if rows & (rows - 1) == 0 else self.rounded.keys() - {"backward"}
        wrong = [name for name in names if not np.array_equal(getattr(self, name), self.rounded[name][0])]
        return wrong + ["deltas"] * ("backward" in names and not self.d_is_exact)
