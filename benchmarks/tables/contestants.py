"""Who fits the tables: name, what must be installed, and how users of it would do so. The cheapest come first.

Each builds a scikit-learn estimator that takes the table as it is. Categories go in natively where a library has them, up to 254
of a column, and what has more is text, for skrub's `StringEncoder`; dates are for skrub's `DatetimeEncoder`. One thread each.
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

PRESETS = "fast", "default", "best"


@dataclass(frozen=True)
class Contestant:
    """One who fits tables.

    Attributes
    ----------
    modules : tuple of str
        What must be installed.
    build : callable
        (whether to classify, seed) to an estimator.
    names : tuple of str
        Of the classes that the last module must have, where it may be too old for them.
    compiles : bool
        Whether a first fit and prediction compile, so that those before the clock starts must be the same as those after.
    """

    modules: tuple[str, ...]
    build: Callable[[bool, int], Any]
    names: tuple[str, ...] = ()
    compiles: bool = False

    def reason_against(self):
        """Why it cannot take part, or None."""
        for module in self.modules:
            if importlib.util.find_spec(module) is None:
                return f"{module} is not installed"
        module = self.modules[-1]
        for name in self.names:
            if not hasattr(importlib.import_module(module), name):
                return f"this {module} has no {name}"
        return None


def with_categories():
    """For estimators that take categories and missing values."""
    from skrub import StringEncoder, TableVectorizer, ToCategorical

    text = StringEncoder(random_state=0)
    return TableVectorizer(cardinality_threshold=255, low_cardinality=ToCategorical(), high_cardinality=text)


def hist_gradient_boosting(classify, seed):
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline

    kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    return make_pipeline(with_categories(), kind(categorical_features="from_dtype", random_state=seed))


def lightgbm(classify, seed):
    from lightgbm import LGBMClassifier, LGBMRegressor
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        with_categories(), (LGBMClassifier if classify else LGBMRegressor)(n_jobs=1, random_state=seed, verbosity=-1)
    )


def mlp(module, classify, seed, **settings):
    """`MLPClassifier` or `MLPRegressor` behind skrub's preprocessing: one-hot, imputed, scaled and clipped."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.preprocessing import StandardScaler
    from skrub import tabular_pipeline

    kind = getattr(importlib.import_module(module), "MLPClassifier" if classify else "MLPRegressor")
    pipeline = tabular_pipeline(kind(random_state=seed, **settings))
    return pipeline if classify else TransformedTargetRegressor(pipeline, transformer=StandardScaler())


def real_mlp(name, classify, seed):
    """Of pytabkit, which refuses missing numbers: they are imputed, and a column says where."""
    import pytabkit
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    impute = make_column_transformer(
        (SimpleImputer(strategy="median", add_indicator=True), make_column_selector(dtype_include="number")),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    kind = getattr(pytabkit, f"{name}_{'Classifier' if classify else 'Regressor'}")
    return make_pipeline(with_categories(), impute, kind(device="cpu", n_threads=1, random_state=seed))


def ours(preset, classify, seed):
    import fastbp

    kind = fastbp.TabularClassifier if classify else fastbp.TabularRegressor
    return kind(preset=preset, random_state=seed, n_threads=1)


def _real_mlp(name):
    return Contestant(("skrub", "pytabkit"), partial(real_mlp, name), (f"{name}_Classifier", f"{name}_Regressor"))


CONTESTANTS = {
    "LightGBM": Contestant(("skrub", "lightgbm"), lightgbm),
    "HistGradientBoosting": Contestant(("skrub", "sklearn"), hist_gradient_boosting),
    "fastbp MLP": Contestant(("skrub", "fastbp"), partial(mlp, "fastbp", n_threads=1), compiles=True),
    "fastbp fast": Contestant(("skrub", "fastbp"), partial(ours, "fast"), ("TabularClassifier", "TabularRegressor"), True),
    "fastbp default": Contestant(("skrub", "fastbp"), partial(ours, "default"), ("TabularClassifier", "TabularRegressor"), True),
    "fastbp best": Contestant(("skrub", "fastbp"), partial(ours, "best"), ("TabularClassifier", "TabularRegressor"), True),
    "scikit-learn MLP": Contestant(("skrub", "sklearn"), partial(mlp, "sklearn.neural_network")),
    "RealMLP-TD-S": _real_mlp("RealMLP_TD_S"),
    "RealMLP-TD": _real_mlp("RealMLP_TD"),
}
OURS = [f"fastbp {preset}" for preset in PRESETS]
