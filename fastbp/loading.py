"""Networks from files."""

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
