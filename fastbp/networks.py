"""`Networks`: many networks of one shape, computed and trained together."""

from weakref import WeakValueDictionary

import numpy as np

from fastbp import display
from fastbp.arguments import integer, position
from fastbp.engine import memory, metrics, threads, validation
from fastbp.engine.abreast import Crowd, samples_of
from fastbp.engine.turn import TurnOfAll
from fastbp.files import model_file
from fastbp.kernels.modes import DIFFERENTIATE, EVALUATE, PREDICT
from fastbp.network import Network
from fastbp.training_of_networks import fit

GENERATOR_BYTES = 1500


class Networks:
    """Many networks of one shape, whose parameters are one array.

    ``nets[k]`` is a `Network` that shares memory with it. Networks whose layers are small are computed side by side, one in each
    lane of a register: a step of sixteen takes little longer than one. A network's results depend on nothing but itself, and are
    those of `Network` to rounding; outputs to the bit.

    Parameters
    ----------
    count : int
    sizes : sequence of int
        As all down to `init` of `Network`.
    hidden : str, Activation or list of these, default "relu"
    loss : str or Loss, default "squared"
    output : str or Activation, optional
    dtype : {"float32", "float64"}, default "float32"
    input_scale : float, default 1
    init : str or Initializer, optional
    rng : None, int, numpy.random.Generator or sequence of `count` of these, default None
        Of one, each network has a generator of its own, spawned from it, which does not depend on `count`. Of a sequence, network k
        is ``Network(..., rng=rng[k])``.

    Attributes
    ----------
    params : ndarray (count, n_params)
        A row for each network, as `Network.params`. May be written to.
    rngs : list of numpy.random.Generator
        Source of each network's seed of `fit`.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.

    Examples
    --------
    >>> nets = Networks(100, [2, 3, 1], hidden="tanh", rng=0)
    >>> nets(np.zeros((5, 2))).shape
    (100, 5, 1)
    >>> nets[7]
    Network([2, 3, 1], hidden=['tanh'], loss=SquaredError(reduction='half_sum'), dtype='float32')
    """

    def __init__(
        self,
        count,
        sizes,
        hidden="relu",
        loss="squared",
        *,
        output=None,
        dtype="float32",
        input_scale=1.0,
        init=None,
        rng=None,
    ):
        count = integer("count", count)
        settings = {"sizes": sizes, "hidden": hidden, "loss": loss, "output": output, "dtype": dtype, "input_scale": input_scale}
        self._one = one = Network(**settings, init=init, rng=0)
        memory.check_room(f"count={count}", count * (one.params.nbytes + GENERATOR_BYTES))
        self.rngs = validation.generators(rng, count)
        self._matrix = memory.zeros(count * one.params.size, one.dtype).reshape(count, -1)
        for row, own in zip(self._matrix, self.rngs, strict=True):
            one.rng = own
            one._initialise(init, None, None)
            row[:] = one.params
        self._parts: WeakValueDictionary[int, Network] = WeakValueDictionary()
        self._turn = TurnOfAll("set of networks")

    @property
    def params(self):
        """Parameters (count, n_params)."""
        return self._matrix

    @params.setter
    def params(self, value):
        self._matrix[:] = value

    def __len__(self) -> int:
        return len(self._matrix)

    def __getitem__(self, k) -> Network:
        k = position("network", k, len(self))
        part = self._parts.get(k)
        if part is None:
            part = self._parts[k] = self._alone(k)
            part._turn = self._turn.of_part("network")
        return part

    def _alone(self, k: int) -> Network:
        """Network `k` for whoever has the turn of all."""
        return self._one._beside(self._matrix[k], self.rngs[k])

    def __iter__(self):
        return map(self.__getitem__, range(len(self)))

    def __repr__(self) -> str:
        return f"Networks({len(self)}, {repr(self._one).partition('(')[2]}"

    _repr_html_ = display.of_networks

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in ("_parts", "_turn")}

    def __setstate__(self, state):
        params = state["_matrix"]
        own = memory.zeros(params.size, params.dtype).reshape(params.shape)  # what is read may be a file that nobody writes to
        own[:] = params
        self.__dict__.update(state, _matrix=own, _parts=WeakValueDictionary(), _turn=TurnOfAll("set of networks"))

    # --- outputs, losses and gradients -----------------------------------------------------------------------------------

    def _samples(self, X, y=None, sample_weight=None):
        one = self._one
        rows = validation.dense_samples("X", X, one.sizes[0], one.dtype)
        if y is None:
            return samples_of(
                one, rows, np.zeros((len(rows), one.sizes[-1]), one.dtype), validation.NO_LABELS, validation.NO_WEIGHTS
            )
        values, labels = validation.targets("y", y, len(rows), one.sizes[-1], one.loss_function.task, one.dtype)
        return samples_of(one, rows, values, labels, validation.weights_of_samples(sample_weight, len(rows)))

    def _compute(self, mode, samples, n_threads, passes, out=None):
        if n_threads is not None:
            validation.integer("n_threads", n_threads)
        crowd = Crowd(self._one, self._matrix, samples)
        flop = passes * self._matrix.size * len(samples.x)
        return crowd.compute(mode, threads.members_for(flop, n_threads, threads.FLOP_PER_START), out)

    def __call__(self, X, n_threads=None) -> np.ndarray:
        """Outputs of all networks.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_inputs)
        n_threads : int, optional
            As for `Network.__call__`.

        Returns
        -------
        ndarray (count, n_samples, n_outputs)
            Of each network the bits that it gives alone.
        """
        samples = self._samples(X)
        shape = len(self), len(samples.x), self._one.sizes[-1]
        memory.check_room("X", int(np.prod(shape, dtype=object)) * self._one.dtype.itemsize)
        out = np.empty(shape, self._one.dtype)
        self._compute(PREDICT, samples, n_threads, 2.0, out)
        return out

    def loss(self, X, y, sample_weight=None, n_threads=None) -> np.ndarray:
        """Weighted mean of the samples' losses, of each network: (count,).

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_inputs)
        y : array_like
            As for `Network.loss`.
        sample_weight : array_like (n_samples,), optional
        n_threads : int, optional
        """
        return self._compute(EVALUATE, self._samples(X, y, sample_weight), n_threads, 2.0)

    def value_and_grad(self, X, y, sample_weight=None, n_threads=None) -> tuple[np.ndarray, np.ndarray]:
        """The losses (count,), and their gradients (count, n_params), rows like those of `params`.

        Parameters
        ----------
        X : array_like or sparse matrix (n_samples, n_inputs)
        y : array_like
            As for `Network.loss`.
        sample_weight : array_like (n_samples,), optional
        n_threads : int, optional
        """
        out = np.empty_like(self._matrix)
        return self._compute(DIFFERENTIATE, self._samples(X, y, sample_weight), n_threads, 6.0, out), out

    def predict(self, X, n_threads=None) -> np.ndarray:
        """Predictions of all networks, (count, ...); X and n_threads as for `__call__`, the rest as of `Network.predict`."""
        return metrics.predictions(self._one.loss_function.task, self(X, n_threads))

    def score(self, X, y) -> np.ndarray:
        """Accuracy or R^2 of each network, (count,); X and y as for `loss`, the rest as of `Network.score`."""
        one, outputs = self._one, self(X)
        values, labels = validation.targets("y", y, outputs.shape[1], one.sizes[-1], one.loss_function.task, one.dtype)
        return np.array([metrics.score(one.loss_function.task, each, labels if labels.size else values) for each in outputs])

    fit = fit

    # --- files -----------------------------------------------------------------------------------------------------------

    def save(self, path, extra=None) -> None:
        """Write all networks to one file, which `fastbp.load` reads.

        Parameters
        ----------
        path : str, path or binary file
        extra : dict, optional
            As of `Network.save`, and so are the errors.
        """
        model_file.write(path, self._one._settings(), self._matrix[0], extra, {"networks": {"params": self._matrix}})
