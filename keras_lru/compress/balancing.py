"""Balanced truncation of a diagonal system, in double precision on the CPU.

    x_k = Λ x_{k-1} + B u_k,   y_k = Re(C x_k)

Both Gramians are closed forms where Λ is diagonal (Antoulas, Approximation of
Large-Scale Dynamical Systems, 2005, chapter 7):

    P_ij = (B Bᴴ)_ij / (1 − λ_i λ̄_j),   Q_ij = (Cᴴ C)_ij / (1 − λ̄_i λ_j)

The square roots of the eigenvalues of P Q, the Hankel singular values σ, say how much
of the past reaches the future through each state of the balanced system. Without the
states beyond the first n, no input gives another output by more than 2 Σ_{k>n} σ_k
times its own size, both measured by the sum of squares over time.
"""

from typing import NamedTuple

import numpy as np

# Singular values below this share of the largest are rounding.
_ROUNDING = 1e-13
# Worst condition of a basis of eigenvectors to be trusted.
_MAX_CONDITION = 1e8


class Diagonal(NamedTuple):
    """A diagonal system in double precision.

    Attributes:
        log_eigenvalues: log Λ, complex, `(n,)`.
        B: Complex, `(input_dim, n)`.
        C: Complex, `(n, output_dim)`.
    """

    log_eigenvalues: np.ndarray
    B: np.ndarray
    C: np.ndarray


class BalancedSystem:
    """A diagonal system, and what its states are worth.

    Args:
        system: A `Diagonal`.
        length: Steps that sequences have, positive, or `None` for any number: over so
            many steps the Gramians are summed (Gawronski and Juang, 1990).
        reached: In place of P, what inputs of one's own reach, Σ x xᴴ, `(n, n)`.

    Attributes:
        singular_values: The Hankel singular values, descending, `(n,)`.

    Raises:
        ValueError: If an eigenvalue is not inside the unit circle: its state never
            forgets, and has no finite worth.
    """

    def __init__(
        self,
        system: Diagonal,
        length: int | None = None,
        reached: np.ndarray | None = None,
    ):
        logs = system.log_eigenvalues
        if not (logs.real < 0).all():
            modulus = np.exp(logs.real.max())
            raise ValueError(
                "eigenvalues must be inside the unit circle for their states to have "
                f"a finite energy. Received: |λ| = {modulus:.9g}"
            )
        self.system = system
        self._has_bound = length is None and reached is None
        B, C = system.B.T, system.C.T
        one_step = logs[:, None] + logs.conj()
        # Σ_k (λ_i λ̄_j)^k, over all steps or some.
        energy = -1 / np.expm1(one_step)
        if length is not None:
            energy = energy * -np.expm1(length * one_step)
        reach = _root(B @ B.conj().T * energy if reached is None else reached)
        seen = _root(C.conj().T @ C * energy.conj())
        if reached is not None and not reached.any():
            raise ValueError("the inputs given reach no state: they are zero")
        left, self.singular_values, right = np.linalg.svd(seen.conj().T @ reach)
        self._into = left.conj().T @ seen.conj().T
        self._back = reach @ right.conj().T

    def bound(self, size: int) -> float | None:
        """The largest gain of the difference that `truncate(size)` makes.

        `None` where none is known: for some steps, or some inputs.
        """
        return self._twice_the_rest(size) if self._has_bound else None

    def _twice_the_rest(self, size):
        return 2.0 * float(self.singular_values[size:].sum())

    def size_within(self, tolerance: float) -> int:
        """The fewest states: 2 Σ_{k>n} σ_k is at most `tolerance` times σ_1."""
        limit = tolerance * self.singular_values[0]
        sizes = range(len(self.singular_values) + 1)
        return max(1, next(n for n in sizes if self._twice_the_rest(n) <= limit))

    def truncate(self, size: int) -> Diagonal:
        """A diagonal system of `size` states, the first of the balanced one.

        States beyond what double precision tells apart have no input.

        Raises:
            ValueError: If the truncated system is not stable, or its eigenvectors are
                too close to each other to be told apart.
        """
        values = self.singular_values
        count = min(size, int((values > _ROUNDING * values[0]).sum()))
        root = np.sqrt(values[:count])
        into = self._into[:count] / root[:, None]
        back = self._back[:, :count] / root
        # Λ − 1 keeps the digits that eigenvalues close to 1 have.
        less_one = into @ (np.expm1(self.system.log_eigenvalues)[:, None] * back)
        eigenvalues, vectors = np.linalg.eig(less_one)
        condition = np.linalg.cond(vectors) if count else 1.0
        if not condition < _MAX_CONDITION:
            raise ValueError(
                f"the eigenvectors of the {count} states kept cannot be told apart: "
                f"their condition is {condition:.1e}, of at most {_MAX_CONDITION:.0e}"
            )
        logs = np.log1p(eigenvalues)
        if not (logs.real < 0).all():
            raise ValueError(
                f"the {count} states kept are not stable in double precision: "
                f"|λ| = {np.exp(logs.real.max()):.9g}"
            )
        B = np.linalg.solve(vectors, into @ self.system.B.T)
        C = self.system.C.T @ back @ vectors
        # Inputs as large as those of a normalized LRU.
        scale = np.sqrt(-np.expm1(2 * logs.real)) / np.linalg.norm(B, axis=1)
        B, C = scale[:, None] * B, C / scale
        idle = size - count
        return Diagonal(
            np.concatenate([logs, np.full(idle, np.log(0.5) + 0j)]),
            np.concatenate([B, np.zeros((idle, B.shape[1]))]).T,
            np.concatenate([C.T, np.zeros((idle, C.shape[0]))]),
        )


def _root(gramian):
    """A factor `L` with `L Lᴴ` the positive semidefinite matrix."""
    values, vectors = np.linalg.eigh((gramian + gramian.conj().T) / 2)
    return vectors * np.sqrt(np.clip(values, 0.0, None))
