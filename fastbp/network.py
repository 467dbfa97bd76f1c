"""`Network`: a fully connected network whose every computation is a compiled kernel."""

from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from fastbp import activations, display, embed, evaluating, gradcheck, initializers, losses, training
from fastbp.engine import derivatives, memory, sparsity, stream_evaluation, threads, trace, validation
from fastbp.engine.parameters import Parameters, parameter_offsets
from fastbp.engine.session import FIRST_RATE, Session, seconds_of_call
from fastbp.engine.trainer import Trainer
from fastbp.engine.turn import Turn
from fastbp.exports.methods import Exports
from fastbp.files import model_file
from fastbp.streams import Source

CACHED_BYTES = 1 << 18  # of the activations of rows that are predicted together
FLOP_OF_ROW = 1000  # beside the products, by the time it takes

SESSIONS = ("_idle", "_spare", "_trained", "_derived")  # lists of them, for the next calls
EMBEDDED = ("_handle", "_former_handles")  # what compiled code has of a network
FIXED = ("sizes", "hidden", "output", "loss_function", "dtype", "input_scale")  # what the buffers of the kernels are laid out for


class Network(Parameters, Exports):
    """A fully connected network: z_l = a_(l-1) W_l^T + b_l, a_l = f_l(z_l), a_0 = s x with the input scale s.

    Parameters
    ----------
    sizes : sequence of int
        Numbers of inputs, of units of each hidden layer, and of outputs.
    hidden : str, Activation or list of them, default "relu"
        Activation of the hidden layers: one for all, or one each.
    loss : str or Loss, default "squared"
        "squared", "absolute", "huber", "quantile", "log_cosh"; "cross_entropy" (owns softmax), "binary_cross_entropy" (owns
        sigmoid), "poisson" and "gamma" (own exp). Kept as `loss_function`; `loss` is the method.
    output : str or Activation, optional
        Activation of the output layer, for a loss without a link of its own; default identity.
    dtype : {"float32", "float64"}, default "float32"
        Of parameters and computation.
    input_scale : float, default 1
        What X is multiplied by, in training as in prediction, e.g. 1 / 255 for images of uint8. At most 1, rounded to the dtype. X
        of uint8, int8 or float16 is not copied: kernels convert rows as they collect them, to ``X.astype(dtype) * input_scale``.
    init : str or Initializer, optional
        How weights are drawn; default by the activation of their layer: He for the rectifiers, LeCun for selu, else Glorot.
    weights, biases : list of array_like, optional
        The parameters themselves: weights[l] (n_out, n_in), biases[l] (n_out,). Copied.
    rng : None, int or numpy.random.Generator, optional
        Source of the random weights, and of the seed of `fit`.

    Attributes
    ----------
    params : ndarray (n_params,)
        [W_1, b_1, W_2, b_2, ...], each row-major. What the kernels read and train; to set it copies.
    weights, biases : sequences of ndarray
        Writable views of `params`: (n_out, n_in) and (n_out,) of each layer. To set one, or all of them, copies.
    rng : numpy.random.Generator
        May be set, also by a seed.
    sizes, hidden, output, loss_function, dtype, input_scale : tuple of int, tuple of Activation, Activation, Loss, dtype, float
        Fixed: for others make another network.

    Raises
    ------
    ValueError, TypeError
        Naming the argument at fault.

    Examples
    --------
    >>> net = Network([2, 3, 1], hidden="tanh", rng=0)
    >>> net(np.zeros((5, 2))).shape
    (5, 1)
    """

    encoder: Any = None  # of tables, see `fastbp.tabular_network`

    def __init__(
        self,
        sizes,
        hidden="relu",
        loss="squared",
        *,
        output=None,
        dtype="float32",
        input_scale=1.0,
        init=None,
        weights=None,
        biases=None,
        rng=None,
    ):
        self.sizes = validation.layer_sizes(sizes)
        self.loss_function = losses.get(loss)
        self.hidden = activations.of_layers(hidden, len(self.sizes) - 2)
        self.output = self._output_activation(output)
        self.dtype = validation.precision(dtype)
        self.input_scale = validation.scale_of_inputs(input_scale, self.dtype)
        self.rng = validation.generator(rng)
        count = self._count_parameters()
        memory.check_room(f"sizes={self.sizes}", count * self.dtype.itemsize)
        self._vector = memory.zeros(count, self.dtype)
        wide = max(n_in + n_out for n_in, n_out in pairwise(self.sizes))
        self._together = min(256, max(96, CACHED_BYTES // (wide * self.dtype.itemsize)))  # rows that are predicted together
        self._few = int(threads.FLOP_PER_START / count)  # rows that one thread predicts
        self._idle: list[Session] = []  # sessions of predictions, each used by one thread at a time
        self._spare: list[Session] = []  # the last session of a loss or gradient, if small
        self._trained: list[Session] = []  # that of the last training, if small
        self._derived: list[Session] = []  # as `_idle`, of derivatives with respect to the inputs
        self._turn = Turn("network")
        self._initialise(init, weights, biases)

    def _count_parameters(self):
        return parameter_offsets(self.sizes)[-1][2]

    def _output_activation(self, output):
        link = self.loss_function.link
        if link is None:
            return activations.get("identity" if output is None else output, "output")
        if output is not None and output != link and getattr(output, "name", None) != link:
            raise ValueError(f"output must be left out or {link!r}: {self.loss_function.name} is computed together with it")
        return activations.Softmax() if link == "softmax" else activations.get(link)

    def _initialise(self, init, weights, biases):
        shared = None if init is None else initializers.get(init)
        if biases is not None:
            self.biases = biases
        if weights is not None:
            self.weights = weights
            return
        for w, b, activation in zip(self.weights, self.biases, (*self.hidden, self.output), strict=True):
            initializer = shared or initializers.get(activation.init)
            w[:] = initializer.weights(self.rng, *w.shape)
            if biases is None:
                b[:] = initializer.biases(self.rng, b.size)

    @property
    def rng(self) -> np.random.Generator:
        """Source of the seed of `fit`."""
        return self._rng

    @rng.setter
    def rng(self, value):
        self._rng = validation.generator(value)

    def __setattr__(self, name, value):
        if name in FIXED and hasattr(self, name):
            raise AttributeError(f"{name} of a network is fixed: make another by fastbp.Network, which takes weights and biases")
        super().__setattr__(name, value)

    def __delattr__(self, name):
        raise AttributeError(f"{name} of a network cannot be deleted")

    def __repr__(self) -> str:
        hidden = [activation.name for activation in self.hidden]
        scale = "" if self.input_scale == 1.0 else f", input_scale={self.input_scale:g}"
        return f"Network({list(self.sizes)}, hidden={hidden}, loss={self.loss_function!r}, dtype={self.dtype.name!r}{scale})"

    _repr_html_ = display.of_network

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name not in (*SESSIONS, *EMBEDDED, "_turn")}

    def __setstate__(self, state):
        self.__dict__.update(state)
        count, vector = self._count_parameters(), state["_vector"]
        if vector.shape != (count,) or vector.dtype != state["dtype"]:
            raise ValueError(f"the pickle is damaged: it has {vector.shape} parameters of {vector.dtype} for {state['sizes']}")
        own = memory.zeros(count, vector.dtype)  # joblib maps large arrays into its workers read-only
        own[:] = vector
        self.__dict__.update(_vector=own, _turn=Turn("network"), **{name: [] for name in SESSIONS})

    def _settings(self) -> dict:
        """Arguments that make a network of this kind."""
        output = None if self.loss_function.link else self.output
        settings = {"sizes": self.sizes, "hidden": list(self.hidden), "loss": self.loss_function, "output": output}
        return settings | {"dtype": self.dtype, "input_scale": self.input_scale}

    def _beside(self, vector, rng) -> "Network":
        """A network with equal settings whose parameters are in `vector`."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__getstate__(), _vector=vector, _rng=rng, _turn=Turn("network"))
        other.__dict__.update({name: [] for name in SESSIONS})
        return other

    def copy(self, dtype=None) -> "Network":
        """A network with equal settings and parameters of its own.

        Parameters
        ----------
        dtype : {"float32", "float64"}, optional
            By default the same.
        """
        settings = self._settings() | ({} if dtype is None else {"dtype": dtype})
        return Network(**settings, weights=self.weights, biases=self.biases, rng=deepcopy(self.rng))

    # --- outputs ---------------------------------------------------------------------------------------------------------

    def __call__(self, X, n_threads=None) -> np.ndarray:
        """Outputs of the network.

        Parameters
        ----------
        X : array_like or sparse matrix, (n_samples, n_inputs), or array_like (n_inputs,), or `stream`
            Of a stream the inputs are read, block by block, whether or not it has targets.
        n_threads : int, optional
            Threads at most; by default as many as `fastbp.engine.threads` finds usable. Few rows are the work of one. The result is
            the same.

        Returns
        -------
        ndarray, (n_samples, n_outputs) or (n_outputs,)
            Activations of the last layer: probabilities for the cross-entropies. A row's result does not depend on the others.
        """
        if type(X) is np.ndarray and n_threads is None:
            # nearly all calls: a few samples that are as they should be
            shape = X.shape
            count = shape[0] if len(shape) == 2 else 1
            if 0 < count <= self._few and 0 < len(shape) < 3 and shape[-1] == self.sizes[0] and X.dtype == self.dtype:
                n_outputs = self.sizes[-1]
                try:
                    outputs = np.empty((count, n_outputs) if len(shape) == 2 else n_outputs, self.dtype)
                    if self._fill(X, count, outputs):
                        return outputs
                except TypeError:  # not C-contiguous
                    pass
        elif isinstance(X, Source):
            return stream_evaluation.outputs_of(self, X, n_threads)
        elif hasattr(X, "tocsr"):
            return self._outputs(self._samples("X", X), n_threads)
        rows = validation.numbers("X", X, self.dtype, validation.KEPT)
        if rows.ndim == 1:
            if rows.size != self.sizes[0]:
                validation.matrix("X", rows[None], self.sizes[0])
            if n_threads is not None:
                validation.integer("n_threads", n_threads)
            outputs = np.empty(self.sizes[-1], self.dtype)
            self._fill(rows, 1, outputs)
            return outputs
        return self._outputs(validation.matrix("X", rows, self.sizes[0]), n_threads)

    def _outputs(self, rows, n_threads=None):
        """Outputs (n_samples, n_outputs) for rows that have passed validation; many are divided among threads, and among calls."""
        if n_threads is not None:
            validation.integer("n_threads", n_threads)
        count, flop = len(rows), 2.0 * self._vector.size * len(rows)
        outputs = np.empty((count, self.sizes[-1]), self.dtype)
        members = min(count, threads.members_for(flop, n_threads, threads.FLOP_PER_START))
        most = seconds_of_call(self, 2) * FIRST_RATE  # flop; two copies tell if the packed parameters are current
        parts = min(count, max(members, int((flop + FLOP_OF_ROW * count) / most)))
        bounds = [count * part // parts for part in range(parts + 1)]
        threads.divide(
            lambda part: self._fill(rows[slice(*part)], part[1] - part[0], outputs[slice(*part)]), pairwise(bounds), members
        )
        del self._idle[1:]  # each has a copy of the parameters
        return outputs

    def _fill(self, rows, count, outputs):
        """Outputs, overwritten, of `count` rows that have passed validation, in a session of this thread; whether X is finite."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = None
        if session is None or (session.batch < count and session.batch < self._together) or not session.takes(rows):
            session = Session(self, min(count, self._together), entries=self._entries(rows))
        try:
            return session.predict(count, rows, outputs)
        finally:
            self._idle.append(session)

    def _entries(self, rows):
        """Of sparse rows; the zeros of an array that is read once are not worth looking for."""
        return None if type(rows) is np.ndarray else sparsity.entries_for(self, rows)

    def _samples(self, name, X):
        """Samples, after a check."""
        return validation.samples(name, X, self.sizes[0], self.dtype)

    # functions themselves, so that editors, type checkers and help() show every option
    predict = evaluating.predict
    score = evaluating.score
    loss = evaluating.loss
    value_and_grad = evaluating.value_and_grad
    trace = trace.trace
    check_gradients = gradcheck.check_gradients

    jacobian = derivatives.jacobian
    vjp = derivatives.vjp
    jvp = derivatives.jvp

    @property
    def cfunc(self):
        """The network as a C function: a `fastbp.embed.CFunction`, made anew at each look."""
        return embed.CFunction(self)

    _numba_type_ = property(embed.kind_of_network)  # what Numba asks for the type of a value

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if cls.__call__ is not Network.__call__:
            cls._numba_type_ = property(_refuse)

    # --- training --------------------------------------------------------------------------------------------------------

    @property
    def trainer(self):
        """``net.trainer(...)`` is a `fastbp.Trainer` of the network, which lists the options."""
        return partial(Trainer, self)

    fit = training.fit

    def save(self, path, extra=None) -> None:
        """Write the network to a file, replacing it in one step and keeping its permissions.

        Its sizes, activations, loss, dtype, input scale and parameters are kept to the bit. `fastbp.load` reads it.

        Parameters
        ----------
        path : str, path or binary file
            To a file that is open, or what has `write` as one has, the network is written from where it is.
        extra : dict, optional
            More to keep with the network: anything JSON can hold exactly. `fastbp.files.model_file.read_header` gives it back.

        Raises
        ------
        ValueError
            If `extra` holds NaN or infinity.
        TypeError
            If `extra` holds what JSON cannot, or `path` is no path and no binary file.
        OSError
            If the file cannot be written; a file that was there before is still there.
        """
        model_file.write(path, self._settings(), self._vector, extra)


def _refuse(net):
    raise TypeError(f"compiled code would not call {type(net).__name__}.__call__, but the network alone: pass net.copy()")
