"""The training kernels by themselves: `python -m benchmarks.kernels_alone`.

A burst is one call of the kernel, as long as those of a fit, on the workload's data in its order; no checks, no other contestant.
Before and after each the FMA peak of the same core is measured: a share of the peak is that of the mean of the two. The first burst
must have ended with the weights of the NumPy baseline in float64.
"""

import argparse
from time import process_time

import numpy as np

from fastbp.bench.machine import Machine, cores, cpu
from fastbp.bench.measure import Reference
from fastbp.bench.report import number, table
from fastbp.bench.statistics import median_interval
from fastbp.bench.worker import Turns
from fastbp.engine.rule import RunningRule
from fastbp.engine.supervisor import Supervisor

from . import common

PEAK_SECONDS = 0.01
HEAD = ("workload", "us a step", "least", "GFLOP/s", "of peak", "at best")


class Burst:
    """Calls of the kernel that each go some epochs from the workload's first weights, as those of a fit do.

    Parameters
    ----------
    name : str
        Of a workload with a rule.
    dtype : {"float32", "float64"}
    """

    def __init__(self, name, dtype):
        self.contestant = contestant = common.ready(name, dtype=dtype)
        self.workload, data = contestant.workload, contestant.data
        rule = contestant.rule(self.workload.learning_rate)
        self.session = session = RunningRule(rule).open(contestant.net, self.workload.batch_size, data.X, None, 1)
        labels = data.y if data.y.ndim == 1 else None
        session.set_data(
            data.X, data.y if labels is None else None, labels, order=None if data.order is None else data.order.astype(np.int32)
        )
        self.epochs = max(1, Supervisor(session).pieces // self.workload.steps_per_epoch)
        session.set_rates(np.full(self.epochs, rule.learning_rate))
        session.set_record(self.epochs)
        session.set_order(False)
        self.first = session.rule_state()

    def seconds(self):
        """Time of the processor for one burst, by step."""
        self.contestant.reset()
        self.session.set_rule_state(self.first)
        self.session.begin()
        start = process_time()
        self.session.train_to(self.epochs)
        return (process_time() - start) / (self.epochs * self.workload.steps_per_epoch)


def measure(name, dtype, rounds):
    """A row of the table."""
    burst, machine = Burst(name, dtype), Machine(dtype, 1)
    burst.seconds()
    difference = Reference(burst.workload).difference(burst.contestant, burst.epochs)
    assert difference <= burst.contestant.tolerance(burst.workload, dtype), f"{name} ends {difference:.1e} from the baseline"
    machine.flops(PEAK_SECONDS)
    peaks, steps = [machine.flops(PEAK_SECONDS)], []
    for _ in range(rounds):
        steps.append(burst.seconds())
        peaks.append(machine.flops(PEAK_SECONDS))
    steps, peaks = np.array(steps), np.array(peaks)
    rates = burst.workload.flop_per_epoch / burst.workload.steps_per_epoch / steps
    share = median_interval(rates / (peaks[1:] + peaks[:-1]) * 2)
    return (
        name,
        number(1e6 * np.median(steps)),
        number(1e6 * steps.min()),
        number(np.median(rates) / 1e9),
        f"{100 * share.estimate:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})",
        f"{100 * rates.max() / peaks.max():.0f} %",
    )


if __name__ == "__main__":
    trained = [name for name in common.NAMES if common.workloads.get(name).rule]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("workload", nargs="*", choices=[[], *trained], default=[])
    chosen = parser.parse_args()
    Turns("machine", 1).pin(cores()[-1])
    print(f"{cpu()}, {chosen.dtype}\n")
    print(table(HEAD, [measure(name, chosen.dtype, chosen.rounds) for name in chosen.workload or trained], markdown=True))
