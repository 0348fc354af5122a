"""What the cells share: weights in groups, states in single precision at least."""

import keras
from keras import constraints, initializers, ops, regularizers

from keras_lru.checks import describe, fits
from keras_lru.initializers.seeds import check_seed, draw_seed
from keras_lru.layers.copies import derive_seed
from keras_lru.ops.projection import feed_through, project

FEEDTHROUGHS = ("auto", "vector", "matrix", "none")
_RECURRENT = (
    *("nu_log", "theta_log", "gamma_log", "nu", "theta", "lambda_re", "lambda_im"),
    *("log_delta", "Lambda", "A", "B", "B_re", "B_im"),
)
_KINDS = {
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


def _module_of(name):
    return _KINDS.get(name.rpartition("_")[2])


def check_states(name, states, cell, batch):
    """Raise `ValueError` unless `states` is a list of what `cell` has for states."""
    parts = f"[{', '.join(cell.state_names)}]"
    if not isinstance(states, (list, tuple)) or len(states) != len(cell.state_names):
        raise ValueError(
            f"`{name}` must be a list {parts}. Received: {describe(states)}"
        )
    for part, size in zip(states, cell.state_size, strict=True):
        if not fits(part, (batch, size)):
            raise ValueError(
                f"Each part of `{name}` must be a tensor of shape (batch, state_size)"
                f" = {(batch, size)}. Received: {describe(part)}"
            )


class RecurrentCell(keras.layers.Layer):
    """A cell with groups of weights, and arguments for all weights of a group.

    A subclass sets `units`, `state_size`, `state_names` and `output_size`.

    Args:
        arguments: Arguments of the subclass's constructor by name. Those named
            `…_initializer`, `…_regularizer` and `…_constraint` become attributes, and
            part of the config.
        seed: Integer, or `None` for a random one.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.
    """

    def __init__(self, arguments, seed, **kwargs):
        # Weights and states keep their own dtype; inputs are cast where they are used.
        super().__init__(autocast=False, **kwargs)
        self.seed = check_seed(seed)
        # The weights count up from here: layers of neighbouring seeds must not meet.
        self._base_seed = derive_seed(draw_seed(self.seed), "weights")
        self._object_names = tuple(x for x in arguments if _module_of(x) is not None)
        for name in self._object_names:
            setattr(self, name, _module_of(name).get(arguments[name]))

    @property
    def state_dtype(self):
        """Dtype of the recurrence: the variables', but no less than float32."""
        half = self.variable_dtype in ("float16", "bfloat16")
        return "float32" if half else self.variable_dtype

    def _add_weight(self, name, shape, initializer, group=None):
        weight = self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=self.state_dtype,
            autocast=False,
            regularizer=group and getattr(self, f"{group}_regularizer"),
            constraint=group and getattr(self, f"{group}_constraint"),
        )
        weight.is_recurrent = name in _RECURRENT
        return weight

    def _resolve_feedthrough(self, input_dim):
        """`self.feedthrough` for inputs of these features, "auto" no more."""
        feedthrough = self.feedthrough
        if feedthrough == "auto":
            feedthrough = "vector" if input_dim == self.units else "matrix"
        if feedthrough == "vector" and input_dim != self.units:
            raise ValueError(
                '`feedthrough="vector"` needs inputs of `units` features. Received: '
                f"units={self.units}, inputs of {input_dim} features"
            )
        return feedthrough

    def _add_feedthrough(self, feedthrough, input_dim):
        if feedthrough == "none":
            return None
        initializer = self.feedthrough_initializer or initializers.RandomNormal(
            stddev=1.0, seed=self._base_seed + 4
        )
        shape = (self.units,) if feedthrough == "vector" else (input_dim, self.units)
        return self._add_weight("D", shape, initializer, "feedthrough")

    def project(self, x, matrix):
        """`x @ matrix` in the compute dtype, of a step or of a sequence."""
        return project(x, matrix, self.compute_dtype)

    def feed_through(self, inputs):
        """`D u` in the compute dtype, of a step or of a sequence."""
        return feed_through(inputs, self.D, self.compute_dtype)

    def _known_input_dim(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "The last dimension of `inputs` must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return input_shape[-1]

    def _check_built(self):
        if not self.built:
            raise ValueError(
                f"The weights of {self.name!r} do not exist yet. Call the layer on "
                "inputs, or call `build(input_shape)`, first."
            )

    def _dtypes_of(self, states, new_states):
        """The new states in the dtypes in which the old ones came."""
        return [
            ops.cast(new, old.dtype)
            for new, old in zip(new_states, states, strict=True)
        ]

    def get_initial_state(self, batch_size=None):
        """Zeros, a list of `(batch_size, state_size)`."""
        return [
            ops.zeros((batch_size, n), dtype=self.state_dtype) for n in self.state_size
        ]

    def compute_output_shape(self, input_shape, states_shape=None):
        """Shapes of the output and of the states."""
        states = [(input_shape[0], n) for n in self.state_size]
        return (input_shape[0], self.output_size), states

    def get_config(self):
        config = {
            name: _module_of(name).serialize(getattr(self, name))
            for name in self._object_names
        }
        return {**super().get_config(), **config, "seed": self.seed}
