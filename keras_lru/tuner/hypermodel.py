"""The library's models as a search space of KerasTuner."""

import copy
from collections.abc import Callable, Mapping

import keras
import keras_tuner
import numpy as np
from keras_tuner.errors import FailedTrialError, FatalValueError

from keras_lru.checks import (
    check_fraction,
    check_non_negative_integer,
    check_positive_integer,
)
from keras_lru.experiments import Preset
from keras_lru.experiments.data import load_preset_data
from keras_lru.layers.copies import derive_seed
from keras_lru.models import PairClassifier, SequenceClassifier
from keras_lru.ops.backend import drop_compiled_programs
from keras_lru.training import AdamW, warmup_cosine
from keras_lru.tuner.ring import RING, ring_hyperparameters
from keras_lru.tuner.schedule import TrialSchedule
from keras_lru.tuner.spaces import check_space, suggest

_SIZE = {"low": 1, "integer": True, "log": True}
_SPACES = {
    "learning_rate": {"low": 0, "log": True},
    "recurrent_lr_factor": {"low": 0, "log": True},
    "weight_decay": {"low": 0},
    "depth": {"low": 1, "integer": True},
    "units": _SIZE,
    "state_size": _SIZE,
    "dropout": {"low": 0, "high": 0.99},
    "batch_size": _SIZE,
}
_OF_MODEL = (*RING, "depth", "units", "state_size", "dropout")
_NOT_OF_MODEL = {
    "learning_rate": 0.001,
    "recurrent_lr_factor": 1.0,
    "weight_decay": 0.05,
    "batch_size": 32,
}

Space = float | tuple[float, float] | list[float] | None


class LRUHyperModel(keras_tuner.HyperModel):
    """Models of this library, and how to train them, for KerasTuner to search.

    Either a preset, which brings its data and its number of steps:

    ```python
    preset = keras_lru.experiments.get_preset("smnist", "tiny")
    hypermodel = LRUHyperModel(preset, state_size=(16, 64), seed=0)
    tuner = keras_tuner.RandomSearch(hypermodel, "val_accuracy", max_trials=20, seed=0)
    tuner.search()
    ```

    or a model of one's own data:

    ```python
    hypermodel = LRUHyperModel(
        model=keras_lru.SequenceClassifier,
        arguments={"num_classes": 10, "depth": 2, "units": 32},
        batch_size=[16, 32, 64],
    )
    tuner = keras_tuner.Hyperband(hypermodel, "val_loss", max_epochs=9)
    tuner.search(x, y, validation_data=(x_val, y_val))
    ```

    What is searched is a tuple `(low, high)`, a range, or a list of choices; a number
    is a setting that is not searched, and `None` leaves it as the preset or the model
    has it. By default the ring of the eigenvalues and the learning rate are searched.
    Rates and sizes are searched on a logarithmic scale, sizes in powers of two times
    the lowest.

    Each trial trains with `keras_lru.training.AdamW` on linear warmup and cosine decay
    over all batches of that trial. One that goes on from an earlier trial, as
    Hyperband's do, takes over the optimizer's state, and its place in the schedule is
    after the batches of the earlier one. A trial whose loss, or anything else logged,
    is not finite fails, and the search goes on, until KerasTuner's
    `max_consecutive_failed_trials`.

    Args:
        preset: A `keras_lru.experiments.Preset`.
        model: In place of a preset, a class of `keras_lru.models`, or a function that
            takes its arguments and returns a model.
        arguments: Arguments of the model that are not searched. In place of the
            preset's, or beside them.
        ring: Whether to search the ring by `ring_hyperparameters`, or a dictionary of
            the arguments to call that with, such as `{"fixed": {"max_phase": 3.14}}`.
        learning_rate: The highest learning rate.
        recurrent_lr_factor: What the rate of recurrent parameters is multiplied by.
        weight_decay: Weight decay of the parameters that are not recurrent.
        depth: Number of blocks.
        units: Number of features between the blocks.
        state_size: Number of complex states.
        dropout: Rate of the dropouts.
        batch_size: Examples a batch.
        warmup_fraction: The part of a trial's batches spent on the warmup.
        patience: Number of epochs without a better `val_loss` (`loss`, without
            validation data) after which a trial stops; `None` for never.
        loss: As for `keras.Model.compile`. Defaults to the cross-entropy for
            classifiers, from integer labels, and to `"mse"` for other models.
        metrics: As for `keras.Model.compile`. Defaults to `["accuracy"]` for
            classifiers, and to `["mae"]` for other models.
        compile_options: Other arguments of `keras.Model.compile`.
        data_options: Arguments of `keras_lru.datasets.load` for the preset's data, such
            as `data_dir` and `download`, in place of the preset's or beside them.
        seed: Integer of at least 0 that makes trials reproducible: initial weights,
            dropout, and the order of the examples. Several executions of a trial get
            seeds of their own. `fit` then seeds Python's, NumPy's and the backend's
            global generators. The tuner has its own `seed`, for the hyperparameters.
        name: As for `keras_tuner.HyperModel`.
        tunable: As for `keras_tuner.HyperModel`.

    Raises:
        ValueError: If not just one of `preset` and `model` is given, if `arguments`
            hold what is searched, or if another argument is not as above.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), appendix D.

    Example:
        >>> import keras_tuner
        >>> from keras_lru.experiments import get_preset
        >>> from keras_lru.tuner import LRUHyperModel
        >>> hypermodel = LRUHyperModel(get_preset("listops", "tiny"), depth=(1, 3))
        >>> hp = keras_tuner.HyperParameters()
        >>> model = hypermodel.build(hp)
        >>> sorted(hp.values)
        ['depth', 'learning_rate', 'max_phase', 'one_minus_r_max', 'r_min_fraction']
        >>> len(model.backbone.blocks), model.num_classes
        (1, 10)
    """

    def __init__(
        self,
        preset: Preset | None = None,
        *,
        model: Callable[..., keras.Model] | None = None,
        arguments: Mapping | None = None,
        ring: bool | Mapping = True,
        learning_rate: Space = (1e-4, 1e-2),
        recurrent_lr_factor: Space = None,
        weight_decay: Space = None,
        depth: Space = None,
        units: Space = None,
        state_size: Space = None,
        dropout: Space = None,
        batch_size: Space = None,
        warmup_fraction: float = 0.1,
        patience: int | None = None,
        loss=None,
        metrics=None,
        compile_options: Mapping | None = None,
        data_options: Mapping | None = None,
        seed: int | None = None,
        name: str | None = None,
        tunable: bool = True,
    ):
        super().__init__(name=name, tunable=tunable)
        if (preset is None) == (model is None):
            raise ValueError(
                "Pass either `preset` or `model`. Received: "
                f"preset={preset!r}, model={model!r}"
            )
        if not isinstance(preset, Preset | None):
            raise ValueError(f"`preset` must be a Preset. Received: preset={preset!r}")
        if not (model is None or callable(model)):
            raise ValueError(
                "`model` must be a class of models, or a function that makes one. "
                f"Received: model={model!r}"
            )
        if not isinstance(ring, bool | Mapping):
            raise ValueError(
                "`ring` must be a boolean, or arguments of `ring_hyperparameters`. "
                f"Received: ring={ring!r}"
            )
        check_fraction("warmup_fraction", warmup_fraction)
        if patience is not None:
            check_positive_integer("patience", patience)
        if seed is not None:
            check_non_negative_integer("seed", seed)
        values = locals()
        self.preset = preset
        self.arguments = dict(arguments or {})
        self.warmup_fraction = warmup_fraction
        self.patience = patience
        self.seed = seed
        self._make_model = model if preset is None else preset.build_model
        self._loss = loss
        self._metrics = metrics
        self._compile_options = dict(compile_options or {})
        self._data_options = dict(data_options or {})
        self._spaces = {
            name: check_space(name, values[name], **limits)
            for name, limits in _SPACES.items()
            if values[name] is not None
        }
        self._ring = dict(ring) if isinstance(ring, Mapping) else {} if ring else None
        if self._ring is not None:
            # Refuses what can't be searched now, not in a trial.
            ring_hyperparameters(keras_tuner.HyperParameters(), **self._ring)
        searched = {*self._spaces, *(RING if self._ring is not None else ())}
        twice = sorted(searched & set(self.arguments))
        if twice:
            raise ValueError(
                "`arguments` must not hold what is searched (a ring that is not: "
                f"`ring=False`). Received: arguments with {twice}"
            )
        if not np.all(np.array(self._spaces["learning_rate"]) > 0):
            raise ValueError(
                "`learning_rate` must be above 0. "
                f"Received: learning_rate={learning_rate!r}"
            )
        # What was trained last, and how often in a row.
        self._trained, self._executions = None, 0

    def resolve(self, hp: keras_tuner.HyperParameters) -> dict:
        """What the hyperparameters of a trial stand for.

        Args:
            hp: A `keras_tuner.HyperParameters`. What it lacks is added to it.

        Returns:
            A dictionary of numbers, ready for JSON: the ring's `r_min`, `r_max` and
            `max_phase`, whatever else is searched, and the settings that are not, as
            far as they are known.

        Example:
            >>> import keras_tuner
            >>> from keras_lru.experiments import get_preset
            >>> from keras_lru.tuner import LRUHyperModel
            >>> hypermodel = LRUHyperModel(get_preset("scifar"), ring=False)
            >>> settings = hypermodel.resolve(keras_tuner.HyperParameters())
            >>> settings["r_max"], settings["learning_rate"], settings["batch_size"]
            (0.999, 0.0001, 50)
        """
        settings = dict(_NOT_OF_MODEL)
        if self.preset is not None:
            names = (*_OF_MODEL, *_NOT_OF_MODEL)
            settings.update({name: getattr(self.preset, name) for name in names})
        known = set(_OF_MODEL) & set(self.arguments)
        settings.update({name: self.arguments[name] for name in known})
        if self._ring is not None:
            settings.update(ring_hyperparameters(hp, **self._ring))
        for name, space in self._spaces.items():
            log = _SPACES[name].get("log", False)
            settings[name] = suggest(hp, name, space, log)
        return settings

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Makes the model of a trial, compiled, with a constant learning rate.

        Args:
            hp: The trial's `keras_tuner.HyperParameters`.

        Returns:
            A compiled model. The one that was trained comes from the tuner's
            `get_best_models`.
        """
        settings = self.resolve(hp)
        # Hyperband's later trials have the settings of an earlier one.
        trial = {**settings, "epochs": hp.values.get("tuner/epochs")}
        if trial != self._trained:
            self._trained, self._executions = trial, 0
        arguments = {name: settings[name] for name in _OF_MODEL if name in settings}
        if self.seed is not None:
            arguments["seed"] = derive_seed(self.seed, "model", self._executions)
        model = self._make_model(**{**arguments, **self.arguments})

        rate = settings["learning_rate"]
        # A schedule, as `fit` sets another: the optimizer's state has one form.
        constant = warmup_cosine(rate, 1, warmup_fraction=0, min_learning_rate=rate)
        optimizer = AdamW(
            constant,
            settings["weight_decay"],
            recurrent_lr_factor=settings["recurrent_lr_factor"],
        )
        loss, metrics = self._loss, self._metrics
        model.compile(
            optimizer,
            loss=_default_loss(model) if loss is None else loss,
            # A metric has variables: no two models may share it.
            metrics=(
                _default_metrics(model) if metrics is None else copy.deepcopy(metrics)
            ),
            **self._compile_options,
        )
        if model.built:
            # So that `load_weights` has where to load the optimizer's state to.
            optimizer.build(model.trainable_variables)
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        x=None,
        y=None,
        batch_size: int | None = None,
        epochs: int | None = None,
        *,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_data=None,
        validation_split: float = 0.0,
        callbacks=(),
        **kwargs,
    ) -> keras.callbacks.History:
        """Trains the model of a trial; takes the arguments of the tuner's `search`.

        Args:
            hp: The trial's `keras_tuner.HyperParameters`.
            model: The model that `build` made.
            x: As for `keras.Model.fit`, or a function from the batch size to a
                `tf.data.Dataset` or another thing that yields batches; searching the
                batch size needs that, or arrays. `None` means the preset's data, by
                `keras_lru.datasets.load`, prepared before.
            y: As for `keras.Model.fit`.
            batch_size: In place of the setting.
            epochs: Number of epochs. Defaults to 1, and with the preset's data to as
                many as make up the preset's steps.
            initial_epoch: Number of epochs that were trained in an earlier trial.
            steps_per_epoch: As for `keras.Model.fit`. With the preset's data a tenth
                of its steps.
            validation_data: As for `keras.Model.fit`, or a function as for `x`. With
                the preset's data its validation split.
            validation_split: As for `keras.Model.fit`.
            callbacks: A list of callbacks.
            **kwargs: Other arguments of `keras.Model.fit`.

        Returns:
            The history of `keras.Model.fit`.

        Raises:
            keras_tuner.errors.FailedTrialError: If something logged is not finite.
            keras_tuner.errors.FatalValueError: If an argument is not as above.
        """
        settings = self.resolve(hp.copy())
        if batch_size is None:
            batch_size = settings["batch_size"]
        elif self._searches_batch_size:
            raise FatalValueError(
                "`batch_size` must not be passed to `search`, as it is searched. "
                f"Received: batch_size={batch_size!r}"
            )
        data = self._data(
            x, validation_data, batch_size, epochs, initial_epoch, steps_per_epoch
        )
        # A model that KerasTuner could not build has lost the earlier trial's state.
        epochs_done = initial_epoch if model.optimizer.built else 0
        schedule = TrialSchedule(
            settings["learning_rate"],
            self.warmup_fraction,
            epochs_done,
            data["epochs"] - initial_epoch + epochs_done,
        )
        callbacks = [schedule, keras.callbacks.TerminateOnNaN(), *callbacks]
        if self.patience is not None:
            validates = validation_split or "validation_data" in data
            monitor = "val_loss" if validates else "loss"
            stop = keras.callbacks.EarlyStopping(monitor, patience=self.patience)
            callbacks.append(stop)
        if self.seed is not None:
            seed = derive_seed(self.seed, "fit", self._executions, initial_epoch)
            keras.utils.set_random_seed(seed)
        # The schedule is part of a program compiled before.
        model.train_function = None
        try:
            with drop_compiled_programs():
                history = model.fit(
                    y=y,
                    batch_size=batch_size,
                    initial_epoch=initial_epoch,
                    validation_split=validation_split,
                    callbacks=callbacks,
                    **{**data, **kwargs},
                )
        finally:
            self._executions += 1
        _check_finite(history.history)
        return history

    def _data(
        self, x, validation_data, batch_size, epochs, initial_epoch, steps_per_epoch
    ):
        """Arguments of the model's `fit`: what was given, or the preset's."""
        if x is not None:
            data = {
                "x": self._with_batch_size("x", x, batch_size),
                "epochs": epochs or 1,
                "steps_per_epoch": steps_per_epoch,
            }
        elif self.preset is not None:
            data = load_preset_data(
                self.preset,
                batch_size=batch_size,
                epochs=epochs,
                initial_epoch=initial_epoch,
                steps_per_epoch=steps_per_epoch,
                validates=validation_data is None,
                options={"seed": self.seed or 0, **self._data_options},
            )
        else:
            raise FatalValueError(
                "`x` must be passed to `search`: there is no preset to load data of. "
                "Received: x=None"
            )
        if validation_data is not None:
            data["validation_data"] = self._with_batch_size(
                "validation_data", validation_data, batch_size
            )
        return data

    @property
    def _searches_batch_size(self):
        return isinstance(self._spaces.get("batch_size"), tuple | list)

    def _with_batch_size(self, name, data, batch_size):
        """What a function of the batch size returns; other data as they are."""
        if callable(data):
            return data(batch_size)
        is_array = all(hasattr(part, "shape") for part in keras.tree.flatten(data))
        if self._searches_batch_size and not is_array:
            raise FatalValueError(
                f"`{name}` must be arrays, or a function from the batch size to "
                f"batches, as `batch_size` is searched. Received: {name}={data!r}"
            )
        return data


def _default_loss(model):
    if not isinstance(model, SequenceClassifier | PairClassifier):
        return "mse"
    from_logits = model.activation is keras.activations.linear
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)


def _default_metrics(model):
    is_classifier = isinstance(model, SequenceClassifier | PairClassifier)
    return ["accuracy"] if is_classifier else ["mae"]


def _check_finite(logs):
    for name, values in logs.items():
        if not np.all(np.isfinite(values)):
            raise FailedTrialError(f"Training diverged: {name}={values}")
