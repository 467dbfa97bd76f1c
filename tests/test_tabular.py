"""`TabularClassifier` and `TabularRegressor`: tables as they are, in scikit-learn's manner."""

import pickle
import signal
import threading
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars
import pytest
from mixed_table import QUICK, table
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp import TabularClassifier, TabularRegressor
from fastbp.tabular import Rates
from fastbp.tabular.columns import Columns
from fastbp.tabular.recipe import CLASSIFIERS, REGRESSORS

NOT_EQUIVALENT = {"check_sample_weight_equivalence_on_dense_data": "a row that is there twice changes the parts that are held out"}


@parametrize_with_checks(
    [kind(replace(QUICK, epochs=20, n_networks=1), random_state=0, n_threads=1) for kind in (TabularClassifier, TabularRegressor)],
    expected_failed_checks=lambda estimator: NOT_EQUIVALENT,
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_scikit_learns_contract(estimator, check):
    check(estimator)


def test_each_column_is_taken_for_what_it_is():
    frame, classes, _ = table()
    model = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    assert model.columns_.kinds == {
        **dict.fromkeys(("size", "count"), "number"),
        **dict.fromkeys(("sex", "kind", "town", "paid"), "category"),
        "day": "date",
        **dict.fromkeys(("nothing", "same"), "left out"),
    }
    encoder = model.columns_.encoder
    assert (encoder.coded, encoder.table_rows) == (1, 21)  # towns, and one that is missing
    # numbers and parts of dates; what of them is missing, two of two, three kinds
    assert encoder.periodic >= 4
    assert encoder.plain == 1 + 1 + 1 + 3
    assert model.feature_names_in_.tolist() == frame.columns.tolist()


def test_a_category_of_one_tells_by_where_it_is_missing():
    answer = np.arange(120) % 2
    for mark in ("x", True, 7.0):
        frame = pd.DataFrame({"mark": np.where(answer, np.full(120, mark, object), None), "noise": np.arange(120) % 7})
        model = TabularClassifier(QUICK, epochs=20, random_state=0).fit(frame, answer)
        assert model.score(frame, answer) == 1


def test_text_of_which_every_row_has_its_own_is_told_by_its_words():
    rng = np.random.default_rng(0)
    words = ["red apple", "green pear", "blue plum", "old stone", "new brick", "cold iron"]
    number = rng.integers(6, size=600)
    frame = pd.DataFrame({"said": [f"{words[k]} number {i}" for i, k in enumerate(number)]})
    model = TabularClassifier(QUICK, epochs=20, random_state=0).fit(frame[:400], number[:400] < 3)
    assert model.columns_.kinds == {"said": "text"}
    assert model.score(frame[400:], number[400:] < 3) > 0.95


def test_what_was_never_seen_is_missing_and_not_an_error():
    frame, classes, _ = table()
    model = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    odd = frame[:3].copy()
    odd["kind"], odd["town"], odd["sex"] = ["z", None, "a"], ["elsewhere", None, "town 3"], ["x", None, "m"]
    odd.loc[:, "size"] = [np.inf, -np.inf, 1e300]
    rows = model.columns_.transform(odd)
    assert np.isfinite(rows).all()
    assert rows[0, -1] == rows[1, -1] == 0 < rows[2, -1]  # the row of the table for what is missing
    probabilities = model.predict_proba(odd)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_columns_may_come_in_any_order_and_with_others():
    frame, classes, _ = table()
    model = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    expected = model.predict_proba(frame)
    mixed = frame[frame.columns[::-1]]
    # scikit-learn's own check of names comes first
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(mixed)
    with pytest.raises(ValueError, match="town"):
        model.predict(frame.drop(columns="town"))
    assert model.predict_proba(mixed[frame.columns]).tobytes() == expected.tobytes()


def test_polars_and_pandas_give_the_same():
    frame, classes, _ = table()
    frame = frame.drop(columns="nothing").astype({"kind": object})
    frame["kind"] = frame["kind"].where(frame["kind"].notna(), None)
    one = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    other = TabularClassifier(QUICK, random_state=0).fit(polars.from_pandas(frame), classes)
    assert one.columns_.kinds == other.columns_.kinds
    assert one.predict_proba(frame).tobytes() == other.predict_proba(polars.from_pandas(frame)).tobytes()


def test_arrays_of_objects_are_tables_too():
    frame, classes, _ = table()
    frame = frame[["size", "sex", "town"]]
    model = TabularClassifier(QUICK, random_state=0).fit(frame.to_numpy(), classes)
    assert list(model.columns_.kinds.values()) == ["number", "category", "category"]
    assert model.predict(frame.to_numpy()).shape == classes.shape


def test_learns_what_a_table_tells():
    frame, classes, numbers = table(1200)
    classifier = TabularClassifier(random_state=0).fit(frame[:900], classes[:900])
    assert classifier.score(frame[900:], classes[900:]) > 0.85
    regressor = TabularRegressor(random_state=0).fit(frame[:900], numbers[:900])
    assert regressor.score(frame[900:], numbers[900:]) > 0.75
    X, y = load_wine(return_X_y=True)
    assert cross_val_score(TabularClassifier("fast", random_state=0), X, y).mean() > 0.93


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"parametric_activation": False},
        {"periodic_embeddings": False},
        {"data_dependent_init": False},
        {"rates": Rates(neural_tangent=False, scales=0.0)},
        {"activation": "relu", "dropout": 0.0, "schedule": "constant", "label_smoothing": 0.0},
        {"decay_schedule": "constant", "dropout_schedule": "constant", "weight_decay": 0.0},
    ],
    ids=lambda changed: ",".join(changed) or "all",
)
def test_each_piece_can_be_left_out(changed):
    X, y = load_wine(return_X_y=True)
    full = TabularClassifier(QUICK, random_state=0).fit(X, y).predict_proba(X)
    found = TabularClassifier(replace(QUICK, **changed), random_state=0).fit(X, y).predict_proba(X)
    assert (found.tobytes() == full.tobytes()) == (not changed)


def test_patience_ends_a_training_that_gets_no_better():
    X, y = load_diabetes(return_X_y=True)
    model = TabularRegressor(replace(QUICK, epochs=200, patience=5), random_state=0).fit(X, y)
    for history, best in zip(model.histories_, model.best_epochs_, strict=True):
        assert len(history.loss) == best + 6 < 200
    assert model.n_iter_ == max(len(history.loss) for history in model.histories_)


def test_networks_are_the_best_of_their_epochs_by_rows_that_they_do_not_see():
    X, y = load_diabetes(return_X_y=True)
    model = TabularRegressor(replace(QUICK, epochs=30, n_networks=3), random_state=0).fit(X, y)
    for history, best in zip(model.histories_, model.best_epochs_, strict=True):
        assert len(history.loss) == 30
        assert history.validation_loss[best] == min(history.validation_loss)
    assert len({tuple(net.params) for net in model.networks_}) == 3
    values = y[:5] * 1e3
    far = TabularRegressor(QUICK, random_state=0).fit(X, y).predict(X + 1e6)
    assert y.min() <= far.min()
    assert far.max() <= y.max() < values.max()


def test_the_same_bits_for_any_number_of_threads():
    frame, classes, numbers = table()
    for kind, y in ((TabularClassifier, classes), (TabularRegressor, numbers)):
        found = [
            kind(replace(QUICK, n_networks=3), random_state=0, n_threads=n).fit(frame, y).predict(frame).tolist() for n in (1, 2, 3)
        ]
        assert found[0] == found[1] == found[2]


def test_another_seed_gives_other_networks_and_no_seed_gives_others_each_time():
    X, y = load_wine(return_X_y=True)
    one, two = (TabularClassifier(QUICK, random_state=seed).fit(X, y).predict_proba(X) for seed in (0, 1))
    assert one.tobytes() != two.tobytes()
    one, two = (TabularClassifier(QUICK).fit(X, y).predict_proba(X) for _ in range(2))
    assert one.tobytes() != two.tobytes()


def test_weights_of_0_are_rows_that_are_not_learnt_from():
    X, y = load_wine(return_X_y=True)
    damaged, weights = np.where(np.arange(len(y)) % 2, 0, y), (np.arange(len(y)) + 1) % 2
    model = TabularClassifier(replace(QUICK, epochs=30), random_state=0).fit(X, damaged, sample_weight=weights)
    assert model.score(X, y) > 0.95
    with pytest.raises(ValueError, match="sample_weight"):
        model.fit(X, y, sample_weight=-np.ones(len(y)))


@pytest.mark.parametrize("kind", [TabularClassifier, TabularRegressor])
def test_rows_without_weight_might_as_well_not_be_there(kind):
    X, y = load_wine(return_X_y=True)
    weights = np.random.default_rng(0).choice([0, 0, 0, 1, 2], len(y))
    kept = weights > 0
    wild_X, wild_y = np.where(kept[:, None], X, 1e6), np.where(kept, y, 0 if kind is TabularClassifier else 1e9)
    found = kind(QUICK, random_state=0).fit(wild_X, wild_y, sample_weight=weights)
    assert found.predict(X).tobytes() == kind(QUICK, random_state=0).fit(X[kept], y[kept], weights[kept]).predict(X).tobytes()
    few = np.arange(len(y)) % 60 == 0  # none of which may be in a part that is held out
    kind(QUICK, random_state=0).fit(X, y, sample_weight=few.astype(float))


@pytest.mark.parametrize("factor", [2.0**1000, 2.0**-1040])
def test_numbers_of_any_magnitude_are_learnt(factor):
    X, y = load_diabetes(return_X_y=True)
    y = np.round(y)
    model = TabularRegressor(QUICK, random_state=0)
    assert (model.fit(X, y * factor).predict(X) / factor).tolist() == pytest.approx(model.fit(X, y).predict(X).tolist(), rel=1e-6)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_ends_all_networks_at_once(n_threads):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4000, 5)), rng.normal(size=4000)
    model = TabularRegressor(replace(REGRESSORS["default"], epochs=100_000), random_state=0, n_threads=n_threads)
    TabularRegressor("fast", epochs=1).fit(X, y)  # compiles, or loads, before the clock runs
    timer = threading.Timer(2.0, lambda: signal.raise_signal(signal.SIGINT))
    before = threading.active_count()
    timer.start()
    with pytest.warns(UserWarning, match="interrupted by user"):
        model.fit(X, y)
    timer.join()
    assert model.is_interrupted_
    assert 1 <= len(model.networks_) <= n_threads
    for history, best in zip(model.histories_, model.best_epochs_, strict=True):
        assert 0 <= best < len(history.loss) < 100_000
        assert history.stopped_by == "interrupt"
    assert np.isfinite(model.predict(X)).all()
    assert threading.active_count() <= before


def test_ctrl_c_before_the_first_epoch_leaves_no_model(monkeypatch):
    from fastbp.tabular_network import TabularNetwork

    def begin(self, X):
        raise KeyboardInterrupt

    monkeypatch.setattr(TabularNetwork, "begin_at", begin)
    X, y = load_wine(return_X_y=True)
    for n_threads in (1, 2):
        model = TabularClassifier(QUICK, random_state=0, n_threads=n_threads)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
        assert not hasattr(model, "networks_")


def test_a_network_that_diverges_is_that_of_its_best_epoch_and_a_warning():
    X, y = load_diabetes(return_X_y=True)
    wild = replace(QUICK, learning_rate=0.01, schedule=fastbp.schedules.Step(3, 1e20), epochs=8, n_networks=1)
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model = TabularRegressor(wild, random_state=0, n_threads=1).fit(X, y)
    assert not model.is_interrupted_
    assert np.isfinite(model.predict(X)).all()


def test_fitted_models_are_kept_when_a_fit_fails():
    frame, classes, _ = table()
    model = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    expected = model.predict_proba(frame)
    for bad in (dict.fromkeys(["same"], ["x"] * 240), frame[:0]):
        with pytest.raises(ValueError, match=r"column|sample"):
            model.fit(pd.DataFrame(bad), classes[: len(pd.DataFrame(bad))])
    model = pickle.loads(pickle.dumps(model))
    assert model.networks_[0].encoder.n_columns > 1
    again = TabularClassifier(QUICK, random_state=0).fit(frame, classes)
    assert pickle.loads(pickle.dumps(again)).predict_proba(frame).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"preset": "better"}, "preset must be 'fast', 'default', 'best'"),
        ({"preset": 3}, "preset must be"),
        ({"n_networks": 0}, "n_networks must be at least 1"),
        ({"epochs": 2.5}, "epochs must be an integer"),
        ({"n_threads": 0}, "n_threads must be at least 1"),
        ({"verbose": "yes"}, "verbose must be True or False"),
    ],
)
def test_settings_that_mean_nothing_are_refused_by_name(settings, message):
    X, y = load_wine(return_X_y=True)
    with pytest.raises((ValueError, TypeError), match=message):
        TabularClassifier(**settings).fit(X, y)
    assert clone(TabularClassifier(**settings)).get_params()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"hidden_layer_sizes": 64}, "hidden_layer_sizes must be a tuple"),
        ({"hidden_layer_sizes": (2.5,)}, "hidden_layer_sizes must be an integer"),
        ({"rates": None}, "rates must be a fastbp.tabular.Rates"),
        ({"parametric_activation": "no"}, "parametric_activation must be True or False"),
        ({"periodic_embeddings": None}, "periodic_embeddings must be True or False"),
        ({"data_dependent_init": 1}, "data_dependent_init must be True or False"),
        ({"label_smoothing": 1.0}, "label_smoothing must be finite and >= 0 and < 1"),
        ({"label_smoothing": -0.1}, "label_smoothing must be"),
        ({"label_smoothing": float("nan")}, "label_smoothing must be"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"batch_size": "x"}, "batch_size must be an integer"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"patience": 2.5}, "patience must be an integer"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"n_networks": 0}, "n_networks must be at least 1"),
        ({"n_networks": 2.5}, "n_networks must be an integer"),
    ],
    ids=str,
)
def test_recipes_that_mean_nothing_are_refused_by_name(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        replace(QUICK, **settings)
    for name in ("biases", "scales", "periods", "table", "blends"):
        for value in (-1.0, float("nan"), "x"):
            with pytest.raises((ValueError, TypeError), match=f"{name} must be"):
                Rates(**{name: value})


def test_more_folds_than_rows_hold_one_out_each():
    X, y = load_wine(return_X_y=True)
    assert TabularClassifier(replace(QUICK, folds=1000), random_state=0).fit(X, y).predict(X).shape == y.shape


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.ones((30, 2)), np.arange(30) % 2, "no column to learn from"),
        (np.random.default_rng(0).normal(size=(30, 2)), np.zeros(30), "one class only"),
        (np.random.default_rng(0).normal(size=(30, 2)), np.full(30, np.nan), "NaN"),
        (np.random.default_rng(0).normal(size=(30, 2)), np.arange(29), "inconsistent numbers of samples"),
        (np.random.default_rng(0).normal(size=(1, 2)), [1], "one class|n_samples=1"),
        (pd.DataFrame({"a": []}), [], "0 sample"),
    ],
)
def test_tables_that_tell_nothing_are_refused(X, y, message):
    with pytest.raises(ValueError, match=message):
        TabularClassifier("fast").fit(X, y)


def test_few_rows_and_rare_classes_are_enough():
    X = np.random.default_rng(0).normal(size=(30, 3))
    for y in (np.arange(30) % 10, np.r_[0, np.ones(29)], np.arange(30)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # scikit-learn's, of as many classes as rows
            model = TabularClassifier(QUICK, random_state=0).fit(X, y)
        assert model.predict_proba(X).shape == (30, len(set(y)))
    model = TabularClassifier(QUICK, random_state=0).fit(X[:4], [0, 1, 0, 1])
    assert model.best_epochs_ == [3, 3]


def test_a_bar_tells_how_long_it_will_take(capsys):
    X, y = load_wine(return_X_y=True)
    TabularClassifier(QUICK, random_state=0, verbose=True).fit(X, y)
    assert "8/8" in capsys.readouterr().err


def test_presets_spend_more_and_more():
    for presets in (CLASSIFIERS, REGRESSORS):
        spent = [each.n_networks * each.epochs for each in presets.values()]
        assert list(presets) == ["fast", "default", "best"]
        assert sorted(spent) == spent
        assert len(set(spent)) == 3


def test_columns_are_learnt_from_the_rows_of_the_fit_only():
    X = load_diabetes().data
    train, test = train_test_split(X, random_state=0)
    columns = Columns(True, True, 0)
    frame = pd.DataFrame(train, columns=[f"x{i}" for i in range(10)])
    rows = columns.fit_transform(frame)
    moved = columns.transform(pd.DataFrame(test * 100, columns=frame.columns))
    assert np.abs(rows).max() <= 3
    assert np.abs(moved).max() <= 3  # squashed
    assert columns.transform(frame).tobytes() == rows.tobytes()
    assert np.abs(np.median(rows[:, [0, 2, 3]], axis=0)).max() < 0.1
