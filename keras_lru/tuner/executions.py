"""Which execution of its trial is running: each has seeds of its own."""

import contextlib


class Executions:
    """Counts the executions of a trial, from 0, and anew when it is tried again.

    KerasTuner does not say which execution a model is built for.

    Attributes:
        number: Number of the execution that is running, or is about to.
    """

    def __init__(self):
        self.number = 0
        self._trial = None

    def begin(self, trial):
        """Starts anew unless `trial`, what a model is built of, is as it was before."""
        if trial != self._trial:
            self._trial, self.number = trial, 0

    @contextlib.contextmanager
    def counted(self, total):
        """Counts what runs within; after a failure, or the last, there is none before.

        Args:
            total: Number of executions a trial, or `None` if that is not known.
        """
        try:
            yield
        except BaseException:
            self.number = 0
            raise
        self.number += 1
        if self.number == total:
            self.number = 0
