"""What a call of :func:`fastbp.kernels.train.run` does."""

from fastbp.compiler import add_this_module

add_this_module()

TRAIN, STEP, DIFFERENTIATE, EVALUATE, PREDICT, VJP, JVP, JACOBIAN = range(8)
