"""Examples for the pages of activations, losses, rules, minimisers, schedules and initialisers: one program for each kind."""

from fastbp import activations, initializers, losses, minimizers, optimizers, schedules

HEAD = "import matplotlib.pyplot as plt\nimport numpy as np\n\nimport fastbp\n"
ACTIVATION = """
z = np.linspace(-4, 4, 401).reshape(-1, 1)
net = fastbp.Network([1, 1], output={made}, weights=[[[1.0]]], biases=[[0.0]], dtype="float64")
plt.plot(z, net(z), label="f(z)")
plt.plot(z, net.jacobian(z)[:, 0], "--", label="f'(z)")
plt.xlabel("z")
plt.legend()
"""
SOFTMAX = """
z = np.linspace(-4, 4, 401).reshape(-1, 1)
weights, biases = [[[1.0], [0.0], [0.0]]], [[0.0, 0.0, 1.0]]
net = fastbp.Network([1, 3], loss="cross_entropy", weights=weights, biases=biases, dtype="float64")
plt.plot(z, net(z), label=["class 0", "class 1", "class 2"])
plt.xlabel("raw output of class 0; of the others 0 and 1")
plt.legend()
"""
LOSS = """
z = np.linspace(-3, 3, 121)
net = fastbp.Network([1, {count}], loss={made}, dtype="float64", rng=0)
values, slopes = [], []
for net.biases[0][0] in z:  # x = 0, so that this is the raw output
    value, gradient = net.value_and_grad([[0.0]], {target})
    values.append(value)
    slopes.append(gradient.biases[0][0])
plt.plot(z, values, label="loss")
plt.plot(z, slopes, "--", label="its derivative by z")
plt.xlabel("{of}")
plt.legend()
"""
RULE = """
X = np.random.default_rng(0).uniform(-1, 1, (500, 2))
net = fastbp.Network([2, 16, 1], "tanh", {dtype}rng=0)
history = net.fit(X, np.sin(3 * X[:, 0]) * X[:, 1], epochs=60, optimizer={made})
plt.semilogy(history.loss)
plt.xlabel("epochs")
plt.ylabel("loss")
"""
SCHEDULE = """
rates = fastbp.{made}.rates(1.0, epochs=50, steps=20)
plt.plot(np.linspace(0, 50, rates.size), rates.ravel())
plt.xlabel("epochs")
plt.ylabel("learning rate, as a part of the rule's")
"""
INITIALIZER = """
weights = fastbp.{made}.weights(np.random.default_rng(0), 200, 300)  # of 200 units that read 300 numbers
plt.hist(weights.ravel(), bins=100)
plt.xlabel("weight")
"""


def example(cls):
    """A program that draws what a registered class does."""
    made = f"{cls.__name__}()"
    public = f"fastbp.{made}"
    if cls is activations.Softmax:
        return HEAD + SOFTMAX
    if issubclass(cls, activations.Activation):
        return HEAD + ACTIVATION.format(made=public)
    if issubclass(cls, losses.Loss):
        count, target, of = 1, "[[1.0]]", "raw output z, for a target of 1"
        if cls.task == "labels":
            count, target, of = 2, "[0]", "raw output z of the right class; of the other 0"
        return HEAD + LOSS.format(made=public, count=count, target=target, of=of)
    if issubclass(cls, (optimizers.Optimizer, minimizers.Minimizer)):
        dtype = 'dtype="float64", ' if issubclass(cls, minimizers.Minimizer) else ""
        return HEAD + RULE.format(made=public, dtype=dtype)
    if issubclass(cls, schedules.Schedule):
        return HEAD + SCHEDULE.format(made=f"schedules.{made}")
    return HEAD + INITIALIZER.format(made=f"initializers.{made}")


def classes():
    """All of these."""
    registries = activations.ACTIVATIONS, losses.LOSSES, optimizers.OPTIMIZERS, minimizers.MINIMIZERS, schedules.SCHEDULES
    return [activations.Softmax, *(cls for each in (*registries, initializers.INITIALIZERS) for cls in each.classes)]
