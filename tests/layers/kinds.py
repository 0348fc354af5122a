"""The recurrences of the library, each with all that the common tests must know of it.

A test of what every recurrence does takes a `Kind`, by `each_kind`. What a kind cannot
have is said here, as data: no test asks which kind it has.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import layers

from .. import differentiate
from ..scans import SCANS
from . import loops
from .sequences import (
    BATCH,
    CLOSE,
    TIME,
    compiled,
    normal,
    numpy_of,
    numpy_of_all,
    weights_of,
)


@dataclasses.dataclass(frozen=True, eq=False)
class Kind:
    """A recurrence at a small size, and its loop."""

    name: str
    layer: type
    cell: type
    # Arguments of the small layer, and the features of its inputs.
    sizes: dict
    features: int
    # Its states, each of `num_states` features.
    state_names: tuple
    num_states: int
    # The shape of each weight, in the order of `get_weights`.
    shapes: dict
    # Those which the library's `AdamW` treats apart.
    recurrent: tuple
    # The weights that `<group>_regularizer` and `<group>_constraint` are for.
    groups: dict
    # Those which no seed changes.
    fixed: tuple
    # Names of the arguments that choose how the recurrence is solved.
    solver_options: tuple
    # Arguments with which a state keeps, each step of zeros, so much of its modulus.
    slow: dict
    kept: float
    # Arguments with which each state has as many features as the output.
    wide: dict
    loop: Callable
    # Whether the first state is the output, as Keras's own loops take it to be.
    state_is_output: bool = False

    def __str__(self):
        return self.name

    # What it is asked for

    @property
    def units(self):
        return self.sizes["units"]

    @property
    def weights(self):
        return list(self.shapes)

    def make(self, built=True, features=None, **kwargs):
        """A small layer; it has its weights already unless `built` is false."""
        layer = self.layer(**{"seed": 1, **self.sizes, **kwargs})
        if built:
            layer.build((BATCH, None, features or self.features))
        return layer

    def make_cell(self, **kwargs):
        return self.cell(**{"seed": 1, **self.sizes, **kwargs})

    @functools.cache  # noqa: B019 - a kind is as long-lived as the process
    def solved_by(self, scan, block_size):
        """The same, whose layers are solved so."""
        options = {"scan": scan, "block_size": block_size}
        chosen = {name: options[name] for name in self.solver_options}
        return dataclasses.replace(self, sizes={**self.sizes, **chosen})

    def inputs(self, time=TIME, batch=BATCH, seed=0):
        return normal(batch, time, self.features, seed=seed)

    def states(self, batch=BATCH, size=None, seed=1):
        """Initial states, a list."""
        shape = (len(self.state_names), batch, size or self.num_states)
        return list(normal(*shape, seed=seed))

    # What it should answer

    def reference(self, layer, x, states=None, mask=None, weights=None):
        """Outputs and a list of last states that `layer` should return."""
        if layer.go_backwards:
            x = x[:, ::-1]
            mask = None if mask is None else mask[:, ::-1]
        weights = weights_of(layer) if weights is None else weights
        y, last = self.loop(layer.cell, weights, x, states, mask)
        if mask is not None and layer.zero_output_for_mask:
            y = y * mask[..., None]
        if not layer.return_sequences:
            y = y[:, -1] if y.shape[1] else np.zeros((len(y), y.shape[2]))
        return y, last

    def outputs(self, layer, x, states=None, mask=None):
        """The outputs alone."""
        return self.reference(layer, x, states, mask)[0]

    def check(self, layer, x, states=None, mask=None, close=CLOSE):
        """Assert that a layer that returns its states agrees with the loop.

        Args:
            layer: The layer, called as users call it, or a `Solver`.
            x: Inputs.
            states: Initial states, a list, or `None`.
            mask: A mask, or `None`.
            close: Tolerances.
        """
        found = layer(x, initial_state=states, mask=mask)
        layer = getattr(layer, "layer", layer)
        y, last = self.reference(layer, x, states, mask)
        for a, b in zip(found, [y, *last], strict=True):
            np.testing.assert_allclose(numpy_of(a), b, **close)

    def check_gradients(self, solver, x, states=None, mask=None, of=("all",)):
        """Assert that values and every gradient agree with the loop's.

        Args:
            solver: A `Solver`, or a layer that returns its states.
            x: Inputs.
            states: Initial states, a list, or `None`.
            mask: A mask, or `None`.
            of: Of what the gradients are: `"outputs"`, `"states"` or `"all"`.
        """
        if not isinstance(solver, Solver):
            solver = Solver(solver)
        layer = solver.layer
        arrays = {**weights_of(layer), "inputs": np.array(x, "float64")}
        if states is not None:
            parts = np.array(states, "float64")
            arrays.update(zip(self.state_names, parts, strict=True))

        def values():
            start = None if states is None else [arrays[n] for n in self.state_names]
            y, last = self.reference(layer, arrays["inputs"], start, mask, arrays)
            return [y, *last]

        slopes = _differences(values, arrays)
        expected = values()
        for part in of:
            weights = solver.cotangents(x, part)
            found, gradients = solver.gradients(weights, x, states, mask)
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, **CLOSE)
            assert gradients.keys() == slopes.keys()
            flat = np.concatenate([np.ravel(w) for w in weights])
            for name, slope in slopes.items():
                gradient = np.tensordot(flat, slope, 1)
                # As CLOSE, relative to the largest: small ones are differences of
                # large ones.
                atol = 1e-4 * max(1, abs(gradient).max())
                np.testing.assert_allclose(
                    gradients[name], gradient, atol=atol, err_msg=f"{name} of {part}"
                )

    def solver(self, **options):
        """A `Solver` of the layer with these options, one for all tests.

        They must leave its weights as they found them.
        """
        # As the layer has them if they are not given.
        return self._solver(**{n: v for n, v in options.items() if v is not False})

    @functools.cache  # noqa: B019 - a kind is as long-lived as the process
    def _solver(self, **options):
        return Solver(self.make(**{"return_state": True, **options}))

    @property
    def shared(self):
        """A built layer for all tests that leave its weights as they are."""
        return self.solver().layer


class Solver:
    """A layer without kept states, compiled once for what it is asked many times."""

    def __init__(self, layer):
        self.layer = layer
        self._values = compiled(self._call)
        self._pull_back = compiled(
            lambda arguments, mask, cotangents: differentiate.pull_back(
                lambda *arguments: self._call(arguments, mask), arguments, cotangents
            )
        )

    def _call(self, arguments, mask):
        weights, x, states = arguments
        fixed = [v.value for v in self.layer.non_trainable_variables]
        results, _ = self.layer.stateless_call(
            weights, fixed, x, initial_state=states or None, mask=mask
        )
        return list(results)

    def _arguments(self, x, states):
        weights = [v.value for v in self.layer.trainable_variables]
        tensors = [ops.convert_to_tensor(part) for part in states or ()]
        return [weights, ops.convert_to_tensor(x), tensors]

    def tensors(self, x, initial_state=None, mask=None):
        """Outputs and last states, a list of tensors."""
        return self._values(self._arguments(x, initial_state), mask)

    def __call__(self, x, initial_state=None, mask=None):
        """Outputs and last states, a list of float64 arrays."""
        return numpy_of_all(self.tensors(x, initial_state, mask))

    def cotangents(self, x, of="all", seed=2):
        """Weights of a loss that is a sum over outputs, last states, or both."""
        cell, rng = self.layer.cell, np.random.default_rng(seed)
        shape = (len(x), cell.output_size)
        if self.layer.return_sequences:
            shape = (len(x), x.shape[1], cell.output_size)
        y = rng.normal(size=shape) * (of != "states")
        return [
            y,
            *(
                rng.normal(size=(len(x), size)) * (of != "outputs")
                for size in cell.state_size
            ),
        ]

    def gradients(self, cotangents, x, states=None, mask=None):
        """Values, and `{name: gradient}` of their sum weighted by `cotangents`."""
        cotangents = [ops.cast(c, "float32") for c in cotangents]
        arguments = self._arguments(x, states)
        values, (of_weights, of_x, of_states) = self._pull_back(
            arguments, mask, cotangents
        )
        names = [w.name for w in self.layer.trainable_variables]
        names += ["inputs", *self.layer.cell.state_names[: len(of_states)]]
        found = numpy_of_all([*of_weights, of_x, *of_states])
        return numpy_of_all(values), dict(zip(names, found, strict=True))


def _differences(values, arrays):
    """`{name: (numbers, *array.shape)}`: derivatives of all numbers in `values()`."""
    # Truncation is of the order of its square, rounding of 1e-16 over it.
    delta = 1e-6

    def numbers():
        return np.concatenate([np.ravel(part) for part in values()])

    result = {}
    for name, array in arrays.items():
        result[name] = np.zeros((len(numbers()), *array.shape))
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + delta
            above = numbers()
            array[index] = kept - delta
            result[name][(slice(None), *index)] = (above - numbers()) / (2 * delta)
            array[index] = kept
    return result


_PAIR = ("x_re", "x_im")

KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "lru",
            layers.LRU,
            layers.LRUCell,
            sizes={"units": 4, "state_size": 3},
            features=2,
            state_names=_PAIR,
            num_states=3,
            shapes={
                "nu_log": (3,),
                "theta_log": (3,),
                "gamma_log": (3,),
                "B_re": (2, 3),
                "B_im": (2, 3),
                "C_re": (3, 4),
                "C_im": (3, 4),
                "D": (2, 4),
            },
            recurrent=("nu_log", "theta_log", "gamma_log", "B_re", "B_im"),
            groups={
                "recurrent": ["nu_log", "theta_log"],
                "input": ["B_re", "B_im"],
                "output": ["C_re", "C_im"],
                "feedthrough": ["D"],
            },
            fixed=(),
            solver_options=("scan", "block_size"),
            slow={"r_min": 0.999, "r_max": 0.999},
            kept=0.999,
            wide={"state_size": 4},
            loop=loops.lru,
        ),
        Kind(
            "s4d",
            layers.S4D,
            layers.S4DCell,
            sizes={"units": 2, "state_size": 6, "dt_min": 0.05, "dt_max": 0.8},
            features=2,
            state_names=_PAIR,
            num_states=6,
            shapes={
                "nu_log": (2, 3),
                "lambda_im": (2, 3),
                "log_delta": (2,),
                "C_re": (2, 3),
                "C_im": (2, 3),
                "D": (2,),
            },
            recurrent=("nu_log", "lambda_im", "log_delta"),
            groups={
                "recurrent": ["nu_log", "lambda_im"],
                "output": ["C_re", "C_im"],
                "feedthrough": ["D"],
            },
            fixed=("nu_log", "lambda_im"),
            solver_options=("scan", "block_size"),
            slow={"dt_min": 0.001, "dt_max": 0.001},
            kept=np.exp(-0.0005),
            wide={"state_size": 2},
            loop=loops.s4d,
        ),
        Kind(
            "s5",
            layers.S5,
            layers.S5Cell,
            sizes={"units": 3, "state_size": 4, "dt_min": 0.05, "dt_max": 0.8},
            features=2,
            state_names=_PAIR,
            num_states=2,
            shapes={
                "lambda_re": (2,),
                "lambda_im": (2,),
                "log_delta": (2,),
                "B_re": (2, 2),
                "B_im": (2, 2),
                "C_re": (2, 3),
                "C_im": (2, 3),
                "D": (2, 3),
            },
            recurrent=("lambda_re", "lambda_im", "log_delta", "B_re", "B_im"),
            groups={
                "recurrent": ["lambda_re", "lambda_im"],
                "input": ["B_re", "B_im"],
                "output": ["C_re", "C_im"],
                "feedthrough": ["D"],
            },
            fixed=("lambda_re", "lambda_im"),
            solver_options=("scan", "block_size"),
            slow={"dt_min": 0.001, "dt_max": 0.001},
            kept=np.exp(-0.0005),
            wide={"state_size": 6},
            loop=loops.s5,
        ),
        Kind(
            "dense_rnn",
            layers.DenseRNN,
            layers.DenseRNNCell,
            sizes={"units": 4, "state_size": 3},
            features=2,
            state_names=("x",),
            num_states=3,
            shapes={"A": (3, 3), "B": (2, 3), "C": (3, 4), "D": (2, 4)},
            recurrent=("A", "B"),
            groups={
                "recurrent": ["A"],
                "input": ["B"],
                "output": ["C"],
                "feedthrough": ["D"],
            },
            fixed=(),
            solver_options=(),
            slow={
                "activation": "linear",
                "recurrent_initializer": keras.initializers.Identity(0.999),
            },
            kept=0.999,
            wide={"state_size": 4},
            loop=loops.dense_rnn,
        ),
        Kind(
            "rg_lru",
            layers.RGLRU,
            layers.RGLRUCell,
            sizes={"units": 4, "num_heads": 2},
            features=4,
            state_names=("h",),
            num_states=4,
            shapes={
                "Lambda": (4,),
                "W_a": (2, 2, 2),
                "b_a": (4,),
                "W_x": (2, 2, 2),
                "b_x": (4,),
            },
            recurrent=("Lambda",),
            groups={
                "recurrent": ["Lambda"],
                "gate": ["W_a", "W_x"],
                "bias": ["b_a", "b_x"],
            },
            fixed=("b_a", "b_x"),
            solver_options=("scan",),
            slow={
                "a_min": 0.999,
                "a_max": 0.999,
                "bias_initializer": keras.initializers.Constant(20.0),
            },
            kept=0.999,
            wide={},
            loop=loops.rg_lru,
            state_is_output=True,
        ),
    )
}


def each_kind(*values, fast, others=None, names=tuple(KINDS)):
    """Cases of `pytest.mark.parametrize`: a kind, and one of each of `values`.

    Args:
        *values: Sequences of further parameters.
        fast: The cases `(name, *values)` that are fast tests; those of all other kinds
            and values are slow. Without `values`, names; `None` for all cases.
        others: What of the product of `values` kinds other than the LRU are tested
            with, where they share most of its code; `None` for all of it. Tuples, or
            the values themselves if there is one sequence.
        names: Names of kinds.

    Raises:
        ValueError: If one of `fast` or `others` is not in the product.
    """
    product = list(itertools.product(*values))
    chosen = product if others is None else list(map(_tuple, others))
    cases = [
        (name, *rest) for name in names for rest in (product, chosen)[name != "lru"]
    ]
    fast = cases if fast is None else list(map(_tuple, fast))
    for case in (*fast, *((names[0], *rest) for rest in chosen)):
        if case[1:] not in product:
            raise ValueError(f"No such case: {case}")
    return [
        pytest.param(
            KINDS[name],
            *rest,
            id="-".join(map(str, (name, *rest))),
            marks=() if (name, *rest) in fast else pytest.mark.slow,
        )
        for name, *rest in dict.fromkeys(cases + fast)
    ]


def _tuple(case):
    return case if isinstance(case, tuple) else (case,)


# Other ways to solve, with blocks that do and do not divide the time.
ALGORITHMS = tuple(
    (scan, block_size)
    for scan, block_size in zip(
        ("sequential", "chunked", "associative", "pallas"), (3, 2, 1, 4), strict=True
    )
    if scan in SCANS
)


def each_algorithm(fast=tuple(KINDS), solved=("lru", "s4d", "rg_lru")):
    """Cases of kinds as they are, and, slow, of `solved` in every way that they have.

    S5 is solved by what solves the LRU.
    """
    cases = each_kind(fast=fast)
    for name in solved:
        kind = KINDS[name]
        for algorithm in ALGORITHMS:
            chosen = algorithm[: len(kind.solver_options)]
            cases.append(
                pytest.param(
                    kind.solved_by(*algorithm),
                    id="-".join(map(str, (name, *chosen))),
                    marks=pytest.mark.slow,
                )
            )
    return cases
