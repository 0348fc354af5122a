"""Fine-tuning in few weights: LoRA (Hu et al., 2021), by Keras's names."""

import keras
from keras import ops

from keras_lru.checks import check_positive_integer, is_number
from keras_lru.ops.complex import Complex, pack, unpack

_PAIRS = {"B": "input", "C": "output"}


class LowRankPairs:
    """Mixin of cells with dense complex matrices B and C: `enable_lora`.

    A matrix stays as it is, and a product of two narrow ones is added to it. Real and
    imaginary parts side by side count as one real matrix.
    """

    lora_enabled = False
    lora_rank = None
    lora_alpha = None

    def enable_lora(
        self,
        rank,
        lora_alpha=None,
        a_initializer="he_uniform",
        b_initializer="zeros",
    ):
        """Train B and C in low rank from now on, as `keras.layers.Dense` its kernel.

        Λ, γ and D are few weights, and go on to be trained. A compiled model has to be
        compiled again.

        Args:
            rank: Positive integer.
            lora_alpha: The products are multiplied by `lora_alpha / rank`. `None`
                means `rank`.
            a_initializer: Initializer of the first of two matrices.
            b_initializer: Initializer of the second.

        Raises:
            ValueError: If there are no weights yet, it is enabled already, `rank` is
                not a positive integer, or B or C has a constraint.
        """
        initializers = self.check_lora(rank, lora_alpha, a_initializer, b_initializer)
        self._tracker.unlock()
        for name, group in _PAIRS.items():
            for factor, initializer in initializers.items():
                weight = self._low_rank_factor(name, group, factor, rank, initializer)
                setattr(self, f"lora_{name}_{factor}", weight)
        self._tracker.lock()
        self.lora_rank = rank
        self.lora_alpha = rank if lora_alpha is None else lora_alpha
        self.lora_enabled = True

    def check_lora(
        self,
        rank,
        lora_alpha=None,
        a_initializer="he_uniform",
        b_initializer="zeros",
    ):
        """Raise `ValueError` if `enable_lora` would; else give the two initializers."""
        check_positive_integer("rank", rank)
        if lora_alpha is not None and not is_number(lora_alpha):
            raise ValueError(
                f"`lora_alpha` must be a number. Received: lora_alpha={lora_alpha!r}"
            )
        self._check_built()
        if self.lora_enabled:
            raise ValueError(
                "`enable_lora` can be called once. Received: a second call for "
                f"{self.name!r}, of rank {self.lora_rank}"
            )
        for group in _PAIRS.values():
            if getattr(self, f"{group}_constraint") is not None:
                raise ValueError(
                    f"`{group}_constraint` must be None, as no product obeys it. "
                    f"Received: {getattr(self, f'{group}_constraint')!r}"
                )
        return {
            "a": keras.initializers.get(a_initializer),
            "b": keras.initializers.get(b_initializer),
        }

    def _low_rank_factor(self, name, group, factor, rank, initializer):
        matrix = getattr(self, f"{name}_re")
        rows, columns = matrix.shape
        for part in ("re", "im"):
            getattr(self, f"{name}_{part}").trainable = False
        return self.make_weight(
            f"lora_{name}_{factor}",
            (rows, rank) if factor == "a" else (rank, 2 * columns),
            initializer,
            group,
            recurrent=matrix.is_recurrent,
        )

    def with_low_rank(self, name, matrix):
        """A complex matrix, and what it has learned."""
        a, b = (
            ops.convert_to_tensor(getattr(self, f"lora_{name}_{factor}"))
            for factor in ("a", "b")
        )
        learned = ops.matmul(a, b) * (self.lora_alpha / self.lora_rank)
        return unpack(pack(Complex(*matrix)) + learned)

    def save_own_variables(self, store):
        """Write the weights, B and C with what they have learned."""
        if not self.lora_enabled:
            super().save_own_variables(store)
            return
        merged = {}
        for name in _PAIRS:
            for part, value in zip(("re", "im"), self.pair(name), strict=True):
                merged.update(self.stored(f"{name}_{part}", value))
        for index, weight in enumerate(self._weights_of_files()):
            value = merged.get(weight.name, weight)
            store[str(index)] = ops.convert_to_numpy(value)

    def load_own_variables(self, store):
        """Read weights; nothing has been learned beside them."""
        if not self.lora_enabled:
            super().load_own_variables(store)
            return
        weights = self._weights_of_files()
        if len(store.keys()) != len(weights):
            raise ValueError(
                f"Layer {self.name!r} must read {len(weights)} weights, "
                f"{[w.name for w in weights]}. Received: {len(store.keys())}, as of a "
                "layer that is quantized and one that is not"
            )
        for index, weight in enumerate(weights):
            weight.assign(store[str(index)])
        for name in _PAIRS:
            product = getattr(self, f"lora_{name}_b")
            product.assign(ops.zeros(product.shape, product.dtype))

    def _weights_of_files(self):
        weights = self._trainable_variables + self._non_trainable_variables
        return [w for w in weights if not w.name.startswith("lora_")]


class LowRankRecurrence:
    """Mixin of layers over a cell of `LowRankPairs`."""

    @property
    def lora_enabled(self):
        """Whether B and C train in low rank."""
        return self.cell.lora_enabled

    def enable_lora(self, rank, **options):
        """As that of the cell, with the arguments of `keras.layers.Dense.enable_lora`.

        B and C stay as they are, and products of narrow matrices are added to them.
        Λ, γ and D are few weights, and go on to be trained. A compiled model has to be
        compiled again. Files hold the sums.

        Args:
            rank: Positive integer.
            **options: `lora_alpha`, `a_initializer` and `b_initializer`.

        Raises:
            ValueError: If there are no weights yet, it is enabled already, `rank` is
                not a positive integer, or B or C has a constraint.
        """
        self.cell.enable_lora(rank, **options)


class LowRankLayers:
    """Mixin of blocks and models: `enable_lora` for all that they are made of."""

    @property
    def lora_enabled(self):
        """Whether a layer in it trains in low rank."""
        inner = self._flatten_layers(include_self=False)
        return any(getattr(layer, "lora_enabled", False) for layer in inner)

    def enable_lora(self, rank, **options):
        """Freeze the weights, and train recurrences and dense layers in low rank.

        What is few stays trainable with them: biases, and the Λ, γ and D of
        recurrences. A compiled model has to be compiled again. Files hold what was
        learned within the weights: they load as plain models.

        Args:
            rank: Positive integer.
            **options: `lora_alpha`, `a_initializer` and `b_initializer`, as for
                `keras.layers.Dense.enable_lora`.

        Raises:
            ValueError: If there are no weights yet, it is enabled already, or a layer
                refuses an argument.
        """
        rank = check_positive_integer("rank", rank)
        if not self.built:
            raise ValueError(
                "The weights do not exist yet. Call the layer on inputs, or call "
                f"`build(input_shape)`, first. Received: {self.name!r}, not built"
            )
        if self.lora_enabled:
            raise ValueError(
                "`enable_lora` can be called once. Received: a second call for "
                f"{self.name!r}"
            )
        inner = list(self._flatten_layers(include_self=False))
        for layer in inner:
            if isinstance(layer, LowRankPairs):
                layer.check_lora(rank, **options)
        for layer in inner:
            if _adapts(layer):
                layer.enable_lora(rank, **options)
            elif not any(map(_adapts, layer._flatten_layers(include_self=False))):
                layer.trainable = False


def _adapts(layer):
    """Whether it is a layer, and none of those that a layer adapts."""
    is_leaf = isinstance(layer, LowRankPairs | keras.layers.Dense)
    return is_leaf or isinstance(layer, keras.layers.Embedding)
