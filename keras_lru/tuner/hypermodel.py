"""The library's models as a hypermodel of KerasTuner."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import keras_tuner
from keras_tuner.errors import FatalValueError

from keras_lru.backend import data_parallel_again
from keras_lru.checks import (
    check_fraction,
    check_non_negative_integer,
    check_positive_integer,
)
from keras_lru.experiments import Preset, settings_of_recurrence
from keras_lru.initializers.seeds import derive_seed
from keras_lru.tuner.executions import Executions
from keras_lru.tuner.global_settings import GlobalSettings
from keras_lru.tuner.made_with import check_folder, check_trial, describe
from keras_lru.tuner.repair import keep_copies
from keras_lru.tuner.ring import RING
from keras_lru.tuner.running_search import find_search
from keras_lru.tuner.search_space import SearchSpace
from keras_lru.tuner.template import (
    find_template,
    settings_of_template,
    with_settings,
)
from keras_lru.tuner.trial_callbacks import check_callbacks, separate_logs
from keras_lru.tuner.trial_data import make_trial_data
from keras_lru.tuner.trial_model import check_ring_is_read, compile_trial
from keras_lru.tuner.trial_training import train_trial

_RECURRENCE_SETTINGS = (*RING, "state_size")
_MODEL_SETTINGS = (*_RECURRENCE_SETTINGS, "depth", "units", "dropout")
# As they are if neither a preset nor the search says otherwise.
_TRAINING_SETTINGS = {
    "learning_rate": 0.001,
    "recurrent_lr_factor": 1.0,
    "weight_decay": 0.05,
    "batch_size": 32,
}
# May change while a search goes on: the scores stay what they are.
_HOW_IT_RUNS = ("run_eagerly", "jit_compile", "steps_per_execution")
_WHERE_DATA_ARE = ("data_dir", "download")

Values = float | tuple[float, float] | list[float] | None


class LRUHyperModel(keras_tuner.HyperModel):
    """Models of this library, and how to train them, for KerasTuner to search.

    Either a preset, which brings its data and its number of steps:

    ```python
    preset = keras_lru.experiments.get_preset("smnist", "tiny")
    hypermodel = LRUHyperModel(preset, state_size=(16, 64), seed=0)
    tuner = keras_tuner.RandomSearch(hypermodel, "val_accuracy", max_trials=20, seed=1)
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
            preset's, or beside them. A layer for `recurrence` is a template: what is
            searched of the ring and the sizes is searched in copies of it.
        ring: Whether to search the ring by `ring_hyperparameters`, or a dictionary of
            the arguments to call that with, such as `{"fixed": {"max_phase": 3.14}}`.
            A recurrence without a ring, such as a GRU, leaves it out.
        learning_rate: The highest learning rate.
        recurrent_lr_factor: What the rate of recurrent parameters is multiplied by.
        weight_decay: Weight decay of the parameters that are not recurrent.
        depth: Number of blocks.
        units: Number of features between the blocks.
        state_size: Number of complex states, where the recurrence reads it.
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
            seeds of their own, a trial that is tried again the same ones. `fit` then
            seeds Python's, NumPy's and the backend's global generators. The tuner has
            its own `seed`, for the hyperparameters, of at least 1: KerasTuner takes 0
            for none.
        name: As for `keras_tuner.HyperModel`.
        tunable: As for `keras_tuner.HyperModel`.

    Raises:
        ValueError: If not just one of `preset` and `model` is given, if `arguments`
            hold what is searched, if the recurrence does not read the `ring` that is
            asked for or the `state_size`, or if another argument is not as above.

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
        ['depth', 'keras_lru/settings', 'learning_rate', 'max_phase', 'one_minus_r_max',
         'r_min_fraction']
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
        learning_rate: Values = (1e-4, 1e-2),
        recurrent_lr_factor: Values = None,
        weight_decay: Values = None,
        depth: Values = None,
        units: Values = None,
        state_size: Values = None,
        dropout: Values = None,
        batch_size: Values = None,
        warmup_fraction: float = 0.1,
        patience: int | None = None,
        loss: Any = None,
        metrics: Any = None,
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
        check_fraction("warmup_fraction", warmup_fraction)
        if patience is not None:
            check_positive_integer("patience", patience)
        if seed is not None:
            check_non_negative_integer("seed", seed)
        self.preset = preset
        self.arguments = dict(arguments or {})
        self.warmup_fraction = warmup_fraction
        self.patience = patience
        self.seed = seed
        self._make_model: Any = model if preset is None else preset.build_model
        self._loss = loss
        self._metrics = metrics
        self._compile_options = dict(compile_options or {})
        self._data_options = dict(data_options or {})
        self._template = find_template(self.arguments)
        self._space = SearchSpace(
            ring,
            self._unread(),
            learning_rate=learning_rate,
            recurrent_lr_factor=recurrent_lr_factor,
            weight_decay=weight_decay,
            depth=depth,
            units=units,
            state_size=state_size,
            dropout=dropout,
            batch_size=batch_size,
        )
        twice = sorted(self._space.names & set(self.arguments))
        if twice:
            raise ValueError(
                "`arguments` must not hold what is searched (a ring that is not: "
                f"`ring=False`). Received: arguments with {twice}"
            )
        self._made_with = self._describe()
        self._executions = Executions()
        self._settings = GlobalSettings()

    def _unread(self):
        """Names of the settings that the recurrence does not read."""
        read = set(_RECURRENCE_SETTINGS)
        if self._template is not None:
            read = set(settings_of_template(self._template))
        elif self.preset is not None and "recurrence" not in self.arguments:
            read = set(settings_of_recurrence(self.preset.recurrence))
        return set(_RECURRENCE_SETTINGS) - read

    def _describe(self):
        """What is the same for the models of all trials, and how they are trained."""
        settings = dict(_TRAINING_SETTINGS)
        if self.preset is not None:
            settings |= dataclasses.asdict(self.preset)
        elif isinstance(self._make_model, type):
            settings["model"] = self._make_model
        searched = self._space.names - set(self._space.fixed)
        settings |= {**self.arguments, **self._space.fixed}
        return describe({n: v for n, v in settings.items() if n not in searched})

    def _join(self, search, given, callbacks):
        """Checks that this is the search of its folder, and looks after its files."""
        tuner, trial = search
        check_folder(tuner.project_dir, describe(self._training() | given))
        keep_copies(tuner.project_dir, tuner.get_trial_dir(trial.trial_id))
        separate_logs(callbacks, trial.trial_id, self._executions.number)

    def _training(self):
        """How all trials are trained, and what of them is searched."""
        return {
            **self._space.searched,
            "seed": self.seed,
            "warmup_fraction": self.warmup_fraction,
            "patience": self.patience,
            "loss": self._loss,
            **_without(self._compile_options, _HOW_IT_RUNS),
            **_without(self._data_options, _WHERE_DATA_ARE),
        }

    def resolve(self, hp: keras_tuner.HyperParameters) -> dict:
        """What the hyperparameters of a trial stand for.

        Args:
            hp: A `keras_tuner.HyperParameters`. What it lacks is added to it.

        Returns:
            A dictionary of numbers, ready for JSON: the ring's `r_min`, `r_max` and
            `max_phase`, whatever else is searched, and the settings that are not, as
            far as they are known, and as the recurrence reads them.

        Example:
            >>> import keras_tuner
            >>> from keras_lru.experiments import get_preset
            >>> from keras_lru.tuner import LRUHyperModel
            >>> hypermodel = LRUHyperModel(get_preset("scifar"), ring=False)
            >>> settings = hypermodel.resolve(keras_tuner.HyperParameters())
            >>> settings["r_max"], settings["learning_rate"], settings["batch_size"]
            (0.999, 0.0001, 50)

        Raises:
            keras_tuner.errors.FatalValueError: If they are of a trial that was made
                with other settings or arguments, which are named.
        """
        settings = dict(_TRAINING_SETTINGS)
        if self.preset is not None:
            names = (*_MODEL_SETTINGS, *_TRAINING_SETTINGS)
            settings.update({name: getattr(self.preset, name) for name in names})
        known = [name for name in _MODEL_SETTINGS if name in self.arguments]
        settings.update({name: self.arguments[name] for name in known})
        for name in self._unread():
            settings.pop(name, None)
        if self._template is not None:
            template = settings_of_template(self._template)
            settings.update(
                {n: template[n] for n in _RECURRENCE_SETTINGS if n in template}
            )
        drawn = self._space.draw(hp)
        check_trial(hp, self._made_with)
        return {**settings, **drawn}

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Makes the model of a trial, compiled, with a constant learning rate.

        Args:
            hp: The trial's `keras_tuner.HyperParameters`.

        Returns:
            A compiled model. The one that was trained comes from the tuner's
            `get_best_models`.

        Raises:
            keras_tuner.errors.FatalValueError: If the ring is searched, and a function
                made a model of this library whose recurrence has none; or if `resolve`
                refuses the trial.
        """
        # KerasTuner has cleared the session.
        self._settings.restore()
        settings = self.resolve(hp)
        # Hyperband's later trials have the settings of an earlier one.
        self._executions.begin({**settings, "epochs": hp.values.get("tuner/epochs")})
        arguments = {
            name: settings[name] for name in _MODEL_SETTINGS if name in settings
        }
        if self.seed is not None:
            arguments["seed"] = derive_seed(self.seed, "model", self._executions.number)
        arguments |= self.arguments
        if self._template is not None:
            drawn = {name: settings[name] for name in self._space.names & set(settings)}
            arguments["recurrence"] = with_settings(self._template, drawn)
        with data_parallel_again():
            model = self._make_model(**arguments)
            check_ring_is_read(model, self._space.names)
            compile_trial(
                model, settings, self._loss, self._metrics, self._compile_options
            )
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
            callbacks: A list of callbacks; none that sets the learning rate. In a
                search what has a `log_dir`, such as `keras.callbacks.TensorBoard`,
                logs to `log_dir/trial_id/execution0` and so on.
            **kwargs: Other arguments of `keras.Model.fit`.

        Returns:
            The history of `keras.Model.fit`.

        Raises:
            keras_tuner.errors.FailedTrialError: If something logged is not finite.
            keras_tuner.errors.FatalValueError: If an argument is not as above, or the
                search in this folder was made with other settings, ranges or epochs.
            keras_tuner.errors.FatalRuntimeError: If the disk is full.
        """
        search = find_search(callbacks)
        settings = self.resolve(hp.copy())
        if batch_size is None:
            batch_size = settings["batch_size"]
        elif self._space.searches("batch_size"):
            raise FatalValueError(
                "`batch_size` must not be passed to `search`, as it is searched. "
                f"Received: batch_size={batch_size!r}"
            )
        check_callbacks(callbacks)
        if search is not None:
            given = {"validation_split": validation_split, "batch_size": batch_size}
            if self._space.searches("batch_size"):
                del given["batch_size"]
            if "tuner/epochs" not in hp.values:
                given |= {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
            self._join(search, given, callbacks)
        data = make_trial_data(
            x=x,
            validation_data=validation_data,
            batch_size=batch_size,
            searches_batch_size=self._space.searches("batch_size"),
            preset=self.preset,
            epochs=epochs,
            initial_epoch=initial_epoch,
            steps_per_epoch=steps_per_epoch,
            options={"seed": self.seed or 0, **self._data_options},
        )
        seed = derive_seed(self.seed, "fit", self._executions.number, initial_epoch)
        with self._executions.counted(search and search.tuner.executions_per_trial):
            return train_trial(
                model,
                learning_rate=settings["learning_rate"],
                warmup_fraction=self.warmup_fraction,
                patience=self.patience,
                seed=seed,
                callbacks=callbacks,
                y=y,
                batch_size=batch_size,
                initial_epoch=initial_epoch,
                validation_split=validation_split,
                **{**data, **kwargs},
            )


def _without(options, names):
    return {name: value for name, value in options.items() if name not in names}
