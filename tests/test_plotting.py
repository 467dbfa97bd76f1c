"""Pictures hold the numbers of the history and leave matplotlib's global state alone."""

import subprocess
import sys

import pytest

from fastbp import History
from fastbp.plotting import loss_curve, save_loss_curve

HISTORY = History(loss=[1.0, 0.5, 0.25], validation_loss=[1.5, 0.75, 0.5], score=[0.5, 0.7, 0.9], validation_score=[0.4, 0.6, 0.8])


def lines(axes):
    return {line.get_label(): line.get_ydata().tolist() for line in axes.get_lines()}


def test_losses_and_scores_are_drawn():
    ax = loss_curve(HISTORY)
    scores = next(axes for axes in ax.figure.axes if axes is not ax)
    assert lines(ax) == {"loss": HISTORY.loss, "validation loss": HISTORY.validation_loss}
    assert lines(scores) == {"score": HISTORY.score, "validation score": HISTORY.validation_score}
    assert ax.get_lines()[0].get_xdata().tolist() == [1, 2, 3]
    assert (ax.get_xlabel(), ax.get_ylabel(), scores.get_ylabel()) == ("epoch", "loss", "score")
    assert len(scores.get_legend().get_texts()) == 4


def test_only_what_was_recorded_is_drawn():
    ax = loss_curve(History(loss=[1.0, 0.0]))
    assert lines(ax) == {"loss": [1.0, 0.0]}
    assert len(ax.figure.axes) == 1
    assert ax.get_yscale() == "linear"
    assert loss_curve(History(loss=[1.0, 0.5])).get_yscale() == "log"


def test_draws_into_given_axes():
    from matplotlib.figure import Figure

    ax = Figure().subplots()
    assert loss_curve(HISTORY, ax) is ax


def test_empty_history_is_refused():
    with pytest.raises(ValueError, match="history holds no epoch"):
        loss_curve(History())


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_saved_in_the_format_of_its_name(tmp_path, name, start):
    save_loss_curve(HISTORY, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_pyplot_is_not_imported():
    code = (
        "import sys, fastbp.plotting\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from fastbp import History\n"
        "fastbp.plotting.loss_curve(History(loss=[1.0, 0.5]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
