"""Diagonal systems whose inputs reach all states: dense B and C, as in LRU and S5."""

from collections.abc import Sequence

from keras import ops

from keras_lru.backend.types import Tensor
from keras_lru.checks import check_shape
from keras_lru.ops.algorithm import resolve_block_size
from keras_lru.ops.complex import Complex, Polar, pack
from keras_lru.ops.diagonal_system import DiagonalSystem
from keras_lru.ops.sequences import feed_through, project
from keras_lru.ops.time_invariant import states_after


class DenseSystem(DiagonalSystem):
    """A diagonal system with B `(input_dim, state_size)`, C `(state_size, units)`.

    D is `None`, a vector `(units,)` (then `input_dim == units`), or a matrix
    `(input_dim, units)`. The other arguments are those of `DiagonalSystem`.
    """

    def __init__(
        self,
        polar: Polar,
        B: Sequence[Tensor],
        C: Sequence[Tensor],
        D: Tensor | None,
        compute_dtype: str,
    ):
        super().__init__(polar, B, C, D, compute_dtype)
        N = self.state_size
        check_shape("B", self.B.real, (None, None))
        check_shape("C", self.C.real, (None, None))
        H = self.input_dim = self.B.real.shape[0]
        units = self.output_dim = self.C.real.shape[1]
        for name, pair, shape in (("B", self.B, (H, N)), ("C", self.C, (N, units))):
            for x in pair:
                check_shape(name, x, shape)
        if self.D is not None:
            vector = [(units,)] if units == H else []
            check_shape("D", self.D, (H, units), *vector)

    def resolve_block_size(
        self, block_size: int | str, length: int | None, batch: int | None
    ) -> int:
        sizes = self.input_dim, self.output_dim, self.state_size
        return resolve_block_size(block_size, length, *sizes, batch)

    def read(self, blocks: Tensor, T: int) -> Tensor:
        W = pack(self.B)
        if T > 1:
            powers = self._powers(T).map(lambda x: ops.flip(x[:-1], axis=0))
            W = pack(powers.map(lambda x: ops.expand_dims(x, 1)) * self.B)
            W = ops.reshape(W, (T * self.input_dim, 2 * self.state_size))
        return ops.cast(self._product(blocks, W), self.dtype)

    def write(self, blocks: Tensor, before: Tensor, last: Tensor, T: int) -> Tensor:
        if T == 1:
            return self.output(states_after(before, last), blocks)
        readouts = self._readouts(T)
        V = ops.reshape(readouts[:, 1:], (2 * self.state_size, T * self.output_dim))
        K = self._kernel(readouts[:, :-1], T)
        return self._product(before, V) + self._product(blocks, K)

    def output(self, state: Tensor, inputs: Tensor) -> Tensor:
        fed = feed_through(inputs, self.D, self.compute_dtype)
        return self._product(state, self._readout()) + fed

    def step_constants(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """What a step of packed states `x` is made of, beside them and its input `u`.

        Returns:
            `(direct, cross, B, C, D)`: `x ← direct · x + cross · swapped + u B`, where
            `swapped` has the two halves of `x` exchanged, and `y = x C + D u`.
        """
        real, imag = self.polar.power(1)
        direct, cross = pack(Complex(real, real)), pack(Complex(-imag, imag))
        return direct, cross, pack(self.B), self._readout(), self.D

    def _readout(self):
        """Of packed states: `Re(C x)` is `[Re x, Im x] [Re C, −Im C]`."""
        return ops.concatenate([self.C.real, -self.C.imag], axis=0)

    def _readouts(self, T):
        """`_readout` of λ^j C for j = 0 … T, `(2 · state_size, T + 1, output_dim)`."""
        powers = self._powers(T).map(lambda x: ops.expand_dims(ops.transpose(x), -1))
        C = powers * self.C.map(lambda x: ops.expand_dims(x, 1))
        return ops.concatenate([C.real, -C.imag], axis=0)

    def _kernel(self, readouts, T):
        """K: the block Toeplitz matrix `(T · input_dim, T · output_dim)`."""
        rows = (2 * self.state_size, T * self.output_dim)
        taps = pack(self.B) @ ops.reshape(readouts, rows)
        taps = ops.reshape(taps, (self.input_dim, T, self.output_dim))
        if self.D is not None:
            D = self.D
            if len(D.shape) == 1:
                # Not `ops.diag`: OpenVINO has no rule for it.
                column = ops.arange(0, self.output_dim, dtype="int32")
                is_diagonal = ops.equal(column[:, None], column)
                D = ops.where(is_diagonal, D, ops.zeros_like(D))
            taps = ops.concatenate([taps[:, :1] + D[:, None], taps[:, 1:]], axis=1)
        taps = ops.concatenate([ops.zeros_like(taps[:, 1:]), taps], axis=1)
        rows = ops.stack([taps[:, T - 1 - s : 2 * T - 1 - s] for s in range(T)])
        return ops.reshape(rows, (T * self.input_dim, T * self.output_dim))

    def _product(self, x, matrix):
        return project(x, matrix, self.compute_dtype)
