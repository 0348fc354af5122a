"""A checkpoint of all that training depends on, to go on after a kill."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_lru.backend import call_when_built
from keras_lru.training.callback_order import (
    callbacks_beside,
    check_order,
    swaps_of_epochs,
)
from keras_lru.training.processes import is_first_process, on_first_process

# What Keras's callbacks on a monitored value learn from one epoch to the next.
_CALLBACK_STATE = (
    *("best", "best_epoch", "wait", "stopped_epoch"),
    *("cooldown_counter", "epochs_since_last_save"),
)
_RECORD = "record"


class TrainingCheckpoint(keras.callbacks.Callback):
    """Saves all that training depends on, so that a killed run goes on as if it hadn't.

    After each epoch one file takes the place of the last one, whole or not at all. It
    holds the weights, the optimizer's variables, the states of random number generators
    (dropout's), the epoch, and what other callbacks have counted. When `fit` starts
    again, everything is put back. `keras.callbacks.BackupAndRestore` puts back weights,
    optimizer and epoch.

    The rest is for the caller to put back: the epoch, as `initial_epoch`, and the
    place in the data. `keras_lru.datasets.load` takes it as `start_step`. A model that
    is not built is built by `fit`, from the shapes of the first batch.

    Where callbacks stand in the list that `fit` is given matters. `callbacks` come
    before this one. `keras.callbacks.SwapEMAWeights(swap_on_epoch=True)` comes after
    it, as it leaves averaged weights in the model, and whatever is to see those comes
    after that. A file is one training's: in a search each trial needs its own.

    Inside `keras_lru.training.join_processes` process 0 alone writes the file and reads
    it, and tells the others what is in it: all of them have to make a callback.

    Args:
        path: File to save to, of the kind `.npz`. Folders above it are made.
        callbacks: Other callbacks of the same `fit` whose counts are to survive:
            `keras.callbacks.EarlyStopping`, `ModelCheckpoint`, `ReduceLROnPlateau`.

    Raises:
        ValueError: In the constructor, if `path` ends otherwise than in `.npz`, or if a
            callback has `restore_best_weights=True`, as those are in memory alone
            (`ModelCheckpoint(save_best_only=True)` keeps them), or if the file was
            written beside other `callbacks`. When `fit` starts, if callbacks are not
            in the order above, if the model is not the file's, or can't be built, if
            another training has written the file, or if `initial_epoch` is not `epoch`.

    Example:
        >>> import tempfile, keras, numpy as np
        >>> from keras_lru.training import TrainingCheckpoint
        >>> x, y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")
        >>> folder = tempfile.TemporaryDirectory()
        >>> def train(epochs):
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     model.compile("adam", "mse")
        ...     checkpoint = TrainingCheckpoint(f"{folder.name}/state.npz")
        ...     history = model.fit(
        ...         x,
        ...         y,
        ...         initial_epoch=checkpoint.epoch,
        ...         epochs=epochs,
        ...         callbacks=[checkpoint],
        ...         verbose=0,
        ...     )
        ...     return history.epoch
        >>> train(epochs=2)
        [0, 1]
        >>> train(epochs=5)
        [2, 3, 4]
        >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ):
        super().__init__()
        self.path = Path(path)
        self.callbacks = tuple(callbacks)
        if self.path.suffix != ".npz":
            raise ValueError(f"`path` must end in '.npz'. Received: path={path!s}")
        for callback in self.callbacks:
            if getattr(callback, "restore_best_weights", False):
                raise ValueError(
                    "`callbacks` must keep no weights in memory, where they would be "
                    "lost: keep the best with `ModelCheckpoint(save_best_only=True)`. "
                    f"Received: {type(callback).__name__}(restore_best_weights=True)"
                )
        self._beside: list[keras.callbacks.Callback] = []
        self._record = on_first_process(_read_record, self.path)
        if self.epoch:
            before = [name for name, _ in self._record["callbacks"]]
            now = [type(callback).__name__ for callback in self.callbacks]
            if before != now:
                raise ValueError(
                    f"`callbacks` must be those that {path} was written with, of "
                    f"{before}. Received: {now}"
                )

    @property
    def epoch(self) -> int:
        """Number of epochs that are done, 0 without a file: the `initial_epoch`."""
        return self._record["epoch"]

    @property
    def stopped(self) -> bool:
        """Whether a callback ended the training, such as `EarlyStopping`."""
        return self._record["stopped"]

    def __getstate__(self):
        """A copy, as KerasTuner makes for each trial, is of this callback alone."""
        return {**self.__dict__, "_beside": []}

    def set_model(self, model):
        """Learns what else `fit` calls."""
        super().set_model(model)
        self._beside = callbacks_beside(self)

    def on_train_begin(self, logs=None):
        """Puts everything back, if there is a file."""
        check_order(self, self._beside, self.callbacks)
        written = on_first_process(_read_record, self.path)["epoch"]
        if written != self.epoch:
            raise ValueError(
                "`path` must be written by one training alone: give each, and each "
                f"trial of a search, its own. Received: path={self.path}, with "
                f"epoch={written} where this training left epoch={self.epoch}"
            )
        if not self.epoch:
            return
        states = [state for _, state in self._record["callbacks"]]
        for callback, state in zip(self.callbacks, states, strict=True):
            for name, value in state.items():
                setattr(callback, name, value)
        call_when_built(self.model, self._restore_variables)
        if not self.model.built and self.epoch >= self.params["epochs"]:
            raise ValueError(
                "The model must be built before `fit`, if there is no epoch left to "
                f"build it for. Received: model={self.model.name!r}, and {self.path} "
                f"has epoch={self.epoch}"
            )

    def _restore_variables(self):
        variables = self._variables()
        values = on_first_process(_read_values, self.path)
        found = [value.shape for value in values]
        expected = [tuple(variable.shape) for variable in variables]
        if found != expected:
            raise ValueError(
                f"`path` must be of a model like this one. Received: path={self.path}, "
                f"which holds variables of the shapes {found}, not {expected}"
            )
        for swap in swaps_of_epochs(self._beside):
            # One that has trained before would swap what is put back here.
            swap.on_epoch_begin(self.epoch)
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def on_epoch_begin(self, epoch, logs=None):
        """Checks that training goes on where it was."""
        if epoch != self.epoch:
            raise ValueError(
                "`initial_epoch` of `fit` must be the checkpoint's `epoch`. Received: "
                f"initial_epoch={epoch}, and {self.path} has epoch={self.epoch}"
            )

    def on_epoch_end(self, epoch, logs=None):
        """Saves everything."""
        self._record = {
            "epoch": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "callbacks": [_state(callback) for callback in self.callbacks],
        }
        variables = self._variables()
        if not is_first_process():
            return
        arrays = {
            f"{index:05d}": _to_numpy(variable)
            for index, variable in enumerate(variables)
        }
        arrays[_RECORD] = np.array(json.dumps(self._record))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}.new")
        with open(new, "wb") as file:
            np.savez(file, **arrays)
        new.replace(self.path)

    def _variables(self):
        model, optimizer = self.model, self.model.optimizer
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
        # Metrics start anew with each epoch.
        metrics = {id(variable) for variable in model.metrics_variables}
        variables = [v for v in model.variables if id(v) not in metrics]
        return [*variables, *optimizer.variables]


def _read_record(path) -> dict[str, Any]:
    """The epoch and what callbacks have counted, of the start if there is no file."""
    if not path.exists():
        return {"epoch": 0, "stopped": False, "callbacks": []}
    with np.load(path) as file:
        return json.loads(str(file[_RECORD]))


def _read_values(path) -> list[np.ndarray]:
    with np.load(path) as file:
        return [file[name] for name in file.files if name != _RECORD]


def _to_numpy(variable):
    value = keras.ops.convert_to_numpy(variable)
    # Files of NumPy's know no bfloat16; float32 holds all its values. Cast here: what
    # is computed on a device has to be computed by all processes.
    if variable.dtype in ("float16", "bfloat16"):
        value = value.astype("float32")
    return value


def _state(callback):
    values = {
        name: getattr(callback, name)
        for name in _CALLBACK_STATE
        if hasattr(callback, name)
    }
    numbers = {k: None if v is None else float(v) for k, v in values.items()}
    return type(callback).__name__, numbers
