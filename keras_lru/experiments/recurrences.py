"""Recurrences by name, to put in place of the LRU in the same model."""

import math

import keras

from keras_lru.checks import check_choice
from keras_lru.layers import LRU, RGLRU, S4D, S5, DenseRNN


def make_recurrence(
    name: str,
    units: int,
    state_size: int,
    r_min: float,
    r_max: float,
    max_phase: float,
):
    """A template for the `recurrence` of `LRUBackbone`.

    Args:
        name: `"lru"`; `"stable_exp"`, `"exp"` or `"real_imag"`, the LRU without γ, by
            its parameterization; `"rnn_tanh"`, `"rnn_relu"` or `"rnn_linear"`, dense
            RNNs; `"s4d"`, `"s5"`, `"rg_lru"`, `"gru"` or `"lstm"`.
        units: Number of features between the blocks.
        state_size: Number of complex states, or of real ones for a dense RNN.
        r_min: Inner radius of the ring, for the recurrences that have one.
        r_max: Outer radius of the ring.
        max_phase: Largest phase at initialization.

    Returns:
        A layer that is not built; `None` for `"lru"`, which `LRUBackbone` makes itself.

    Raises:
        ValueError: If `name` is none of these, or the layer refuses an argument.

    Example:
        >>> from keras_lru.experiments import make_recurrence
        >>> make_recurrence("s5", 8, 16, r_min=0, r_max=1, max_phase=3.14).blocks
        8
    """
    check_choice("recurrence", name, RECURRENCES)
    ring = {"r_min": r_min, "r_max": r_max, "max_phase": max_phase}
    layer = RECURRENCES[name](units, state_size, ring)
    if layer is not None:
        layer.return_sequences = True
    return layer


def settings_of_recurrence(name: str) -> tuple[str, ...]:
    """What the recurrence of a name reads of the settings of `make_recurrence`.

    Args:
        name: As for `make_recurrence`.

    Returns:
        Those of `"state_size"`, `"r_min"`, `"r_max"` and `"max_phase"` that change the
        layer. All read `units`.

    Raises:
        ValueError: If there is no such `name`.

    Example:
        >>> from keras_lru.experiments import settings_of_recurrence
        >>> settings_of_recurrence("s5"), settings_of_recurrence("gru")
        (('state_size',), ())
    """
    check_choice("recurrence", name, RECURRENCES)
    if name in ("lru", "stable_exp", "exp", "real_imag"):
        return ("state_size", "r_min", "r_max", "max_phase")
    return () if name in ("s4d", "rg_lru", "gru", "lstm") else ("state_size",)


def _step_to_lru(parameterization):
    def make(units, state_size, ring):
        return LRU(
            units,
            state_size=state_size,
            parameterization=parameterization,
            normalize=False,
            **ring,
        )

    return make


def _dense(activation):
    def make(units, state_size, ring):
        return DenseRNN(units, state_size=state_size, activation=activation)

    return make


RECURRENCES = {
    "lru": lambda units, state_size, ring: None,
    "stable_exp": _step_to_lru("stable_exp"),
    "exp": _step_to_lru("exp"),
    "real_imag": _step_to_lru("real_imag"),
    "rnn_linear": _dense("linear"),
    "rnn_tanh": _dense("tanh"),
    "rnn_relu": _dense("relu"),
    "s4d": lambda units, state_size, ring: S4D(units),
    # Half of S5's states are conjugates of the others, and not stored.
    "s5": lambda units, state_size, ring: S5(
        units, state_size=2 * state_size, blocks=math.gcd(8, state_size)
    ),
    "rg_lru": lambda units, state_size, ring: RGLRU(units),
    "gru": lambda units, state_size, ring: keras.layers.GRU(units),
    "lstm": lambda units, state_size, ring: keras.layers.LSTM(units),
}
"""Makers of recurrences, by name: the LRU; its ladder, without gamma, by what is
trained (paper, section 3); dense RNNs; and what it is compared with."""
