"""Base classes of diagonal linear recurrences: complex states, eigenvalues, scans."""

from abc import abstractmethod

import numpy as np
from keras import ops

from keras_lru.checks import check_choice
from keras_lru.layers.recurrent import RecurrentCell
from keras_lru.ops.algorithm import check_block_size, check_scan
from keras_lru.ops.irregular import HOLDS


class DiagonalCell(RecurrentCell):
    """Base of cells `x_k = Λ x_{k-1} + B u_k`, `y_k = Re(C x_k) + D u_k`.

    A subclass makes its weights in `build`, and gives the system, a
    `keras_lru.ops.diagonal_system.DiagonalSystem`, by `system()`.

    Args:
        units: Positive integer, features of the output.
        num_states: Positive integer, complex states that are computed.
        hold: What inputs do between steps of unequal size, one of
            `keras_lru.ops.irregular.HOLDS`.
        **kwargs: `seed`, and Keras's own.
    """

    state_names = ("x_re", "x_im")
    lora_enabled = False
    _is_quantized = False

    def __init__(self, units, num_states, hold="zero_order", **kwargs):
        super().__init__(units, **kwargs)
        check_choice("hold", hold, HOLDS)
        self.num_states = num_states
        self.hold = hold

    @property
    def state_size(self):
        return [self.num_states, self.num_states]

    @abstractmethod
    def polar(self):
        """Λ, a `keras_lru.ops.complex.Polar`, `(num_states,)`."""

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(num_states,)`."""
        self._check_built()
        log_modulus, angle = (
            ops.convert_to_numpy(x).astype("float64") for x in self.polar()
        )
        return np.exp(log_modulus + 1j * angle).astype("complex64")

    def get_config(self):
        return {**super().get_config(), "hold": self.hold}

    def pair(self, name):
        """Real and imaginary part of B or C, what it learned in low rank included."""
        parts = [self.matrix(f"{name}_{part}") for part in ("re", "im")]
        return self.with_low_rank(name, parts) if self.lora_enabled else parts

    def matrix(self, name):
        """A weight as it is computed with, `None` if there is none."""
        weight = getattr(self, name)
        if weight is None:
            return None
        weight = ops.convert_to_tensor(weight)
        return self.dequantized(name, weight) if self._is_quantized else weight

    def make_pair(self, name, shape, packed, group, recurrent=False):
        """Real and imaginary part: the halves of one matrix, drawn together.

        Args:
            name: What the two names start with.
            shape: Shape of each part.
            packed: Function of the dtype: `[real, imag]` along the last axis. Called
                once per part, so it must give the same twice.
            group: As of `make_weight`.
            recurrent: As of `make_weight`.
        """
        columns = shape[-1]
        parts = {"re": slice(0, columns), "im": slice(columns, None)}

        def initializer(half):
            # A copy: on PyTorch a slice would keep the memory of both halves.
            return lambda shape, dtype=None: ops.copy(
                ops.convert_to_tensor(packed(dtype))[..., half]
            )

        return [
            self.make_weight(
                f"{name}_{part}", shape, initializer(half), group, recurrent
            )
            for part, half in parts.items()
        ]


class DiagonalSolver:
    """Mixin of layers over a `DiagonalCell`: `scan`, `block_size` and `eigenvalues`."""

    def __init__(self, cell, *, scan="auto", block_size="auto", **kwargs):
        scan, block_size = check_scan(scan), check_block_size(block_size)
        super().__init__(cell, **kwargs)
        self.scan = scan
        self.block_size = block_size

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(num_states,)`."""
        return self.cell.eigenvalues

    def solver_options(self):
        return {"scan": self.scan, "block_size": self.block_size}

    def solver_options_in_time(self):
        # Blocks are of steps of one size.
        return {"scan": self.scan, "hold": self.cell.hold}

    def get_config(self):
        return {**super().get_config(), **self.solver_options()}
