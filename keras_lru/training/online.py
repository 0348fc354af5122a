"""Learning from a stream, step by step, with gradients that reach its beginning."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from keras_lru.backend import compiled, stateful_program, value_and_gradients
from keras_lru.backend.types import Tensor
from keras_lru.checks import check_real, describe
from keras_lru.ops.sensitivities import Trace
from keras_lru.training.online_model import OnlineModel


class OnlineLearner:
    """Trains a model on a stream, one step at a time, in memory that does not grow.

    Back-propagation through time keeps every step until the last one. In a diagonal
    linear recurrence it need not: how each state depends on each number of Λ and B is
    carried forward instead, beside the state (Zucchet et al., 2023, [Online learning of
    long-range dependencies](https://arxiv.org/abs/2305.15947)).
    A stream of any length trains so, and each step may change the weights.

    The gradients of one recurrence, and of all that comes after it, add up to those of
    back-propagation through time, as long as the weights stand still. In a stack, that
    is so of the last recurrence. The error reaches what is below a recurrence through
    the present step alone, which is the paper's rule, and an approximation. γ, ν, θ and
    Δ need nothing of their own: they enter through Λ and γB.

    An `LRU` or `S5` carries `2 · state_size · (2 + input_dim)` floats a sequence, an
    `S4D`, each of whose `units · N/2` states has one input, 6 for each of those.

    Args:
        model: A `keras.Model`, or a recurrent layer alone, built or not, whose
            recurrences are `LRU`, `S5` or `S4D` with `return_sequences=True`: an
            `LRUBackbone`, a `SequenceRegressor`, a stack of `LRUBlock`s. All other
            layers must look at each step alone. Dropout draws anew at each step.
        loss: A `keras.losses.Loss`, its name, or a function of `(targets, outputs)`.
            The model's own losses, such as those of regularizers, are added at each
            step.
        optimizer: A `keras.optimizers.Optimizer`, or its name. With its argument
            `gradient_accumulation_steps` weights change every so many steps. What is
            trainable is settled by the first step.

    Raises:
        ValueError: If `model` is neither, if a layer in it cannot learn online (a
            gated or dense recurrence, one with `bidirectional`, `go_backwards`,
            `stateful`, `return_state` or without `return_sequences`, a pooling, a
            mask, a batch normalization that is not frozen), or if Keras does not know
            `loss` or `optimizer`. At the first step, if the model mixes steps
            otherwise.

    References:
        [Zucchet et al., 2023](https://arxiv.org/abs/2305.15947).

    Example:
        >>> import keras, numpy as np
        >>> from keras_lru import LRU
        >>> from keras_lru.training import OnlineLearner
        >>> model = keras.Sequential(
        ...     [LRU(8, return_sequences=True, seed=0), keras.layers.Dense(1)]
        ... )
        >>> learner = OnlineLearner(model, "mse", keras.optimizers.Adam(0.01))
        >>> for x in np.random.default_rng(0).normal(size=(10, 4, 3)):
        ...     loss, outputs = learner.step(x, targets=x[:, :1])
        >>> tuple(outputs.shape)
        (4, 1)
    """

    def __init__(
        self,
        model: keras.layers.Layer,
        loss: str | Callable | keras.losses.Loss,
        optimizer: str | keras.optimizers.Optimizer = "adam",
    ):
        if not isinstance(model, keras.layers.Layer):
            raise ValueError(
                "`model` must be a keras.Model, or a recurrent layer. "
                f"Received: model={model!r}"
            )
        if not isinstance(model, keras.Model):
            model = keras.Sequential([model], name=f"online_{model.name}")
        self.model = model
        self.loss = _get_loss(loss)
        self.optimizer = _get_optimizer(optimizer)
        self._online = OnlineModel(model)
        self._shape: tuple[int, ...] = ()
        self._traces: dict[str, Trace] = {}
        self._programs: dict[str, Callable] = {}

    @property
    def memory(self) -> dict[str, Trace]:
        """All that is carried to the next step, `{layer name: Trace}`.

        A `Trace` has the states, and their derivatives by Λ and by B, each as a real
        and an imaginary part. Before the first step there is none.
        """
        return dict(self._traces)

    def step(
        self, inputs: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Learns from one step of the stream.

        Args:
            inputs: `(batch, features)`, or tokens `(batch,)`: a step of each sequence.
            targets: What the loss takes, for this step.
            sample_weight: `(batch,)`, or `None` for equal weights.

        Returns:
            `(loss, outputs)`: the loss of this step, with the weights before it, and
            the model's outputs `(batch, …)`.

        Raises:
            ValueError: If `inputs` has another shape than at the first step.
        """
        return self._run("step", inputs, targets, sample_weight)

    def gradients(
        self, inputs: Tensor, targets: Tensor, sample_weight: Tensor | None = None
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Reads one step of the stream as `step` does, and leaves the weights alone.

        Args:
            inputs: As of `step`, and so are the others.
            targets: See there.
            sample_weight: See there.

        Returns:
            `(loss, outputs, gradients)`: a gradient for each of
            `model.trainable_variables`, to sum up, or to look at.

        Raises:
            ValueError: As `step`.
        """
        return self._run("gradients", inputs, targets, sample_weight)

    def advance(self, inputs: Tensor) -> Tensor:
        """Reads one step of the stream that has no target: nothing is learned of it.

        What is learned later reaches back to it.

        Args:
            inputs: As of `step`.

        Returns:
            The model's outputs `(batch, …)`, as in inference.

        Raises:
            ValueError: As `step`.
        """
        return self._run("advance", inputs)

    def reset(self, rows: Sequence[int] | Sequence[bool] | None = None) -> None:
        """Starts new sequences: nothing is remembered of those before.

        Args:
            rows: Which of the batch: integers, or booleans `(batch,)`. `None`: all of
                them, and the next step may have another batch size.

        Raises:
            ValueError: If `rows` does not fit the batch.
        """
        if rows is None:
            self._traces = {}
        elif self._traces:
            chosen = _chosen_rows(rows, self._shape[0])
            self._traces = _restart(chosen, self._traces)

    def _run(self, name, inputs, *others):
        inputs = self._checked(inputs)
        if not self._programs:
            self._make_programs(inputs)
        if not self._traces:
            self._traces = self._online.start(inputs.shape[0])
            self._shape = tuple(inputs.shape)
        others = [None if x is None else _as_array(x, self.model) for x in others]
        *results, self._traces = self._programs[name](self._traces, inputs, *others)
        return results[0] if len(results) == 1 else tuple(results)

    def _checked(self, inputs):
        inputs = _as_array(inputs, self.model)
        check_real("inputs", inputs)
        shape = tuple(inputs.shape)
        if not shape:
            raise ValueError(
                "`inputs` must be a step of each sequence, (batch, …). "
                f"Received: {describe(inputs)}"
            )
        if self._traces and shape != self._shape:
            raise ValueError(
                f"`inputs` must have shape {self._shape}, as the step before, until "
                f"`reset()`. Received: {describe(inputs)}"
            )
        return inputs

    def _make_programs(self, inputs):
        if not self.model.built:
            self.model.build((inputs.shape[0], None, *inputs.shape[1:]))
        self._online.check_steps(ops.convert_to_tensor(inputs))
        self._variables = _unique(self.model.variables)
        self._trainable = list(self.model.trainable_variables)
        trained = set(map(id, self._trainable))
        self._others = [v for v in self._variables if id(v) not in trained]
        if not self._trainable:
            raise ValueError(
                "`model` must have trainable weights. Received: "
                f"model={self.model.name!r}, which has none"
            )
        if not self.optimizer.built:
            self.optimizer.build(self._trainable)
        variables = _unique([*self._variables, *self.optimizer.variables])
        self._programs = {
            "step": stateful_program(self._learn, variables),
            "gradients": stateful_program(self._differentiate, variables),
            "advance": stateful_program(self._advance, variables),
        }

    def _learn(self, traces, inputs, targets, sample_weight):
        scale = self.optimizer.scale_loss(ops.ones(()))
        loss, outputs, gradients, traces = self._differentiate(
            traces, inputs, targets, sample_weight, scale
        )
        self.optimizer.apply(gradients, self._trainable)
        return loss, outputs, traces

    def _differentiate(self, traces, inputs, targets, sample_weight, scale=1.0):
        inputs, targets, sample_weight = _as_tensors(inputs, targets, sample_weight)
        fixed = [ops.convert_to_tensor(v) for v in self._others]

        def scaled_loss(trainable):
            values = [
                *zip(self._trainable, trainable, strict=True),
                *zip(self._others, fixed, strict=True),
            ]
            with keras.StatelessScope(values, collect_losses=True) as scope:
                before = [scope.get_current_value(v) for v in self._others]
                outputs, new_traces = self._online(inputs, traces, training=True)
                loss = self.loss(targets, outputs, sample_weight)
                for penalty in self.model.losses:
                    loss = loss + ops.cast(penalty, loss.dtype)
                after = [scope.get_current_value(v) for v in self._others]
            pairs = zip(after, before, strict=True)
            changed = {i: x for i, (x, old) in enumerate(pairs) if x is not old}
            return loss * scale, (loss, outputs, new_traces, changed)

        (_, results), gradients = value_and_gradients(
            scaled_loss, [ops.convert_to_tensor(v) for v in self._trainable]
        )
        loss, outputs, traces, changed = results
        # The seeds of dropout, say.
        for i, value in changed.items():
            self._others[i].assign(value)
        return loss, outputs, gradients, traces

    def _advance(self, traces, inputs):
        (inputs,) = _as_tensors(inputs)
        return self._online(inputs, traces, training=False)


def _as_array(x, model):
    """A tensor, or a NumPy array, which a program takes in faster than it is made one.

    Floats are in the dtype of the model, and in no less than float32.
    """
    x = x if ops.is_tensor(x) else np.asarray(x)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if not keras.backend.is_float_dtype(dtype):
        return x
    wanted = keras.backend.result_type(model.compute_dtype, "float32")
    if dtype == wanted:
        return x
    return ops.cast(x, wanted) if ops.is_tensor(x) else x.astype(wanted)


def _as_tensors(*arrays):
    return [None if x is None else ops.convert_to_tensor(x) for x in arrays]


def _unique(variables):
    return list({id(v): v for v in variables}.values())


@compiled
def _restart(rows, traces):
    def zero(x):
        chosen = ops.reshape(rows, (-1, *[1] * (len(x.shape) - 1)))
        return ops.where(chosen, ops.zeros_like(x), x)

    return keras.tree.map_structure(zero, traces)


def _chosen_rows(rows, batch):
    """Booleans `(batch,)`."""
    chosen, rows = np.zeros(batch, bool), np.asarray(rows)
    try:
        chosen[rows if rows.size else []] = True
    except IndexError as error:
        raise ValueError(
            f"`rows` must be integers below the batch size, {batch}, or as many "
            f"booleans. Received: rows={rows.tolist()}"
        ) from error
    return chosen


class _Loss(keras.losses.Loss):
    """A function of targets and outputs as a loss."""

    def __init__(self, function):
        super().__init__(name="loss")
        self.call = function


def _get_loss(loss):
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError) as error:
        found = None
        raise ValueError(
            "`loss` must be a Keras loss, its name, or a function of targets and "
            f"outputs. Received: loss={loss!r}"
        ) from error
    if found is None:
        raise ValueError(f"`loss` is needed. Received: loss={loss!r}")
    return found if isinstance(found, keras.losses.Loss) else _Loss(found)


def _get_optimizer(optimizer):
    try:
        return keras.optimizers.get(optimizer)
    except (ValueError, TypeError) as error:
        raise ValueError(
            "`optimizer` must be a keras.optimizers.Optimizer or its name. "
            f"Received: optimizer={optimizer!r}"
        ) from error
