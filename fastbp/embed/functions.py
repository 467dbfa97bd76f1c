"""Networks as C functions."""

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.embed.handles import handle_of
from fastbp.kernels.embedded.functions import integrand, predict

SIGNATURE = "int (*)(const void *network, int64_t rows, const {0} *x, {0} *out)"


class CFunction:
    """A network as C functions, with a pointer for their argument `network`; `fastbp.h` in `include` declares them.

    Both may be called by any number of threads, with or without the GIL. They are good, and the network is kept, as long as this
    object or one of its attributes that are objects of ctypes lives.

    Parameters
    ----------
    net : Network

    Attributes
    ----------
    network : int
        What both are given as `network`.
    address : int
        Of ``int fastbp_predict(const void *network, int64_t rows, const T *x, T *out)``: outputs (rows, n_outputs) for x (rows,
        n_inputs), row-major, T the network's dtype. It gives 0; 1 where x holds NaN or infinity.
    ctypes : ctypes function
        The same for Python; its argument `network` is `network`.
    integrand : ctypes function
        ``double fastbp_integrand(int count, double *x, void *network)``, as `scipy.integrate` takes it by
        ``scipy.LowLevelCallable(f.integrand, f.user_data)``: the output for `count` inputs, of a network of float64 with one.
    user_data : ctypes.c_void_p
        `network`, as that takes it.
    include : str
        The folder of fastbp.h.

    Examples
    --------
    >>> import ctypes
    >>> import numpy as np
    >>> import fastbp
    >>> net = fastbp.Network([3, 4, 1], "tanh", dtype="float64", rng=0)
    >>> f = net.cfunc
    >>> x, out = np.ones((2, 3)), np.empty((2, 1))
    >>> number = ctypes.POINTER(ctypes.c_double)
    >>> f.ctypes(f.network, 2, x.ctypes.data_as(number), out.ctypes.data_as(number))
    0
    >>> (out == net(x)).all()
    np.True_
    """

    include = str(Path(__file__).parent)

    def __init__(self, net: Any) -> None:
        handle = handle_of(net)
        self._net, self._kept = net, (net, handle)
        self.network = handle.address
        self.address = int(predict[net.dtype])
        own = ctypes.POINTER(np.ctypeslib.as_ctypes_type(net.dtype))
        self.ctypes = self._keeping(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, own, own)(self.address))
        self.user_data = self._keeping(ctypes.c_void_p(self.network))

    def _keeping(self, found: Any) -> Any:
        """The same, by which the network lives: SciPy, say, keeps no more than that."""
        found.kept = self._kept
        return found

    @property
    def integrand(self) -> Any:
        """The function of scalar integrands."""
        net = self._net
        if net.dtype != np.float64 or net.sizes[-1] != 1:
            raise TypeError(f"integrand is for a network of float64 with one output, this is of {net.dtype} with {net.sizes[-1]}")
        kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int, ctypes.POINTER(ctypes.c_double), ctypes.c_void_p)
        return self._keeping(kind(int(integrand["float64"])))

    def __repr__(self) -> str:
        kind = {"float32": "float", "float64": "double"}[self._net.dtype.name]
        return f"CFunction({SIGNATURE.format(kind)} at {self.address:#x}, network={self.network:#x})"
