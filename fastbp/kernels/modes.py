"""What a call of :func:`fastbp.kernels.train.run` does.

TRAIN: mini-batches, parameters packed before and unpacked after. STEP: one mini-batch, the first N of `order`, with rates[0];
parameters stay as they are where it diverges. DIFFERENTIATE: `out` = the gradient, like `params`, of the mean loss of these rows
and the L2 penalty. EVALUATE: the loss only. PREDICT: `out` = outputs (N, O). VJP, JVP, JACOBIAN: derivatives with respect to the
inputs, see :func:`fastbp.kernels.derivatives.derive`. These and PREDICT are by one member. NORMAL_EQUATIONS, PRODUCT: J^T J, J
being d outputs / d parameters, see :func:`fastbp.kernels.curvature.call.curve`. GRADIENT, UPDATE, PACK, END_EPOCH: of training with
other processes, see :mod:`fastbp.kernels.data_parallel`.

Where the plan says so, TRAIN and EVALUATE write outputs (N, O), too.

Legend: N rows, plan.n_rows; O outputs.
"""

from fastbp.compiler import add_this_module

add_this_module()

TRAIN, STEP, DIFFERENTIATE, EVALUATE, PREDICT, VJP, JVP, JACOBIAN = range(8)  # the last three are one kind
NORMAL_EQUATIONS, PRODUCT = 8, 9  # of another entry
GRADIENT, UPDATE, PACK, END_EPOCH = range(10, 14)  # of a third
