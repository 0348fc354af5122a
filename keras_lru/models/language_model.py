"""A language model: the next token at each step, and tokens that it writes."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_lru.checks import (
    check_non_negative,
    check_positive_integer,
    is_number,
)
from keras_lru.initializers.seeds import draw_seed
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.backbone_model import StepwiseModel, class_objective
from keras_lru.models.generation import Generator


@keras.saving.register_keras_serializable(package="keras_lru")
class LanguageModel(StepwiseModel):
    """Predicts the next token at each step, and writes tokens after a prompt.

    An `LRUBackbone` over an embedding, and a linear head of logits. Train it on
    sequences and the same sequences a step later; `generate` then reads a prompt in
    parallel over time and writes on a step at a time, at a cost that does not grow with
    what has been written.

    Args:
        vocabulary_size: Positive integer, number of tokens. Tokens are integers in
            `[0, vocabulary_size)`.
        backbone: An `LRUBackbone` with this `vocabulary_size`, or `None` to make one.
        **kwargs: Arguments of the `LRUBackbone` to make (`depth=6`, `units=128`, …),
            and Keras's own: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Integer tensor `(batch, time)`. Batch and time may be unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`, the sizes of steps,
            as for `keras_lru.layers.LRU`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar, the size of all steps.

    Returns:
        Logits `(batch, time, vocabulary_size)` of the model's compute dtype.

    Raises:
        ValueError: In the constructor, if `vocabulary_size` is not a positive integer,
            if `backbone` has another or comes with arguments for one, or if the
            backbone is bidirectional. When built, if the inputs have another rank.

    Example:
    >>> import numpy as np
    >>> model = LanguageModel(20, depth=1, units=16, state_size=8, seed=0)
    >>> tuple(model(np.zeros((2, 5), "int32")).shape)
    (2, 5, 20)
    >>> model.generate([3, 1, 4], max_new_tokens=6, seed=0).shape
    (6,)
    """

    def __init__(
        self,
        vocabulary_size: int,
        backbone: LRUBackbone | dict | None = None,
        **kwargs: Any,
    ):
        vocabulary_size = check_positive_integer("vocabulary_size", vocabulary_size)
        if backbone is None:
            kwargs["vocabulary_size"] = vocabulary_size
        super().__init__(backbone, **kwargs)
        if self.backbone.vocabulary_size != vocabulary_size:
            raise ValueError(
                "`backbone` must read as many tokens as the model writes, "
                f"vocabulary_size={vocabulary_size}. Received: "
                f"backbone.vocabulary_size={self.backbone.vocabulary_size}"
            )
        if self.backbone.bidirectional:
            raise ValueError(
                "`bidirectional` must be False: a step would see the token that it is "
                "to predict. Received: bidirectional=True"
            )
        self.vocabulary_size = vocabulary_size
        self.head = self.make_dense(vocabulary_size, None, "head")

    def recommended_objective(self):
        """The loss and the metrics that `compile_recommended` takes."""
        return class_objective()

    def generate(
        self,
        prompt: Sequence[int] | Sequence[Sequence[int]] | np.ndarray,
        max_new_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int | None = None,
        stop: int | None = None,
    ) -> np.ndarray:
        """Writes tokens after a prompt.

        The prompt is read in parallel over time, then the new tokens are written by one
        compiled loop, each in the time of one step. The same seed writes the same
        tokens, on every backend up to the rounding of the logits.

        Args:
            prompt: Tokens: integers `(time,)`, or `(batch, time)`; or a list of
                prompts of different lengths. One token at least in each. Each new shape
                is compiled once.
            max_new_tokens: Positive integer, how many tokens to write.
            temperature: Number of at least 0. Logits are divided by it before a token
                is drawn; 0 takes the likeliest token each time.
            top_k: Positive integer: draw from that many of the likeliest tokens.
                `None`: from all.
            seed: Integer: makes the draws reproducible. `None`: random ones.
            stop: A token that ends a sequence. What comes after it repeats it, and the
                loop ends when all sequences have.

        Returns:
            The new tokens, NumPy integers: `(max_new_tokens,)` for one prompt of
            shape `(time,)`, else `(batch, max_new_tokens)`.

        Raises:
            ValueError: If an argument is not as above, a token is not in
                `[0, vocabulary_size)`, or a layer cannot take a sequence in pieces.

        Example:
        >>> model = LanguageModel(20, depth=1, units=16, state_size=8, seed=0)
        >>> model.generate([[3, 1, 4], [1]], 5, temperature=0, stop=0).shape
        (2, 5)
        """
        max_new_tokens = check_positive_integer("max_new_tokens", max_new_tokens)
        check_non_negative("temperature", temperature)
        temperature = float(temperature)
        if top_k is not None:
            top_k = min(check_positive_integer("top_k", top_k), self.vocabulary_size)
        if stop is not None:
            self._check_tokens("stop", np.asarray(stop), ranks=(0,))
            stop = int(stop)
        tokens, mask, is_one = self._padded(prompt)
        rng = np.random.default_rng(draw_seed(seed) % 2**64)
        # Single precision has all multiples of 2⁻²³ below 1.
        uniforms = rng.integers(0, 2**23, (max_new_tokens, len(tokens))) / 2**23
        written = self._generator()(
            tokens, mask, max_new_tokens, temperature, top_k, uniforms, stop
        )
        return written[0] if is_one else written

    def _generator(self):
        if not self.built:
            self.build((None, None))
        # Past attribute assignment, by which Keras would track it.
        generator = vars(self).get("generator")
        if generator is None or not generator.is_current():
            generator = vars(self)["generator"] = Generator(self)
        return generator

    def _padded(self, prompt):
        """Tokens `(batch, time)`, a mask or `None`, and whether there is one prompt."""
        if isinstance(prompt, list | tuple) and prompt and not is_number(prompt[0]):
            prompts = [np.asarray(tokens) for tokens in prompt]
            for tokens in prompts:
                self._check_tokens("prompt", tokens, ranks=(1,))
            lengths = np.array([len(tokens) for tokens in prompts])
            padded = np.zeros((len(prompts), lengths.max()), "int32")
            for row, tokens in zip(padded, prompts, strict=True):
                row[: len(tokens)] = tokens
            mask = np.arange(lengths.max()) < lengths[:, None]
            return padded, None if mask.all() else mask, False
        try:
            tokens = np.asarray(prompt)
        except ValueError as error:
            raise ValueError(
                "`prompt` must be integers, or a list of sequences of integers. "
                f"Received: prompt={prompt!r}"
            ) from error
        self._check_tokens("prompt", tokens, ranks=(1, 2))
        return np.atleast_2d(tokens).astype("int32"), None, tokens.ndim == 1

    def _check_tokens(self, name, tokens, ranks):
        if tokens.dtype.kind not in "iu" or tokens.ndim not in ranks or not tokens.size:
            raise ValueError(
                f"`{name}` must be integers, {' or '.join(map(_SHAPES.get, ranks))}, "
                f"one at least. Received: {name} of shape {tokens.shape} and dtype "
                f"{tokens.dtype}"
            )
        if tokens.min() < 0 or tokens.max() >= self.vocabulary_size:
            raise ValueError(
                f"`{name}` must be in [0, {self.vocabulary_size}). Received: {name} "
                f"from {tokens.min()} to {tokens.max()}"
            )

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}


_SHAPES = {0: "one token", 1: "(time,)", 2: "(batch, time)"}
