"""Fewer states while a model is trained."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_lru.backend import call_when_built
from keras_lru.checks import check_positive_integer
from keras_lru.compress.in_place import adopt, check_optimizer, renew_training
from keras_lru.compress.rebuilding import check_resizable
from keras_lru.compress.reduction import (
    ReducedLayer,
    check_reducible,
    check_reduction,
    reduce_states,
)


class ReduceStates(keras.callbacks.Callback):
    """Gives a model fewer states while `fit` trains it, as `reduce_states` does.

    What is learned late is learned by a smaller model, in less time. The model stays
    the object that it is, and so are its optimizer and its weights, but for those of
    recurrences that become smaller, whose moments in the optimizer begin anew. Each
    change compiles the step of training again.

    In one process, on one device. What keeps weights to put them back, as
    `keras.callbacks.EarlyStopping(restore_best_weights=True)` and checkpoints do, has
    to begin after the last of `epochs`.

    Args:
        epochs: Positive integers: after how many epochs states are reduced.
        state_size: As of `reduce_states`, and so are the others.
        tolerance: See there.
        layers: See there.
        calibration: See there.
        length: See there.
        verbose: 1 prints a line for each change, 0 nothing.

    Attributes:
        reduced: `{epochs: {path of the cell: ReducedLayer}}`, what has become of the
            recurrences of the last `fit`.

    Raises:
        ValueError: In the constructor, if `epochs` are not positive integers, or not
            exactly one of `state_size` and `tolerance` is given; when `fit` starts, if
            the model has nothing that can be made smaller, or a layer of a kind that
            `reduce_states` refuses, or keeps its states from one batch to the next
            (`stateful=True`), or if the optimizer is `Ftrl`.

    Example:

    >>> import numpy as np
    >>> from keras_lru import SequenceRegressor
    >>> from keras_lru.compress import ReduceStates
    >>> model = SequenceRegressor(1, depth=1, units=4, state_size=16)
    >>> model.compile("adam", "mse")
    >>> x, y = np.ones((8, 20, 2), "float32"), np.ones((8, 20, 1), "float32")
    >>> reduce = ReduceStates(epochs=[1], state_size=8, calibration=x)
    >>> _ = model.fit(x, y, epochs=2, verbose=0, callbacks=[reduce])
    >>> model.backbone.get_config()["state_size"]
    [8]
    """

    def __init__(
        self,
        epochs: Sequence[int],
        state_size: int | None = None,
        tolerance: float | None = None,
        layers: Sequence[str] | None = None,
        *,
        calibration: Any = None,
        length: int | None = None,
        verbose: int = 0,
    ):
        super().__init__()
        if isinstance(epochs, str | int) or not len(epochs):
            raise ValueError(
                "`epochs` must be a list of positive integers. Received: "
                f"epochs={epochs!r}"
            )
        self.epochs = frozenset(check_positive_integer("epochs", n) for n in epochs)
        self._options = {
            "state_size": state_size,
            "tolerance": tolerance,
            "layers": layers,
            "length": length,
            "calibration": calibration,
        }
        check_reduction(state_size, tolerance, length)
        self.verbose = verbose
        self.reduced: dict[int, dict[str, ReducedLayer]] = {}

    def on_train_begin(self, logs=None):
        """Whether it can be done, before it is."""
        del logs
        self.reduced = {}
        call_when_built(self.model, self._check)

    def _check(self):
        check_reducible(self.model, self._options["layers"])
        check_resizable(self.model)
        check_optimizer(self.model.optimizer)
        for layer in self.model._flatten_layers():
            if getattr(layer, "stateful", False):
                raise ValueError(
                    "A layer whose states change their sizes must have "
                    f"`stateful=False`. Received: stateful=True in {layer.name!r}"
                )

    def on_epoch_end(self, epoch, logs=None):
        """Makes the model smaller, if it is time."""
        del logs
        if epoch + 1 not in self.epochs:
            return
        found = reduce_states(self.model, **self._options)
        adopt(self.model, found.model)
        renew_training(self.model)
        self.reduced[epoch + 1] = found.layers
        if self.verbose:
            sizes = [f"{path}: {x.state_size}" for path, x in found.layers.items()]
            print(f"\nEpoch {epoch + 1}: states of {', '.join(sizes)}")
