"""One step of a model, as a model of its own: states in, states out."""

import keras
import numpy as np
from keras import ops, tree

from keras_lru.export.folded_step import StepByStep
from keras_lru.export.input_signature import recorded_signature
from keras_lru.export.streaming_model import StreamingModel


def step_model(model: keras.Model) -> keras.Model:
    """One time step of a model, for devices and formats without loops over time.

    A functional model `[inputs, *states] → [outputs, *new states]`: the new states go
    in with the next step, in the same order, that of their names. Started from
    `initial_states` it gives, step by step, the outputs of the whole sequence; of a
    model that gives one output a sequence, that of the sequence so far.
    `export(path, format=…)` writes it in every format that Keras knows.

    It has no weights. Those of `model` are constants in it, as they are now; what
    follows from them alone, such as Λ and exp(gamma_log) ⊙ B, is computed beforehand.

    Args:
        model: A built `keras.Model` that can be streamed: as of `export_saved_model`.

    Returns:
        A `keras.Model`. Inputs are the model's, of shapes `(batch, features)` or
        `(batch,)` tokens, and the states by their names, `(batch, …)`. Its attribute
        `initial_states` is a list of NumPy arrays `(1, …)`.

    Raises:
        ValueError: If `model` is no model, is not built, or cannot be streamed. The
            message names the layer that stands in the way.

    Example:

    >>> import keras
    >>> from keras_lru import SequenceRegressor
    >>> from keras_lru.export import step_model
    >>> model = SequenceRegressor(1, depth=1, units=4, state_size=4)
    >>> series = keras.ops.ones((1, 5, 3))
    >>> whole = model(series)
    >>> step = step_model(model)
    >>> [x.name for x in step.inputs]
    ['inputs', 'lru_x_im', 'lru_x_re']
    >>> states = [keras.ops.convert_to_tensor(x) for x in step.initial_states]
    >>> for inputs in keras.ops.unstack(series, axis=1):
    ...     outputs, *states = step([inputs, *states])
    >>> bool(keras.ops.all(keras.ops.abs(outputs - whole[:, -1]) < 1e-5))
    True
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
    (structure,) = recorded_signature(model)
    for spec in tree.flatten(structure):
        if len(spec.shape) < 2:
            raise ValueError(
                "`model` must have inputs of shape (batch, time, …). Received: "
                f"model={model.name!r} with an input of shape {tuple(spec.shape)}"
            )
    step = _Step(model, structure)
    inputs = [
        keras.Input(spec.shape[2:], dtype=spec.dtype, name=_name(spec.name, i))
        for i, spec in enumerate(tree.flatten(structure))
    ]
    rows = step.initial_state
    if shared := {x.name for x in inputs} & set(rows):
        raise ValueError(
            "`model` must have inputs of other names than its states have in the step. "
            f"Received: inputs and states named {sorted(shared)}"
        )
    states = [
        keras.Input(row.shape, dtype=str(row.dtype), name=name)
        for name, row in rows.items()
    ]
    found = keras.Model([*inputs, *states], step([*inputs, *states]), name="step")
    found.initial_states = [row[None] for row in rows.values()]
    # Keras exports what has been called.
    found([ops.zeros((1, *x.shape[1:]), dtype=x.dtype) for x in found.inputs])
    return found


def _name(name, index):
    """A valid name of an input."""
    return name.partition(":")[0] if name else f"inputs_{index}"


class _OneStep(StepByStep, StreamingModel):
    """Takes one step at a time, by constants where a layer has some."""

    advice = ""

    def __init__(self, model, structure):
        super().__init__(model, [structure])
        self.fold(lambda x: np.array(ops.convert_to_numpy(x)))
        self._constants = [
            (variable, ops.convert_to_numpy(variable)) for variable in model.variables
        ]

    def __call__(self, inputs, states, **kwargs):
        """As of `ModelInPieces`, with constants for variables."""
        constants = [
            (variable, ops.convert_to_tensor(value, dtype=variable.dtype))
            for variable, value in self._constants
        ]
        with keras.StatelessScope(constants):
            return super().__call__(inputs, states, **kwargs)


class _Step(keras.layers.Layer):
    """Runs the step. It has no weights: it does not track the model."""

    def __init__(self, model, structure):
        super().__init__(name="one_step", dtype=model.dtype_policy, autocast=False)
        self._stream = _OneStep(model, structure)
        # JAX sorts dictionaries.
        self.initial_state = dict(sorted(self._stream.initial_state.items()))
        self._structure = structure

    def get_config(self):
        """None: a step is exported, or made anew of the model, which has a file."""
        raise NotImplementedError(
            "A step model is not saved: `export` it, or save the model that it is of, "
            "and call `step_model` again."
        )

    def call(self, tensors):
        """Outputs and new states, one list."""
        count = len(tree.flatten(self._structure))
        steps = [ops.expand_dims(x, 1) for x in tensors[:count]]
        states = dict(zip(self.initial_state, tensors[count:], strict=True))
        inputs = tree.pack_sequence_as(self._structure, steps)
        outputs, states = self._stream(inputs, states)
        outputs = [
            ops.squeeze(x, 1) if has_time else x
            for x, has_time in zip(
                tree.flatten(outputs), self._stream.has_time, strict=True
            )
        ]
        return [*outputs, *(states[name] for name in self.initial_state)]
