"""What notebooks show, and tables of histories: short, well-formed, escaped, and of all that was recorded."""

import re
import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp import History, Network, Networks
from fastbp.display import abbreviated, of_network

HISTORY = History(
    loss=[3.0, 2.0, 1.0, 0.5],
    validation_loss=[3.5, 2.0, 2.5, 2.75],
    learning_rate=[0.1, 0.1, 0.05, 0.05],
    time=[0.25, 0.5, 0.75, 1.0],
    weight_norms=[[1.0, 2.0]] * 4,
    gradient_norms=[[0.5, 0.25]] * 4,
    stopped_by="patience",
)


def parsed(shown):
    return ElementTree.fromstring(shown._repr_html_())


def cells(page):
    return [[cell.text or "" for cell in row] for row in page.iter("tr")]


@pytest.mark.parametrize(("count", "most"), [(3, 8), (8, 8), (9, 8), (1000, 8), (5, 3), (4, 3)])
def test_of_many_the_first_and_the_last_are_shown(count, most):
    found = abbreviated(count, most)
    shown = [each for each in found if each is not None]
    assert len(found) == min(count, most)
    assert (None in found) == (count > most)
    assert shown == sorted(set(shown))
    assert (shown[0], shown[-1]) == (0, count - 1)


def test_a_network_is_a_diagram_and_a_table():
    page = parsed(Network([784, 4096, 10], hidden="gelu", loss="cross_entropy", rng=0))
    assert cells(page)[1:] == [["1", "784 \u2192 4096", "gelu", "3,215,360"], ["2", "4096 \u2192 10", "softmax", "40,970"]]
    text = "".join(page.itertext())
    for fact in ("3,256,330 parameters", "float32", "CrossEntropy"):
        assert fact in text
    assert [each.text for each in page.iter("text")] == ["784", "4096", "10"]
    small = parsed(Network([2, 3, 1], dtype="float64", input_scale=0.5, rng=0))
    assert len(list(small.iter("circle"))) == 6
    assert next(small.iter("path")).get("d").count("M") == 2 * 3 + 3
    assert "inputs times 0.5" in "".join(small.itertext())


@pytest.mark.parametrize("sizes", [[784, 4096, 10], [64] * 300, [1] * 300, [10**4, 2]])
def test_pages_are_small(sizes):
    page = Network(sizes, rng=0)._repr_html_()
    assert len(page.encode()) < 20_000
    assert "currentColor" in page
    assert not re.search(r"(?<!&)#|rgb", page), "no colour of its own, which one of light and dark would hide"


def test_many_networks_are_shown_as_one():
    page = parsed(Networks(7, [4, 3, 2], rng=0))
    assert next(page.iter("b")).text == "7 networks"
    assert "23 parameters each" in "".join(page.itertext())
    assert len(cells(page)) == 3


def test_names_are_escaped():
    net = Network([2, 2, 1], rng=0)
    given = {name: getattr(net, name) for name in ("sizes", "params", "dtype", "input_scale", "output")}
    page = of_network(SimpleNamespace(**given, hidden=[SimpleNamespace(name="<script>")], loss_function=SimpleNamespace(x="<i>")))
    assert not {"<script>", "<i>"} & set(re.findall("<.+?>", page))
    assert "&lt;script&gt;" in page
    assert "<script>" not in History(loss=[1.0], stopped_by="<script>")._repr_html_()


def test_a_history_shows_its_first_best_and_last_epochs():
    page = parsed(HISTORY)
    head, *rows = cells(page)
    assert head == ["", "epoch", "loss", "validation loss", "learning rate", "time (s)"]
    assert rows == [
        ["first", "1", "3", "3.5", "0.1", "0.25"],
        ["best", "2", "2", "2", "0.1", "0.5"],
        ["last", "4", "0.5", "2.75", "0.05", "1"],
    ]
    assert "4 epochs, stopped by patience" in "".join(page.itertext())
    first, second = (line.get("points").split() for line in page.iter("polyline"))
    assert len(first) == len(second) == 4
    heights = [float(point.split(",")[1]) for point in first]
    assert heights == sorted(heights)  # downwards, as the loss


def test_histories_of_few_epochs_and_of_strange_losses():
    assert "0 epochs" in "".join(parsed(History()).itertext())
    one = parsed(History(loss=[1.0]))
    assert cells(one)[1][:2] == ["first, best, last", "1"]
    assert not list(one.iter("svg"))
    strange = parsed(History(loss=[float("nan"), 2.0, float("inf"), -1.0]))
    assert len(next(strange.iter("polyline")).get("points").split()) == 2
    assert cells(strange)[-1][:2] == ["best, last", "4"]
    nothing = parsed(History(loss=[float("nan")] * 3))
    assert not list(nothing.iter("svg"))


def test_curves_of_long_histories_are_short():
    page = History(loss=np.geomspace(1, 1e-9, 100_001).tolist())._repr_html_()
    assert len(page) < 5000
    last = ElementTree.fromstring(page).find(".//polyline").get("points").split()[-1]
    assert float(last.split(",")[0]) == 236


def test_a_table_has_a_row_for_each_epoch():
    table = HISTORY.to_pandas()
    assert list(table.index) == [0, 1, 2, 3]
    assert table.index.name == "epoch"
    norms = ["weight_norm_1", "weight_norm_2", "gradient_norm_1", "gradient_norm_2"]
    assert list(table.columns) == ["loss", "validation_loss", "learning_rate", "time", *norms]
    assert table["loss"].tolist() == HISTORY.loss
    assert table["gradient_norm_2"].tolist() == [0.25] * 4
    assert HISTORY.at(-1) == table.iloc[-1].to_dict()
    assert HISTORY.at(2)["loss"] == 1.0
    with pytest.raises(IndexError, match="epoch 4 is asked for, but there are 4"):
        HISTORY.at(4)
    pd.testing.assert_frame_equal(History().to_pandas(), pd.DataFrame(index=pd.RangeIndex(0, name="epoch")))


def test_what_is_recorded_of_some_epochs_is_missing_in_the_others():
    table = History(loss=[2.0, 1.0], learning_rate=[0.1]).to_pandas()
    assert np.isnan(table["learning_rate"][1])


def test_a_fit_gives_a_table():
    X = np.random.default_rng(0).normal(size=(20, 3))
    history = Network([3, 4, 1], rng=0).fit(X, X[:, :1], epochs=3, record_norms=True, record_score=True, validation_fraction=0.2)
    table = history.to_pandas()
    assert table.shape == (3, 10)
    assert not table.isna().any().any()
    assert parsed(history) is not None


def test_pages_need_neither_matplotlib_nor_pandas():
    code = (
        "import sys, fastbp\n"
        "fastbp.Network([2, 3, 1], rng=0)._repr_html_(), fastbp.History(loss=[2.0, 1.0])._repr_html_()\n"
        "assert not {'matplotlib', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert fastbp.network.Network._repr_html_ is fastbp.display.of_network
