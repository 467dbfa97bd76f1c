"""Write model files of the current format beside this file, and what they hold: `python tests/golden/make.py`.

Files that are there are never written again: whatever the format becomes, they must be read. `--outputs` writes the outputs alone
anew, of all formats, for kernels that have been changed so that they round differently.
"""

import sys
from pathlib import Path

import numpy as np

import fastbp
from fastbp.files.model_file import VERSION
from fastbp.simd.register import register_bytes

HERE = Path(__file__).parent
DTYPES = "float32", "float64"
EXTRA = {"classes": ["ä", "b"], "mean": [0.1, 1 / 3, 5e-324], "columns": {"n": 3, "none": None, "yes": True}}
CASES = {
    "cross_entropy": {"sizes": [4, 6, 3], "hidden": "relu", "loss": "cross_entropy"},
    "binary": {"sizes": [4, 17, 2], "hidden": "gelu", "loss": "binary_cross_entropy"},
    "squared": {
        "sizes": [3, 5, 4, 2],
        "hidden": ["tanh", fastbp.ELU(0.37)],
        "loss": fastbp.SquaredError(reduction="mean"),
        "output": "sigmoid",
    },
    "huber": {"sizes": [9, 40, 1], "hidden": fastbp.LeakyReLU(1 / 3), "loss": fastbp.Huber(0.3)},
    "gamma": {"sizes": [2, 1], "loss": "gamma"},
}
SCALED = "cross_entropy"  # by 1 / 255, since format 2


def settings(case, dtype, version):
    """Arguments of the network of a case, but for its parameters."""
    scale = {"input_scale": 1 / 255} if case == SCALED and version > 1 else {}
    return CASES[case] | {"dtype": dtype} | scale


def made(case, dtype, version):
    """A network with parameters of every kind, and samples."""
    rng = np.random.default_rng([version, list(CASES).index(case), DTYPES.index(dtype)])
    net = fastbp.Network(**settings(case, dtype, version), rng=rng)
    net.params[:] = rng.normal(size=net.params.size) / 2
    net.params[0] = -0.0
    net.params[-1] = np.finfo(dtype).smallest_subnormal
    samples = rng.normal(size=(7, net.sizes[0])) * (255 if "input_scale" in settings(case, dtype, version) else 1)
    return net, samples.astype(dtype)


def outputs_of(version):
    """{case and dtype: outputs} of the files of a format, and the bytes of the registers that they were computed in."""
    with np.load(HERE / f"format{version}.npz") as known:
        names = [name.removesuffix("/X") for name in known.files if name.endswith("/X")]
        found = {f"{name}/outputs": fastbp.load(HERE / f"format{version}-{name}.fastbp")(known[f"{name}/X"]) for name in names}
        return dict(known) | found | {"register_bytes": np.array(register_bytes())}


def write():
    """The files of the current format, unless they are there."""
    if (HERE / f"format{VERSION}.npz").exists():
        return f"the files of format {VERSION} are there, and stay as they are"
    contents = {}
    for case in CASES:
        for dtype in DTYPES:
            net, X = made(case, dtype, VERSION)
            with open(HERE / f"format{VERSION}-{case}-{dtype}.fastbp", "xb") as file:
                pass
            net.save(file.name, EXTRA)
            contents |= {f"{case}-{dtype}/X": X, f"{case}-{dtype}/params": net.params.copy()}
    np.savez_compressed(HERE / f"format{VERSION}.npz", **contents)
    np.savez_compressed(HERE / f"format{VERSION}.npz", **outputs_of(VERSION))
    return f"wrote the files of format {VERSION}"


if __name__ == "__main__":
    if "--outputs" in sys.argv[1:]:
        for version in range(1, VERSION + 1):
            np.savez_compressed(HERE / f"format{version}.npz", **outputs_of(version))
    else:
        print(write())
