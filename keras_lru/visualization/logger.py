"""Records the eigenvalues of a model while it trains."""

import os
from pathlib import Path

import keras
import numpy as np

from keras_lru.backend import call_when_built
from keras_lru.checks import check_positive_integer
from keras_lru.visualization.records import (
    append_records,
    read_records,
    write_records,
)
from keras_lru.visualization.spectrum import (
    QUANTITIES,
    find_eigenvalues,
    half_lives,
    summarize,
)


class SpectrumLogger(keras.callbacks.Callback):
    """Logs |λ|, half-lives and phases of all recurrences of a model, as they train.

    For each recurrence that `keras_lru.visualization.find_eigenvalues` finds: minimum,
    maximum and quantiles (5, 25, 50, 75 and 95 %) of |λ|, of the half-life
    `ln 2 / −ln|λ|` and of the phase |arg λ|. The first record is of the initial
    weights. `keras_lru.visualization.plot_spectrum_history` draws them.

    A search with KerasTuner gives each trial a copy. Of an `LRUHyperModel` each logs to
    a folder of its own in `log_dir`, of others all to the same; `csv` holds the last
    trial's rows.

    Args:
        log_dir: Folder for TensorBoard: the numbers as scalars, and histograms of |λ|,
            of the half-life's decimal logarithm and of the phase. It may be the folder
            of `keras.callbacks.TensorBoard`. Needs TensorFlow and TensorBoard, on all
            backends. `None`: no such log.
        csv: CSV file: a row for each recurrence and each step recorded. Folders above
            it are made. `None`: no such file.
        every: `"epoch"`, or a number of batches. On JAX a record in the middle of an
            epoch costs a copy of the training's state.
        append: Whether to go on with the file `csv`, as a resumed run does. Rows of
            steps that are trained again are replaced. `False` starts a new file.

    Attributes:
        records: List of what was recorded, a dictionary for each row of the CSV file:
            `step` (batches that the optimizer was given, however many it accumulates
            for an update), `layer`, `modulus_min`, `modulus_q05`, …, `half_life_min`,
            …, `phase_max`.

    Raises:
        ValueError: In the constructor, if `every` is something else, or if `append`
            finds a file of another kind in `csv`. When training starts, if the model
            has no recurrence.
        ImportError: In the constructor, if `log_dir` is given and TensorFlow or
            TensorBoard is missing.

    Example:
        >>> import keras, numpy as np
        >>> from keras_lru import LRU
        >>> from keras_lru.visualization import SpectrumLogger
        >>> model = keras.Sequential([keras.Input((5, 2)), LRU(1)])
        >>> model.compile("adam", "mse")
        >>> logger = SpectrumLogger()
        >>> x, y = np.ones((4, 5, 2)), np.ones((4, 1))
        >>> history = model.fit(
        ...     x, y, batch_size=2, epochs=2, verbose=0, callbacks=[logger]
        ... )
        >>> [record["step"] for record in logger.records]
        [0, 2, 4]
        >>> logger.records[0]["modulus_max"] < 1
        True
    """

    def __init__(
        self,
        log_dir: str | os.PathLike | None = None,
        csv: str | os.PathLike | None = None,
        every: int | str = "epoch",
        append: bool = False,
    ):
        super().__init__()
        if every != "epoch":
            try:
                every = check_positive_integer("every", every)
            except ValueError:
                raise ValueError(
                    '`every` must be "epoch" or a positive number of batches. '
                    f"Received: every={every!r}"
                ) from None
        self.log_dir = log_dir
        self.csv = None if csv is None else Path(csv)
        self.every = every
        self.append = append
        self.records: list[dict] = []
        self._writer = None
        if log_dir is not None:
            _import_summary()
        # What the file holds already; `None` once this run has written to it.
        self._earlier = []
        if append and self.csv is not None and self.csv.exists():
            self._earlier = read_records(self.csv)

    def __getstate__(self):
        """A copy, as KerasTuner makes for each trial, opens a log of its own."""
        return {**self.__dict__, "_writer": None}

    def on_epoch_begin(self, epoch, logs=None):
        """Records the initial weights, as soon as there are some."""
        call_when_built(self.model, self._start_epoch)

    def _start_epoch(self):
        # Keras brings the model up to date when it is asked for.
        model = self.model
        self._epoch_start = self._step = _batches_trained_on(model.optimizer)
        spectra = find_eigenvalues(model)
        if self._step == 0:
            self._record(0, spectra)

    def on_train_batch_end(self, batch, logs=None):
        """Records, if `every` is a number of batches and it is time."""
        if self.every == "epoch":
            return
        # Several batches may have passed, an epoch's last ones fewer than `batch` says:
        # `steps_per_execution`.
        before, self._step = self._step, self._epoch_start + batch + 1
        if self._step // self.every > before // self.every:
            model = self.model
            self._step = _batches_trained_on(model.optimizer)
            if self._step // self.every > before // self.every:
                self._record(self._step, find_eigenvalues(model))

    def on_epoch_end(self, epoch, logs=None):
        """Records, if `every` is `"epoch"`."""
        if self.every == "epoch":
            model = self.model
            step = _batches_trained_on(model.optimizer)
            self._record(step, find_eigenvalues(model))

    def on_train_end(self, logs=None):
        """Closes the log of TensorBoard."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _record(self, step, spectra):
        records = [
            {"step": step, "layer": name, **summarize(values)}
            for name, values in spectra.items()
        ]
        self.records += records
        if self.csv is not None:
            self._write_csv(step, records)
        if self.log_dir is not None:
            self._write_summaries(step, spectra, records)

    def _write_csv(self, step, records):
        if self._earlier is not None:
            kept = [record for record in self._earlier if record["step"] < step]
            write_records(self.csv, kept)
            self._earlier = None
        append_records(self.csv, records)

    def _write_summaries(self, step, spectra, records):
        summary = _import_summary()
        if self._writer is None:
            self._writer = summary.create_file_writer(str(self.log_dir))
        with self._writer.as_default(step):
            for (name, values), record in zip(spectra.items(), records, strict=True):
                for key, value in record.items():
                    if key not in ("step", "layer"):
                        summary.scalar(f"{name}/{key}", value)
                for quantity, measure in HISTOGRAMS.items():
                    summary.histogram(f"{name}/{quantity}", measure(values))
        self._writer.flush()


def _batches_trained_on(optimizer):
    """What the optimizer has counted: `iterations` counts updates where it accumulates.

    An optimizer around others, as mixed precision has, may have a count that stands
    still.
    """
    counts = [v for v in optimizer.variables if v.name == "iteration"]
    return max(int(keras.ops.convert_to_numpy(count)) for count in counts)


def _log_half_lives(eigenvalues):
    lives = half_lives(eigenvalues)
    return np.log10(lives[np.isfinite(lives) & (lives > 0)])


HISTOGRAMS = {
    "modulus": QUANTITIES["modulus"],
    "log10_half_life": _log_half_lives,
    "phase": QUANTITIES["phase"],
}


def _import_summary():
    try:
        import tensorboard  # noqa: F401
        from tensorflow import summary
    except ImportError as error:
        raise ImportError(
            "`log_dir` needs TensorFlow and TensorBoard: "
            "pip install tensorflow tensorboard"
        ) from error
    return summary
