"""Networks from files."""

from fastbp.files import model_file
from fastbp.network import Network


def load(path) -> Network:
    """Read a network from a file.

    Parameters
    ----------
    path : str, path or binary file
        What `Network.save` wrote; of a file that is open it is read from where it is, and no further.

    Returns
    -------
    Network
        Equal to the saved one to the bit. The state of an optimiser is not part of it.

    Raises
    ------
    ModelFormatError
        If the file is damaged in any way, is of a newer format, or is no model file.
    OSError
        If the file cannot be read.
    TypeError
        If `path` is no path and no binary file.
    """
    settings, params = model_file.read(path)
    try:
        net = Network(**settings)
    except (ValueError, TypeError) as error:
        raise model_file.cannot_be_built(path, error) from error
    net.params[:] = params
    return net
