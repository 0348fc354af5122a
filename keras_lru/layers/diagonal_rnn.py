"""What layers of diagonal linear recurrences share: how they are solved."""

from keras_lru.layers.recurrent_layer import RecurrentLayer
from keras_lru.ops.algorithm import check_block_size, check_scan


class DiagonalRNN(RecurrentLayer):
    """Base of recurrent layers over a `DiagonalCell`, parallel over time.

    A subclass names its cell, and takes the cell's arguments and those of Keras's
    recurrent layers, `scan` and `block_size`.

    Args:
        arguments: Dictionary of the subclass's arguments, `locals()` say.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    keeps_zero_state = True
    solves_no_steps = True

    def __init__(self, arguments, **kwargs):
        check_scan(arguments["scan"])
        block_size = check_block_size(arguments["block_size"])
        super().__init__(arguments, **kwargs)
        self.scan = arguments["scan"]
        self.block_size = block_size

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(state_size,)`."""
        return self.cell.eigenvalues

    def _solve(self, inputs, initial_state, lengths):
        return self.cell.run(
            inputs,
            initial_state=initial_state,
            lengths=lengths,
            return_sequences=self.return_sequences,
            scan=self.scan,
            block_size=self.block_size,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "scan": self.scan,
            "block_size": self.block_size,
        }
