"""Types of the arguments of layers, for annotations."""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras

InitializerLike: TypeAlias = (
    str | dict[str, Any] | keras.initializers.Initializer | Callable | None
)
RegularizerLike: TypeAlias = (
    str | dict[str, Any] | keras.regularizers.Regularizer | Callable | None
)
ConstraintLike: TypeAlias = (
    str | dict[str, Any] | keras.constraints.Constraint | Callable | None
)
ActivationLike: TypeAlias = str | dict[str, Any] | Callable | None
