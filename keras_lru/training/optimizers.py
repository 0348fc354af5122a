"""AdamW with a smaller rate, and no weight decay, for recurrent parameters."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
from keras import ops

from keras_lru.checks import check_non_negative

RECURRENT_VARIABLES = (
    "nu_log",
    "theta_log",
    "gamma_log",
    "nu",
    "theta",
    "lambda_re",
    "lambda_im",
    "log_delta",
    "Lambda",
    "A",
    "B",
    "B_re",
    "B_im",
)
"""Names of the recurrent weights of this library's layers, to pass to `AdamW` as
`recurrent_variables`: the paper's, and those of the baselines."""


@keras.saving.register_keras_serializable(package="keras_lru")
class AdamW(keras.optimizers.AdamW):
    """AdamW that treats the weights of a recurrence apart.

    Recurrent variables get the learning rate times `recurrent_lr_factor` and no weight
    decay. Every other variable is updated exactly as by `keras.optimizers.AdamW`, and
    so are all of them when none is recurrent. The paper (appendix D, table 9) uses
    factors from 0.1 to 0.5.

    A variable is recurrent if it has an attribute `is_recurrent` that is true. The
    layers of this library mark their weights so: B and all that the eigenvalues are
    made of. A layer of one's own does it in `build`:

    ```python
    self.decay = self.add_weight(shape=(units,), name="decay")
    self.decay.is_recurrent = True
    ```

    Args:
        learning_rate: A float, a `keras.optimizers.schedules.LearningRateSchedule`,
            or a callable without arguments that returns the rate. Defaults to
            `0.001`.
        weight_decay: Float, the weight decay of the variables that are not
            recurrent. Defaults to `0.05`, the paper's.
        recurrent_lr_factor: Float, at least 0. What the learning rate of recurrent
            variables is multiplied by; 0 freezes them. Defaults to `1.0`.
        recurrent_variables: Iterable of strings, the names of recurrent variables, in
            place of the marks, which then count for nothing. A name is the last part
            of a variable's path: `"nu_log"` stands for the `nu_log` of every layer.
            `RECURRENT_VARIABLES` are those of this library's layers. Defaults to
            `None`, the marked variables.
        **kwargs: Arguments of `keras.optimizers.AdamW`, such as `beta_1`,
            `global_clipnorm`, `use_ema` and `gradient_accumulation_steps`.

    Raises:
        ValueError: If `recurrent_lr_factor` is not a finite number of at least 0, if
            `recurrent_variables` is neither `None` nor an iterable of names, or if
            `keras.optimizers.AdamW` refuses another argument.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), appendix D;
        [Loshchilov & Hutter, 2019](https://arxiv.org/abs/1711.05101).

    Example:
        The first step of Adam has the size of the rate, whatever the gradient:

        >>> import keras
        >>> from keras_lru.training import AdamW
        >>> nu_log = keras.Variable(1.0, name="nu_log")
        >>> nu_log.is_recurrent = True
        >>> kernel = keras.Variable(1.0, name="kernel")
        >>> optimizer = AdamW(0.1, weight_decay=0.5, recurrent_lr_factor=0.25)
        >>> gradients = [keras.ops.ones(()), keras.ops.ones(())]
        >>> optimizer.apply(gradients, [nu_log, kernel])
        >>> print(f"{float(nu_log):.3f}")  # 1 - 0.25 · 0.1
        0.975
        >>> print(f"{float(kernel):.3f}")  # 1 - 0.5 · 0.1 - 0.1
        0.850
    """

    def __init__(
        self,
        learning_rate: float
        | keras.optimizers.schedules.LearningRateSchedule
        | Callable = 0.001,
        weight_decay: float = 0.05,
        *,
        recurrent_lr_factor: float = 1.0,
        recurrent_variables: Iterable[str] | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate, weight_decay=weight_decay, **kwargs
        )
        self.recurrent_lr_factor = _checked_factor(recurrent_lr_factor)
        self.recurrent_variables = _checked_names(recurrent_variables)

    def build(self, variables):
        """Create the optimizer's state and find the recurrent variables.

        Args:
            variables: List of the model's trainable variables.
        """
        if self.built:
            return
        self._is_recurrent = tuple(map(self._finds_recurrent, variables))
        super().build(variables)

    def _finds_recurrent(self, variable):
        if self.recurrent_variables is None:
            return bool(getattr(variable, "is_recurrent", False))
        return _name(variable) in self.recurrent_variables

    def update_step(self, gradient, variable, learning_rate):
        """Update one variable, a recurrent one at its own rate.

        Args:
            gradient: Tensor, the gradient of the loss for `variable`.
            variable: The variable to update.
            learning_rate: The rate of variables that are not recurrent.
        """
        if self._is_recurrent[self._get_variable_index(variable)]:
            learning_rate = ops.multiply(learning_rate, self.recurrent_lr_factor)
        super().update_step(gradient, variable, learning_rate)

    def _use_weight_decay(self, variable):
        # Not through `exclude_from_weight_decay`, whose last call wins: it is the
        # user's, for variables that are not recurrent.
        if self._is_recurrent[self._get_variable_index(variable)]:
            return False
        return super()._use_weight_decay(variable)

    def _apply_weight_decay(self, variables):
        # Keras's own fails on PyTorch where no variable decays.
        if any(map(self._use_weight_decay, variables)):
            super()._apply_weight_decay(variables)

    def get_config(self):
        """Return the arguments that make an optimizer like this one.

        Returns:
            A serializable dictionary.
        """
        names = self.recurrent_variables
        return {
            **super().get_config(),
            "recurrent_lr_factor": self.recurrent_lr_factor,
            "recurrent_variables": None if names is None else list(names),
        }


def _name(variable):
    # A bare `tf.Variable` is named "layer/nu_log:0".
    return variable.name.split("/")[-1].split(":")[0]


def _checked_factor(factor):
    check_non_negative("recurrent_lr_factor", factor)
    return float(factor)


def _checked_names(names):
    requirement = (
        "`recurrent_variables` must be None, or an iterable of variable names without "
        "'/', such as ('nu_log', 'theta_log'). Received: recurrent_variables="
    )
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValueError(f"{requirement}{names!r}")
    names = tuple(names)
    if not all(isinstance(name, str) and name and "/" not in name for name in names):
        raise ValueError(f"{requirement}{names!r}")
    return names
