"""How long a step of one of 64 small networks takes where all are trained in one call; `python -m benchmarks.many_networks`.

All ways take turns, on one core. Before they are timed, ours and JAX's must end with the same weights.
"""

import argparse
import importlib.util
import os
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np

COUNT, BATCHES, RATE = 64, 8, 0.01
# sizes, activation, output, mini-batch, epochs
SHAPES = [
    ((2, 3, 3, 2), "sigmoid", "sigmoid", 50, 100),
    ((8, 16, 2), "tanh", "identity", 32, 60),
    ((30, 64, 32, 2), "relu", "identity", 32, 30),
]


def in_jax(sizes, output, activation, batch):
    """(from first weights, seeds, X, y, epochs, whether to shuffle: trained weights) by `vmap` over the networks."""
    import jax
    import jax.numpy as jnp

    functions = {"sigmoid": jax.nn.sigmoid, "tanh": jnp.tanh, "relu": jax.nn.relu, "identity": lambda z: z}
    names = [activation] * (len(sizes) - 2) + [output]

    def loss(layers, x, y):
        for (w, b), name in zip(layers, names, strict=True):
            x = functions[name](x @ w.T + b)
        return 0.5 * jnp.mean(jnp.sum((x - y) ** 2, axis=-1))

    def step(layers, samples):
        grads = jax.grad(loss)(layers, *samples)
        return jax.tree.map(lambda weight, grad: weight - RATE * grad, layers, grads), None

    def epoch(i, layers, seed, X, y, shuffle):
        if shuffle:
            order = jax.random.permutation(jax.random.fold_in(seed, i), len(X))
            X, y = X[order], y[order]
        parts = X.reshape(-1, batch, X.shape[1]), y.reshape(-1, batch, y.shape[1])
        return jax.lax.scan(step, layers, parts)[0]

    @partial(jax.jit, static_argnums=(4, 5))
    def train(layers, seeds, X, y, epochs, shuffle):
        def one(layers, seed):
            return jax.lax.fori_loop(0, epochs, lambda i, layers: epoch(i, layers, seed, X, y, shuffle), layers)

        return jax.vmap(one)(layers, seeds)

    return lambda *arguments: jax.block_until_ready(train(*arguments))


def ways(sizes, activation, output, batch, epochs):
    """Name and function of each way to train `COUNT` networks for so many epochs."""
    from fastbp import SGD, Networks

    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch * BATCHES, sizes[0])).astype(np.float32)
    y = rng.random((len(X), sizes[-1])).astype(np.float32)
    nets = Networks(COUNT, sizes, activation, output=output, rng=0)
    first = nets.params.copy()
    fit = partial(nets.fit, X, y, epochs=epochs, batch_size=batch, optimizer=SGD(RATE), n_threads=1)

    def fits():
        for net in nets:
            net.fit(X, y, epochs=epochs, batch_size=batch, optimizer=SGD(RATE), n_threads=1)

    found = {"in order": partial(fit, shuffle=False), "shuffled": fit, "shuffled, one by one": fits}
    if importlib.util.find_spec("jax"):
        import jax

        train = in_jax(sizes, output, activation, batch)
        parts = [[(net.weights[i], net.biases[i]) for net in nets] for i in range(len(sizes) - 1)]
        layers = [tuple(map(np.stack, zip(*part, strict=True))) for part in parts]
        seeds = jax.random.split(jax.random.key(0), COUNT)
        trained = train(layers, seeds, X, y, epochs, False)
        fit(shuffle=False)
        for i, (w, _) in enumerate(trained):
            np.testing.assert_allclose(w, np.stack([net.weights[i] for net in nets]), rtol=1e-3, atol=1e-4)
        nets.params[:] = first
        found["in order, JAX vmap"] = partial(train, layers, seeds, X, y, epochs, False)
        found["shuffled, JAX vmap"] = partial(train, layers, seeds, X, y, epochs, True)
    return found


def main():
    """Print a table of microseconds a step of a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for shape in SHAPES:
        found = ways(*shape)
        for train in found.values():
            train()
        times = {name: [] for name in found}
        for _ in range(arguments.rounds):
            for name, train in found.items():
                start = perf_counter()
                train()
                times[name].append((perf_counter() - start) / (COUNT * BATCHES * shape[4]) * 1e6)
        print(f"{'-'.join(map(str, shape[0]))} {shape[1]}, mini-batches of {shape[3]}: microseconds a step of a network")
        for name, each in times.items():
            base = times[name.partition(",")[0]]
            ratio = median(other / own for other, own in zip(each, base, strict=True))
            print(f"    {name:24} {min(each):7.3f} least, {median(each):7.3f} median, {ratio:5.1f} x")


if __name__ == "__main__":
    main()
