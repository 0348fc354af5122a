import contextlib
import gc

import pytest

from keras_lru.tuner import trial_training


@pytest.fixture(autouse=True)
def dropped(monkeypatch):
    """Counts the calls that would make all other tests compile again."""
    calls = []

    @contextlib.contextmanager
    def count():
        try:
            yield
        finally:
            calls.append(1)

    monkeypatch.setattr(trial_training, "drop_compiled_programs", count)
    return calls


@pytest.fixture(autouse=True)
def _leave_garbage(monkeypatch):
    """KerasTuner collects garbage for each trial: longer than the trials here."""
    monkeypatch.setattr(gc, "collect", lambda generation=2: 0)
