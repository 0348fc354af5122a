"""Base classes of gated linear recurrences: a real state, coefficients of the input."""

from abc import abstractmethod

from keras_lru.layers.recurrent import RecurrentCell
from keras_lru.ops.algorithm import check_scan
from keras_lru.ops.gated_system import GatedSystem


class GatedCell(RecurrentCell):
    """Base of cells `h_k = a_k ⊙ h_{k-1} + b_k`, where the input sets `a` and `b`.

    The state h is real and is the output. A subclass makes its weights in `build`, and
    gives the two by `coefficients(inputs)`; a step, and all steps, follow.

    Args:
        units: Positive integer, features of the state and of the output.
        **kwargs: `seed`, and Keras's own.
    """

    state_names = ("h",)

    @property
    def state_size(self):
        return [self.units]

    @abstractmethod
    def coefficients(self, inputs):
        """`(a, b)` in the dtype of the state, of a step or of sequences.

        Args:
            inputs: `(batch, input_dim)` or `(batch, time, input_dim)`, in the compute
                dtype.

        Returns:
            Two tensors like `inputs`, of `units` features. `b` of zero inputs is zero.
        """

    def system(self):
        return GatedSystem(self.coefficients, self.compute_dtype)


class GatedSolver:
    """Mixin of layers over a `GatedCell`: `scan`."""

    def __init__(self, cell, *, scan="auto", **kwargs):
        scan = check_scan(scan)
        super().__init__(cell, **kwargs)
        self.scan = scan

    def solver_options(self):
        return {"scan": self.scan}

    def solver_options_in_time(self):
        return self.solver_options()

    def get_config(self):
        return {**super().get_config(), **self.solver_options()}
