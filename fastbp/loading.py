"""Networks from files."""

from fastbp.engine import validation
from fastbp.exports import keras_model, safetensors_file, torch_module
from fastbp.exports.onnx import reading
from fastbp.files import model_file
from fastbp.network import Network
from fastbp.networks import Networks


def load(path) -> Network | Networks:
    """Read a network, or many, from a file.

    Parameters
    ----------
    path : str, path or binary file
        What `Network.save` or `Networks.save` wrote; of a file that is open it is read from where it is, and no further.

    Returns
    -------
    Network or Networks
        Equal to what was saved to the bit. The state of an optimiser is not part of it.

    Raises
    ------
    ModelFormatError
        If the file is damaged in any way, is of a newer format, or is no model file.
    OSError
        If the file cannot be read.
    TypeError
        If `path` is no path and no binary file.

    Examples
    --------
    >>> import io
    >>> import fastbp
    >>> net, file = fastbp.Network([2, 3, 1], rng=0), io.BytesIO()
    >>> net.save(file)
    >>> position = file.seek(0)
    >>> (fastbp.load(file).params == net.params).all()
    np.True_
    """
    settings, params, many = model_file.read(path)
    try:
        if many is not None:
            nets = Networks(len(many), **settings)
            nets.params[:] = many
            return nets
        net = Network(**settings)
    except (ValueError, TypeError) as error:
        raise model_file.cannot_be_built(path, error) from error
    net.params[:] = params
    return net


def from_keras(model, *, loss=None) -> Network:
    """The network that a model of Keras is, with copies of its parameters.

    Parameters
    ----------
    model : keras.Model
        Sequential, or a functional chain, of Dense and activations that fastbp has, as layers, names or objects; a Rescaling in
        front without an offset becomes `input_scale`. InputLayer, Flatten, Identity and layers that do something in training only
        (Dropout) are left out; models may be inside models, and none may have a `call` of its own.
    loss : str or Loss, optional
        That of the network. By default the one that the model was compiled with, if there is such a loss for its outputs, up to a
        mean over the outputs in place of a sum; else by the last activation: "cross_entropy" for softmax, "binary_cross_entropy"
        for sigmoid, "squared" for others. Given for a model that ends in raw outputs, its activation is put behind them.

    Returns
    -------
    Network
        Of float32 or float64, as the parameters are.

    Raises
    ------
    ValueError
        If the model is no such chain, or the loss is none of its outputs: the message names the layer.
    TypeError
        If `model` is no model of Keras.

    Examples
    --------
    Whatever says of itself what models and layers of Keras say is read:

    >>> class Dense:
    ...     get_weights = lambda self: [np.ones((4, 3)), np.zeros(3)]
    ...     get_config = lambda self: {"name": "dense", "activation": "softmax"}
    >>> class Sequential:
    ...     layers = [Dense()]
    ...     get_config = lambda self: {}
    >>> from_keras(Sequential())
    Network([4, 3], hidden=[], loss=CrossEntropy(smoothing=0.0), dtype='float64')
    """
    return Network(**keras_model.arguments(model, loss))


def from_onnx(path, *, loss=None, dtype=None) -> Network:
    """Read a network from an ONNX file.

    `Network.to_onnx`, PyTorch, Keras (by tf2onnx) and scikit-learn (by skl2onnx) write such. The graph must be one chain of layers:
    Gemm, or MatMul and Add, then an activation, known by what it computes, however many operators it is made of. Batch
    normalisation beside a layer, and what scales or shifts columns of X, is folded into the weights; one scale of all of X becomes
    `input_scale`. Outputs that are classes are left out, and of p and 1 - p there is p. Needs ``pip install 'fastbp[exports]'``.

    Parameters
    ----------
    path : str, path or bytes
        A file, or what is in one. No other file is read.
    loss : str or Loss, optional
        That of the network. By default the one that `Network.to_onnx` has noted, else by the outputs: "cross_entropy" for softmax,
        "binary_cross_entropy" for sigmoid, "squared" for others. Given for a graph that ends in raw outputs, its activation is put
        behind them: "cross_entropy" makes probabilities of logits.
    dtype : {"float32", "float64"}, optional
        By default "float64" if a weight is, else "float32".

    Returns
    -------
    Network
        With the parameters of the file, to the same bits where nothing is folded into them.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ModelFormatError
        If the file is damaged, or its graph is not such a chain: the message names the node.
    OSError
        If the file cannot be read.
    ValueError, TypeError
        If `loss` or `dtype` is at fault.

    Examples
    --------
    >>> net = Network([2, 3, 1], "gelu", rng=0)
    >>> net.to_onnx("net.onnx")
    >>> (from_onnx("net.onnx").params == net.params).all()
    np.True_
    """
    if dtype is not None:
        dtype = validation.precision(dtype)
    arguments = reading.arguments(path, loss, dtype)
    try:
        return Network(**arguments)
    except (ValueError, TypeError) as error:
        raise reading.cannot_be_built(path, error) from error


def from_torch(module, *, loss=None) -> Network:
    """The network that a module of PyTorch is, with copies of its parameters; needs PyTorch.

    Parameters
    ----------
    module : torch.nn.Module
        A ``torch.nn.Sequential``, also of others, of Linear and activations that fastbp has, on the CPU. Flatten, Identity and
        Dropout are left out, whatever the mode of the module is; a Linear without biases has zeros.
    loss : str or Loss, optional
        That of the network. By default by the last activation: "cross_entropy" for softmax, "binary_cross_entropy" for sigmoid,
        "squared" for others. Given for a module that ends in raw outputs, its activation is put behind them: "cross_entropy" makes
        probabilities of logits.

    Returns
    -------
    Network
        Of float32 or float64, as the parameters are.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    ValueError
        If the module is no such sequence, or the loss is none of its outputs: the message names the module and its position.
    TypeError
        If `module` is no module of PyTorch.

    Examples
    --------
    >>> from torch import nn  # doctest: +SKIP
    >>> from_torch(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), loss="cross_entropy")  # doctest: +SKIP
    Network([4, 8, 3], hidden=['tanh'], loss=CrossEntropy(smoothing=0.0), dtype='float32')
    """
    return Network(**torch_module.arguments(module, loss))


def load_safetensors(path, *, hidden=None, loss=None, output=None) -> Network:
    """Read a network from a file in the format of safetensors; needs ``pip install 'fastbp[exports]'``.

    Files of other libraries have tensors only, so what else there is to the network must be said. Their tensors must be those of
    one chain of layers, numbered in order, such as "0.weight" (n_out, n_in) and "0.bias" (n_out,) of a ``torch.nn.Sequential``,
    with or without a common beginning; where a layer has no biases, they are 0.

    Parameters
    ----------
    path : str or path
        What `Network.save_safetensors` wrote, or another library.
    hidden : str, Activation or list of them, optional
        As of `Network`, for a file of another library.
    loss : str or Loss, optional
        Likewise, by default "squared".
    output : str or Activation, optional
        Likewise.

    Returns
    -------
    Network
        With the parameters of the file, to the same bits.

    Raises
    ------
    ImportError
        If safetensors is not installed.
    ModelFormatError
        If the file is damaged in any way, or its tensors are not those of a network.
    OSError
        If the file cannot be read.
    ValueError, TypeError
        If `hidden`, `loss` or `output` is at fault, or given for a file that says them itself.

    Examples
    --------
    >>> net = Network([2, 3, 1], rng=0)
    >>> net.save_safetensors("net.safetensors")
    >>> (load_safetensors("net.safetensors").params == net.params).all()
    np.True_
    """
    settings, weights, biases = safetensors_file.arguments(path, hidden, loss, output)
    try:
        net = Network(**settings)
    except (ValueError, TypeError) as error:
        if hidden is not None:  # what was given does not fit
            raise
        raise model_file.cannot_be_built(path, error) from error
    for place, array in zip((*net.weights, *net.biases), (*weights, *biases), strict=True):
        place[...] = array
    return net
