"""Weights of eight bits, by Keras's names: `quantize("int8")`."""

import functools

import keras
from keras import ops

from keras_lru.layers.serialization import serialize_unbuilt

# The matrices of a cell. A vector D is no larger than a row of one, and stays.
_MATRICES = ("B_re", "B_im", "C_re", "C_im", "D")


def unquantized(policy):
    """A dtype policy for what has no matrices: its dtypes, without quantization."""
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap):
        return keras.dtype_policies.DTypePolicyMap(
            unquantized(policy.default_policy),
            {path: unquantized(one) for path, one in policy.items()},
        )
    if policy.quantization_mode is None:
        return policy
    return keras.DTypePolicy(policy.get_config()["source_name"])


def policy_of(layer):
    """The dtype policy of a layer, that of its path where it has one of many paths."""
    policy = layer.dtype_policy
    if isinstance(policy, keras.dtype_policies.DTypePolicyMap) and layer.path:
        return policy[layer.path]
    return policy


def settle_policy(layer, path=None):
    """Gives a layer that has one dtype policy of many paths that of its own.

    Keras's dense layers and embeddings cannot be quantized or saved without.
    """
    if isinstance(layer.dtype_policy, keras.dtype_policies.DTypePolicyMap):
        layer._dtype_policy = layer.dtype_policy[path or layer.path]


class CalledAsEver:
    """Mixin of layers whose calls are the same when weights are quantized."""

    def _int8_call(self, *args, **kwargs):
        return self.call(*args, **kwargs)


class QuantizedMatrices(CalledAsEver):
    """Mixin of cells with matrices B and C, and D: `quantize`.

    Each becomes integers, with a scale for each column. Inputs and states stay as they
    are: quantized too, they cost more accuracy than the matrices, and more time.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._check_mode(self.quantization_mode)

    def quantize(self, mode=None, type_check=True, config=None):
        """Make integers of eight bits of B, C and a matrix D.

        As `keras.layers.Dense.quantize`, of the kernel: each column is divided by its
        largest number. They are not trained any more. Λ, γ and a vector D are few
        weights, and stay as they are.

        Args:
            mode: `"int8"`.
            type_check: Whether to refuse subclasses, whose `system` may be another.
            config: A `keras.quantizers.Int8QuantizationConfig`, of which the
                `weight_quantizer` is used. Inputs and states are never quantized.

        Raises:
            NotImplementedError: If the mode is another, or a subclass is refused.
            ValueError: If there are no weights yet, they are quantized already, the
                compute dtype is float16, or the scales of `weight_quantizer` are not of
                columns.
        """
        if type_check and QuantizedMatrices not in type(self).__bases__:
            raise self._not_implemented_error(
                self.quantize, "To quantize a subclass, pass `type_check=False`."
            )
        self._check_mode(mode)
        quantizer = keras.quantizers.QuantizationConfig.weight_quantizer_or_default(
            config, keras.quantizers.AbsMaxQuantizer(axis=0)
        )
        matrices = {
            name: getattr(self, name)
            for name in _MATRICES
            if _is_matrix(name, getattr(self, name))
        }
        values = {
            name: _columns(quantizer, matrix) for name, matrix in matrices.items()
        }
        source = policy_of(self)
        for name, matrix in matrices.items():
            delattr(self, name)
            new = self._make_quantized(name, matrix.shape, matrix.is_recurrent)
            setattr(self, name, new)
            for weight, value in zip(
                (new, getattr(self, f"{name}_scale")), values[name], strict=True
            ):
                weight.assign(value)
        if source.quantization_mode is None:
            self._dtype_policy = keras.dtype_policies.get(f"{mode}_from_{source.name}")

    def _check_mode(self, mode):
        if mode not in (None, "int8"):
            raise NotImplementedError(
                f"{type(self).__name__} can be quantized to 'int8' and to nothing "
                f"else. Received: mode={mode!r} for {self.name!r}"
            )

    def make_weight(self, name, shape, initializer, group=None, recurrent=False):
        """As of `RecurrentCell`; a matrix of a quantized cell is zero, as Keras's."""
        self._check_mode(self.quantization_mode)
        if self.quantization_mode is None or not _is_matrix(name, shape):
            return super().make_weight(name, shape, initializer, group, recurrent)
        return self._make_quantized(name, shape, recurrent)

    def _make_quantized(self, name, shape, recurrent):
        """Integers; their scales become an attribute."""
        fixed = {"trainable": False, "autocast": False}
        weight = self.add_weight(
            name=name, shape=shape, initializer="zeros", dtype="int8", **fixed
        )
        scale = self.add_weight(
            name=f"{name}_scale",
            shape=shape[-1:],
            initializer="ones",
            dtype=self.state_dtype,
            **fixed,
        )
        weight.is_recurrent = scale.is_recurrent = recurrent
        setattr(self, f"{name}_scale", scale)
        self._is_quantized = True
        return weight

    def dequantized(self, name, weight):
        """The numbers that a weight stands for, in the dtype of the recurrence."""
        scale = getattr(self, f"{name}_scale", None)
        if scale is None:
            return weight
        return ops.cast(weight, self.state_dtype) / ops.convert_to_tensor(scale)

    def stored(self, name, value):
        """`{name of a weight: array}`, what a file holds of the numbers of a matrix."""
        if not self._is_quantized:
            return {name: value}
        quantizer = keras.quantizers.AbsMaxQuantizer(axis=0)
        integers, scale = _columns(quantizer, value)
        return {name: integers, f"{name}_scale": scale}

    def get_config(self):
        policy = keras.dtype_policies.serialize(policy_of(self))
        return {**super().get_config(), "dtype": policy}


def _is_matrix(name, weight):
    """Whether it is quantized, by its name and its shape."""
    shape = getattr(weight, "shape", weight)
    return name in _MATRICES and shape is not None and len(shape) == 2


def _columns(quantizer, matrix):
    """Integers, and the scales of the columns."""
    integers, scale = quantizer(matrix, to_numpy=True)
    if tuple(scale.shape) != (1, matrix.shape[1]):
        raise ValueError(
            "`weight_quantizer` must have axis=0, a scale for each column of a matrix. "
            f"Received: scales of shape {tuple(scale.shape)} for a matrix of shape "
            f"{tuple(matrix.shape)}"
        )
    return integers, ops.squeeze(scale, axis=0)


class QuantizedRecurrence(CalledAsEver):
    """Mixin of layers over a cell of `QuantizedMatrices`."""

    @property
    def _is_quantized(self):
        return self.cell._is_quantized

    def quantize(self, mode=None, type_check=True, config=None):
        """Make integers of eight bits of B, C and a matrix D.

        As `keras.layers.Dense.quantize`, of the kernel: each column is divided by its
        largest number, and the integers are multiplied again where they are used. They
        are not trained any more. Λ, γ and a vector D are few weights, and stay as they
        are, and so do inputs and states.

        Args:
            mode: `"int8"`.
            type_check: Whether to refuse a subclass of the cell.
            config: A `keras.quantizers.Int8QuantizationConfig`, of which the
                `weight_quantizer` is used. Inputs and states are never quantized.

        Raises:
            NotImplementedError: If the mode is another, or the cell is refused.
            ValueError: If there are no weights yet, they are quantized already, the
                compute dtype is float16, or the scales of `weight_quantizer` are not of
                columns.

        Example:

        >>> from keras_lru import LRU
        >>> layer = LRU(4, state_size=16)
        >>> layer.build((None, None, 8))
        >>> layer.quantize("int8")
        >>> layer.dtype_policy.name, layer.cell.B_re.dtype
        ('int8_from_float32', 'int8')
        """
        self.cell.quantize(mode=mode, type_check=type_check, config=config)


class QuantizedParts(CalledAsEver):
    """Mixin of blocks and models: their configs say what in them is quantized.

    Args:
        *args: Of the class after it.
        quantization_config: What `get_config` gives by this name: `{path: config}` of
            the parts to quantize when they are built, in serialized form.
        **kwargs: Of the class after it.
    """

    def __init__(self, *args, quantization_config=None, **kwargs):
        super().__init__(*args, **kwargs)
        if not isinstance(quantization_config, dict | None):
            raise ValueError(
                "`quantization_config` must be left out, or be that of another's "
                "`get_config`: `quantize` takes a config. Received: "
                f"quantization_config={quantization_config!r}"
            )
        # No dictionary: Keras wraps those that a layer owns.
        self._quantized_parts = tuple((quantization_config or {}).items())

    def quantize_parts(self):
        """Quantizes what the config says: to be called when the parts are built."""
        # What is quantized is said part by part from now on, whatever paths were given.
        if isinstance(self.dtype_policy, keras.dtype_policies.DTypePolicyMap):
            self._dtype_policy = unquantized(self.dtype_policy)
        wanted = dict(self._quantized_parts)
        for path, part in _leaves(self):
            if path in wanted and not _is_quantized(part):
                config = _read_config(wanted[path])
                part.quantize(config.mode, config=config, type_check=False)

    def get_config(self):
        config = super().get_config()
        parts = dict(self._quantized_parts)
        if self.built:
            parts = {
                path: _written_config(part)
                for path, part in _leaves(self)
                if _is_quantized(part) and part.quantization_mode in _SAID
            }
        if parts:
            config["quantization_config"] = parts
        return config


class QuantizedLayers(QuantizedParts):
    """Mixin of blocks, which are no models: `quantize` for all that is in them."""

    def quantize(self, mode=None, type_check=True, config=None):
        """Quantize recurrences, dense layers and embeddings, each by its own method.

        As `keras.Model.quantize`; what has no such method stays as it is.

        Args:
            mode: `"int8"`.
            type_check: Whether a layer refuses to be quantized as one of a subclass.
            config: A `keras.quantizers.QuantizationConfig`, as the layers take it:
                dense ones quantize their inputs too, unless it has
                `activation_quantizer=None`.

        Raises:
            NotImplementedError: If a recurrence cannot be quantized in this mode.
            ValueError: If there are no weights yet, something in it is quantized
                already, or the compute dtype is float16.
        """
        parts = [part for _, part in _leaves(self) if _has_quantize(part)]
        for part in parts:
            part._check_quantize_args(mode, part.compute_dtype)
            if isinstance(part, QuantizedMatrices):
                part._check_mode(mode)
        for part in parts:
            part.quantize(mode, type_check=type_check, config=config)


# The modes in which the config of a layer is all that its weights need.
_SAID = ("int8", "int4", "float8")


def _leaves(layer, prefix=""):
    """The layers in a layer that hold no others, each with its path from there."""
    for part in layer._flatten_layers(include_self=False, recursive=False):
        path = f"{prefix}{part.name}"
        inner = list(_leaves(part, f"{path}/"))
        yield from inner or [(path, part)]


def _has_quantize(layer):
    return type(layer).quantize is not keras.layers.Layer.quantize


def _is_quantized(layer):
    return getattr(layer, "_is_quantized", False)


def _written_config(layer):
    """The config that a layer was quantized with; `None` for Keras's default."""
    written = serialize_unbuilt(getattr(layer, "quantization_config", None))
    return None if written == serialize_unbuilt(_default_config()) else written


def _read_config(written):
    if written is None:
        return _default_config()
    return keras.saving.deserialize_keras_object(written)


@functools.cache
def _default_config():
    # One, kept: Keras tells objects by their addresses while it writes a file.
    return keras.quantizers.Int8QuantizationConfig()
