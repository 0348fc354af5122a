"""Both directions of time, for calls that say when steps are."""

import keras
from keras import ops

from keras_lru.checks import describe
from keras_lru.layers.quantizing import CalledAsEver
from keras_lru.layers.time_arguments import TimeArguments


@keras.saving.register_keras_serializable(package="keras_lru")
class Bidirectional(CalledAsEver, keras.layers.Bidirectional):
    """`keras.layers.Bidirectional`, which takes step sizes and restarts too.

    Around a layer of this package. Backwards, sequences are cut at the same places:
    each begins where, forwards, it ends. With `hold="impulse"` the size of a step is
    its distance to the step that is read before it, in both directions.

    It is made with the arguments of `keras.layers.Bidirectional`.

    Call arguments:
        sequences: As for `keras.layers.Bidirectional`, and so are the others, but:
        step_sizes: As for `keras_lru.layers.LRU`.
        reset: See there.
        rate: See there.
        reset_to: List like `initial_state`, what sequences begin with: the states of
            the forward layer, then those of the backward layer. Backwards the last
            sequence of a row begins with it too, unless there is an `initial_state`.

    Returns:
        As `keras.layers.Bidirectional`.

    Raises:
        ValueError: As the layer.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers import LRU, Bidirectional
    >>> layer = Bidirectional(LRU(4, return_sequences=True))
    >>> sizes = np.array([[1.0, 1.0, 2.5, 1.0, 0.5]])
    >>> tuple(layer(np.ones((1, 5, 3), "float32"), step_sizes=sizes).shape)
    (1, 5, 8)
    """

    def call(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=None,
        sequences_mask=None,
        step_sizes=None,
        reset=None,
        rate=None,
        reset_to=None,
    ):
        mask = sequences_mask if mask is None else mask
        in_time = TimeArguments(step_sizes, reset, rate, reset_to)
        if not in_time.are_given:
            return super().call(sequences, initial_state, mask, training)
        states = _halves("initial_state", initial_state)
        begun = _halves("reset_to", reset_to)
        if initial_state is None:
            # Backwards, the last sequence of a row begins with its last step.
            states = (None, begun[1])
        hold = getattr(getattr(self.backward_layer, "cell", None), "hold", None)
        results = [
            layer(sequences, initial_state=state, mask=mask, **given.as_arguments())
            for layer, state, given in (
                (self.forward_layer, states[0], in_time._replace(reset_to=begun[0])),
                (
                    self.backward_layer,
                    states[1],
                    in_time.for_backwards(hold)._replace(reset_to=begun[1]),
                ),
            )
        ]
        ends = ()
        if self.return_state:
            ends = tuple(end for result in results for end in result[1:])
            results = [result[0] for result in results]
        forwards, backwards = (ops.cast(y, self.compute_dtype) for y in results)
        if self.return_sequences:
            backwards = ops.flip(backwards, axis=1)
        outputs = _MERGE[self.merge_mode](forwards, backwards)
        if ends:
            return (*outputs, *ends)
        return outputs if self.merge_mode is None else outputs[0]


def _halves(name, states):
    """Those of the two directions, of a list; `None` of `None`."""
    if states is None:
        return None, None
    if not isinstance(states, list | tuple) or len(states) % 2:
        raise ValueError(
            f"`{name}` must be a list of the states of the forward layer, then those "
            f"of the backward layer. Received: {describe(states)}"
        )
    half = len(states) // 2
    return states[:half], states[half:]


_MERGE = {
    "concat": lambda x, y: (ops.concatenate([x, y], axis=-1),),
    "sum": lambda x, y: (x + y,),
    "ave": lambda x, y: ((x + y) / 2,),
    "mul": lambda x, y: (x * y,),
    None: lambda x, y: (x, y),
}
