"""What lies packed in the buffers of a session, in and out by NumPy: for what is not done in every step.

Legend: P columns of a panel, 1 where rows follow each other whole (narrow networks); I inputs and O outputs of a layer.
"""

import numpy as np


def _views(plan, packed, params, panel):
    """(packed W (O, I), its place in params, packed b (O,), its place), views of each layer."""
    for layer in plan.layers:
        n_in, n_out, start, weights, biases = (int(layer[name]) for name in ("n_in", "n_out", "pack", "weights", "biases"))
        n_panels = -(-n_out // panel)
        rows = packed[start : start + n_panels * panel * (n_in + 1)].reshape(n_panels, n_in + 1, panel)
        # a panel has the inputs one below the other, a unit in each column
        units = np.swapaxes(rows, 1, 2)
        yield units, params[weights : weights + n_out * n_in].reshape(n_out, n_in), params[biases : biases + n_out]


def _beyond_layers(plan, packed, params, panel):
    """(packed rows, their place in params) of an encoder and of the betas of parametric activations, if there are any."""
    if not plan.tabular:
        return
    pieces = [(plan.scales, 1, int(plan.layers[0]["n_in"]), panel), (plan.periods, plan.period_rows, plan.periodic, panel // 2)]
    pieces.append((plan.table, plan.table_rows, plan.embedding, 1))
    pieces += [(int(row["blend"]), 1, int(row["n_out"]), panel) for row in plan.layers if row["blend"]]
    place = plan.encoder_params
    for start, rows, count, unit in pieces:
        stride = -(-count // unit) * unit
        whole = packed[start : start + rows * stride].reshape(rows, stride)
        yield whole[:, :count], params[place : place + rows * count].reshape(rows, count)
        place += rows * count


def unpack(plan, packed: np.ndarray, params: np.ndarray, panel: int) -> None:
    """Write what is packed like the weights, as slots are, into a vector like `params`."""
    for units, weights, biases in _views(plan, packed, params, panel):
        whole = units.reshape(-1, units.shape[2])[: len(biases)]
        weights[:], biases[:] = whole[:, :-1], whole[:, -1]
    for rows, own in _beyond_layers(plan, packed, params, panel):
        own[:] = rows


def pack(plan, params: np.ndarray, packed: np.ndarray, panel: int) -> None:
    """Write a vector like `params` as the weights are packed; what is beyond the last unit stays as it is."""
    for units, weights, biases in _views(plan, packed, params, panel):
        for first in range(0, len(biases), panel):
            last = min(first + panel, len(biases))
            part = units[first // panel, : last - first]
            part[:, :-1], part[:, -1] = weights[first:last], biases[first:last]
    for rows, own in _beyond_layers(plan, packed, params, panel):
        rows[:] = own


def matrix(plan, work: np.ndarray, layer: int, region: str, panel: int) -> np.ndarray:
    """Rows (N, n) of a place of a layer, "input", "activation", "raw" or "delta", copied out of its panels."""
    row, stride = plan.layers[layer], plan.panel_stride
    count, start = int(row["n_in" if region == "input" else "n_out"]), int(row[region])
    n_panels = -(-count // panel)
    block = work[start : start + n_panels * stride].reshape(n_panels, -1, panel)[:, : plan.n_rows]
    return np.ascontiguousarray(block.transpose(1, 0, 2).reshape(-1, n_panels * panel)[:, :count])
