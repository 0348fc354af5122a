"""The same seed, trial and execution give the same score, whatever ran before."""

import keras
import keras_tuner
import pytest

from .searches import hypermodel, search


class Fail(keras.callbacks.Callback):
    """Ends one of the trainings with an error.

    Args:
        number: Which one, from 0.
    """

    def __init__(self, number):
        super().__init__()
        self.left = number

    def __deepcopy__(self, memo):
        return self

    def on_train_end(self, logs=None):
        self.left -= 1
        if self.left == -1:
            raise RuntimeError("This one fails.")


@pytest.fixture
def score(tmp_path):
    """The score of the one trial of a search of that name."""

    def search_once(name, hyper=None, fail=None, **kwargs):
        tuner = keras_tuner.GridSearch(
            hyper or hypermodel(),
            "val_loss",
            max_trials=1,
            directory=tmp_path / name,
            **kwargs,
        )
        callbacks = [] if fail is None else [Fail(fail)]
        (row,) = search(tuner, callbacks=callbacks)
        assert row["status"] == "COMPLETED"
        return row["score"]

    return search_once


def test_a_second_search_with_one_hypermodel_has_the_same_scores(score):
    hyper = hypermodel()
    first = score("first", hyper)
    assert score("second", hyper) == first == score("other")


@pytest.mark.parametrize(
    ("executions", "failing"), [(1, 0), pytest.param(2, 1, marks=pytest.mark.slow)]
)
def test_a_trial_that_is_tried_again_has_the_same_score(
    score, executions, failing, capsys
):
    options = {"executions_per_trial": executions, "max_retries_per_trial": 1}
    whole = score("whole", **options)
    assert score("again", fail=failing, **options) == whole
    assert "failed 1 times" in capsys.readouterr().out
