"""Tokens that a model writes: the prompt in parallel, then one step after another."""

import math

import keras
import numpy as np
from keras import ops

from keras_lru.backend import as_program
from keras_lru.export.folded_step import StepByStep
from keras_lru.export.model_in_pieces import ModelInPieces

# Nothing but the likeliest is drawn at it, and no quotient overflows.
_COLDEST = 1e-30


class _Pieces(StepByStep, ModelInPieces):
    """The prompt as one piece, then one step after another."""


class Generator:
    """Writes on after a prompt, with the programs it has compiled before.

    The prompt runs through the model as one piece of a sequence, in parallel over time;
    then each new token is a piece of one step, all of them in one compiled loop. The
    weights are arguments of the programs, so that a model may be trained in between.

    Args:
        model: A built model that maps tokens `(batch, time)` to logits
            `(batch, time, tokens)`, each step from the steps up to it.

    Raises:
        ValueError: If the model cannot take a sequence in pieces. The message names the
            layer.
    """

    def __init__(self, model):
        self._model = model
        self._pieces = _Pieces(model)
        self._variables = model.variables
        self._read = as_program(self._read_prompt)
        self._write = as_program(self._write_tokens)

    def is_current(self):
        """Whether the model has the variables that the programs were made for."""
        variables = self._model.variables
        return len(variables) == len(self._variables) and all(
            a is b for a, b in zip(variables, self._variables, strict=True)
        )

    def __call__(
        self, prompt, mask, max_new_tokens, temperature, top_k, uniforms, stop
    ):
        """Writes `max_new_tokens` tokens.

        Args:
            prompt: Integers `(batch, time)`.
            mask: Booleans `(batch, time)`, or `None`.
            max_new_tokens: Positive integer.
            temperature: Number of at least 0; 0 takes the likeliest token.
            top_k: Positive integer, or `None`.
            uniforms: `(max_new_tokens, batch)` in [0, 1), from which tokens are drawn.
            stop: Token after which a sequence repeats it, or `None`.

        Returns:
            A NumPy array of integers, `(batch, max_new_tokens)`.
        """
        values = [variable.value for variable in self._variables]
        logits, states = self._read(values, prompt, mask)
        # Lengths between two powers of two share a program.
        room = 2 ** math.ceil(math.log2(max_new_tokens))
        padding = [(0, room - max_new_tokens), (0, 0)]
        tokens = self._write(
            values,
            logits,
            states,
            np.pad(uniforms.astype("float32"), padding),
            np.int32(max_new_tokens),
            np.float32(max(temperature, _COLDEST)),
            np.int32(-1 if stop is None else stop),
            greedy=temperature == 0,
            top_k=top_k,
        )
        return ops.convert_to_numpy(tokens)[:max_new_tokens].T

    def _read_prompt(self, values, prompt, mask):
        kwargs = {} if mask is None else {"mask": mask}
        logits, states = self._run(values, prompt, {}, **kwargs)
        if mask is None:
            return logits[:, -1], states
        last = ops.sum(ops.cast(mask, "int32"), axis=1) - 1
        return ops.take_along_axis(logits, last[:, None, None], axis=1)[:, 0], states

    def _write_tokens(
        self,
        values,
        logits,
        states,
        uniforms,
        max_new_tokens,
        temperature,
        stop,
        *,
        greedy,
        top_k,
    ):
        batch = ops.shape(logits)[0]

        def goes_on(step, logits, states, done, tokens):
            return ops.logical_and(step < max_new_tokens, ops.any(~done))

        def write_one(step, logits, states, done, tokens):
            if greedy:
                token = ops.argmax(logits, axis=-1)
            else:
                # The likeliest is at 0, whatever the others are divided by.
                logits = logits - ops.max(logits, axis=-1, keepdims=True)
                token = draw(logits / temperature, ops.take(uniforms, step, 0), top_k)
            token = ops.where(done, stop, ops.cast(token, "int32"))
            tokens = ops.scatter_update(
                tokens, ops.reshape(step, (1, 1)), ops.expand_dims(token, 0)
            )
            done = ops.logical_or(done, token == stop)
            logits, states = self._run(values, token[:, None], states)
            return step + 1, logits[:, -1], states, done, tokens

        start = (
            ops.convert_to_tensor(0, "int32"),
            logits,
            states,
            ops.zeros((batch,), "bool"),
            ops.broadcast_to(stop, ops.shape(uniforms)),
        )
        with keras.StatelessScope(zip(self._variables, values, strict=True)):
            self._pieces.fold()
        try:
            return ops.while_loop(goes_on, write_one, start)[-1]
        finally:
            self._pieces.unfold()

    def _run(self, values, tokens, states, **kwargs):
        """Logits in float32, and the states after the piece."""
        scope = keras.StatelessScope(zip(self._variables, values, strict=True))
        with scope:
            logits, states = self._pieces(tokens, states, **kwargs)
        return ops.cast(logits, "float32"), states


def draw(logits, uniforms, top_k):
    """Tokens drawn by their probabilities, one a row, the same on every backend.

    Args:
        logits: `(batch, tokens)`.
        uniforms: `(batch,)`, multiples of 2⁻²³ in [0, 1).
        top_k: How many of the likeliest tokens to draw from, or `None` for all.

    Returns:
        Integers `(batch,)`.
    """
    logits, uniforms = map(ops.convert_to_tensor, (logits, uniforms))
    if top_k is not None:
        smallest = ops.top_k(logits, top_k)[0][:, -1:]
        logits = ops.where(logits < smallest, float("-inf"), logits)
    below = ops.cumsum(ops.softmax(logits, axis=-1), axis=-1)
    # Of tokens with probability 0 none is drawn: they add no step to the sum.
    drawn = uniforms[:, None] * below[:, -1:]
    return ops.sum(ops.cast(below <= drawn, "int32"), axis=-1)
