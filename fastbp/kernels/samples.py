"""The samples of a call, and which of them a mini-batch is made of.

Legend: N samples of the data; B samples of the mini-batch; I inputs and O outputs of the network.
"""

from typing import Any, NamedTuple

from fastbp.compiler import inline, kernel
from fastbp.simd.kinds import OWN, number_as

LEAST_WEIGHT = 1e-300  # of a mini-batch that does not weigh nothing: the inverse of a smaller one might not be a number


class Data(NamedTuple):
    """Pointers to the samples of a call; what is not needed is never read."""

    x: Any  # (N, I), to be read as the plan's conversion says; or, of samples that come without their zeros, their numbers
    columns: Any  # of these numbers
    starts: Any  # (N + 1,): where those of each sample begin
    y: Any  # (N, O): targets
    labels: Any  # (N,): targets that are classes
    sample_weight: Any  # (N,), float64
    outputs: Any  # (N, O): outputs of the samples, overwritten where the plan says so, and by predictions


class Batch(NamedTuple):
    """A mini-batch, or a block of one."""

    samples: Any  # pointer to their numbers, (count,)
    count: int  # B
    epoch: int
    first: int  # place of the first among the rows of the epoch
    inverse: float  # 1 over the sum of the weights of the whole mini-batch, 0 if it weighs nothing


class Numbers(NamedTuple):
    """The numbers of samples that are not those which are computed with."""

    x: Any
    kind: int  # see `fastbp.simd.kinds`, whose functions read them
    scale: float  # what they are multiplied by; the network's dtype holds it exactly


@inline
def set_conversion(plan, reals, kind):
    """Let the plan say how the numbers of a call are read; here and not by Python, for the kernel sees what array it is given."""
    plan.conversion = 0 if kind == OWN and reals.input_scale == 1.0 else 1 + kind


@inline
def numbers_of(plan, reals, data):
    """The numbers of the samples, where there is a conversion."""
    return Numbers(data.x, plan.conversion - 1, reals.input_scale)


@inline
def number_of(numbers, index):
    """One of them, as it is computed with."""
    return number_as(numbers.x, numbers.kind, index) * numbers.scale


@kernel
def batch_of(plan, data, samples, count, epoch, first):
    """The mini-batch of so many samples: rows of an epoch, from `first` on."""
    total = float(count)
    if plan.weighted == 1:
        total = 0.0
        for j in range(count):
            total += data.sample_weight[samples[j]]
    return Batch(samples, count, epoch, first, 0.0 if total < LEAST_WEIGHT else 1.0 / total)


@inline
def block_of(batch, top, count):
    """So many samples of a mini-batch, from `top` on."""
    return Batch(batch.samples + top, count, batch.epoch, batch.first + top, batch.inverse)


@inline
def weight_of(plan, data, batch, j):
    """The weight of sample j of a mini-batch, still to be multiplied by `factor_of_weights`.

    Weights of the user are divided by their sum in float64, before they become numbers of the network: they may be of any size.
    """
    return data.sample_weight[batch.samples[j]] * batch.inverse if plan.weighted == 1 else 1.0


@inline
def factor_of_weights(plan, batch):
    """What the weights of `weight_of` are still to be multiplied by."""
    return 1.0 if plan.weighted == 1 else batch.inverse
