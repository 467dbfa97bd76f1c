"""The same network in plain NumPy: the oracle of the tests and the baseline of the benchmarks.

It imports nothing of the package, its own modules by relative imports: so that today's baseline can be loaded by path beside
another version of it, and because an oracle that shares a formula with its subject would prove nothing.
"""

from .network import Network as Network
from .network import from_network as from_network
