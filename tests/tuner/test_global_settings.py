"""KerasTuner clears sessions: what is set for all of Keras stays."""

import copy

import keras
import keras_tuner
import pytest

from keras_lru.training import data_parallel

from .searches import hypermodel, search


class Watch(keras.callbacks.Callback):
    """Keeps what a function of the model returns when training starts."""

    def __init__(self, look):
        super().__init__()
        self.look = look
        self.seen = []

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, logs=None):
        self.seen.append(self.look(self.model))


def is_distributed(model):
    if keras.distribution.distribution() is not None:
        return True
    strategy = getattr(model, "distribute_strategy", None)
    return type(strategy).__name__ == "MirroredStrategy"


def make_tuner(directory, **kwargs):
    options = {"max_trials": 2, "seed": 1, "directory": directory}
    return keras_tuner.RandomSearch(hypermodel(**kwargs), "val_loss", **options)


@pytest.mark.parametrize("made", ["before", "after"])
def test_the_dtype_policy_survives_every_trial_and_the_search(tmp_path, made):
    tuner = make_tuner(tmp_path) if made == "before" else None
    keras.config.set_dtype_policy("mixed_bfloat16")
    tuner = tuner or make_tuner(tmp_path)
    keras.config.disable_interactive_logging()
    try:
        watch = Watch(lambda model: model.layers[0].compute_dtype)
        search(tuner, callbacks=[watch])
        assert watch.seen == ["bfloat16"] * 2
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert not keras.config.is_interactive_logging_enabled()
        assert tuner.get_best_models()[0].layers[0].compute_dtype == "bfloat16"
    finally:
        keras.config.enable_interactive_logging()


def test_a_policy_that_is_set_after_clearing_is_left_alone():
    keras.config.set_dtype_policy("mixed_bfloat16")
    hyper = copy.deepcopy(hypermodel())
    keras.utils.clear_session(free_memory=False)
    keras.config.set_dtype_policy("mixed_float16")
    hyper.build(keras_tuner.HyperParameters())
    assert keras.config.dtype_policy().name == "mixed_float16"


def test_a_search_inside_data_parallel_trains_on_all_devices(tmp_path):
    if keras.backend.backend() == "torch":
        pytest.skip("Keras trains on one device on PyTorch")
    # TensorFlow distributes no `jit_compile=True`.
    tuner = make_tuner(tmp_path, compile_options={"jit_compile": False})
    watch = Watch(is_distributed)
    with data_parallel() as devices:
        search(tuner, callbacks=[watch])
        model = tuner.get_best_models()[0]
        assert is_distributed(model)
        assert devices >= 1
    assert watch.seen == [True] * 2
    assert not is_distributed(hypermodel().build(keras_tuner.HyperParameters()))
