"""The user's parameters and the packed ones: when to pack them, and to write them back.

Legend: L layers; W lanes of a register.
"""

from math import nan

from fastbp.compiler import inline, kernel, when_tabular
from fastbp.kernels.check import are_equal
from fastbp.kernels.encoder.features import periodic_stride
from fastbp.kernels.packing import copy, pack_weights, unpack_weights
from fastbp.kernels.products.gemm import count_panels


def _moving(move):
    move = inline(move)

    @when_tabular
    def move_encoder(plan, params, packed):
        """Scales, periodic embeddings, table and betas; what is between and after them in the packed buffer stays 0."""
        features, count, stride = plan.layers[0].n_in, plan.periodic, periodic_stride(plan, packed)
        own = params + plan.encoder_params
        move(own, packed + plan.scales, features)
        own = own + features
        for row in range(plan.period_rows):
            move(own + row * count, packed + plan.periods + row * stride, count)
        own = own + plan.period_rows * count
        move(own, packed + plan.table, plan.table_rows * plan.embedding)
        for number in range(plan.n_layers):
            layer = plan.layers[number]
            if layer.blend > 0:
                move(params + layer.blend_params, packed + layer.blend, layer.n_out)

    return move_encoder


_pack_encoder = _moving(lambda own, packed, count: copy(own, packed, count))
_unpack_encoder = _moving(lambda own, packed, count: copy(packed, own, count))


@kernel
def _pack_layers(plan, params, packed):
    """The packed parameters of every layer from the user's flat vector."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        w, b = params + layer.weights, params + layer.biases
        pack_weights(w, b, packed + layer.pack, layer.n_in, layer.n_out, 0, count_panels(layer.n_out, packed))
    if plan.tabular == 1:
        _pack_encoder(plan, params, packed)


@kernel
def unpack_layers(plan, packed, params):
    """The user's flat vector from packed parameters (or their gradients)."""
    for number in range(plan.n_layers):
        layer = plan.layers[number]
        unpack_weights(packed + layer.pack, params + layer.weights, params + layer.biases, layer.n_in, layer.n_out)
    if plan.tabular == 1:
        _unpack_encoder(plan, params, packed)


@kernel
def pack_changed(plan, params, work):
    """See to it that the packed parameters are the user's, who may have written others since the last call.

    Where there is a copy of what is packed, to tell that nothing has changed is three times as fast as packing.
    """
    if plan.copy == 0:
        _pack_layers(plan, params, work + plan.packed)
    elif not are_equal(params, work + plan.copy, plan.n_params):
        _pack_layers(plan, params, work + plan.packed)
        copy(params, work + plan.copy, plan.n_params)


@kernel
def write_back(plan, work, params):
    """The user's parameters from the packed ones."""
    unpack_layers(plan, work + plan.packed, params)
    if plan.copy > 0:
        copy(params, work + plan.copy, plan.n_params)


@inline
def forget_packed(plan, work):
    """Have the user's parameters packed by the next call, whatever they are."""
    if plan.copy > 0:
        work[plan.copy] = nan
