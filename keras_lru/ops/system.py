"""The interface of a recurrence to its cell and its layer: one step, and all steps."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from keras_lru.backend.types import Tensor


class System(ABC):
    """A recurrence with its coefficients: `cell.system()` makes one for each call.

    The cell takes one step of it, the layer runs it over whole sequences. A system is
    plain arithmetic on tensors: it has no variables, and knows nothing of layers.
    """

    # Whether zero inputs keep a zero state as it is.
    keeps_zero_state = False
    # Whether `run` takes sequences of unknown length, or of none.
    takes_no_steps = False

    @abstractmethod
    def step(
        self, inputs: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """One step.

        Args:
            inputs: `(batch, input_dim)`, in the compute dtype.
            states: The states before it, in the dtype of the recurrence.

        Returns:
            `(outputs, states)`: `(batch, units)` in the compute dtype, and the states
            after it.
        """

    # What `run_in_time` takes.
    takes_step_sizes = False
    takes_reset = False
    # Whether there is a `run_masked`.
    takes_mask = False

    @abstractmethod
    def run(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        lengths: Tensor | None = None,
        return_sequences: bool = True,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps at once.

        Args:
            inputs: `(batch, time, input_dim)`, in the compute dtype; of one step at
                least, unless `takes_no_steps`.
            initial_state: The states before the first step, `None` for zeros.
            lengths: Integers `(batch,)`: the last states (and the last output) of a
                sequence are those after this many steps. `None` means all steps.
            return_sequences: If false, only the output of the last step is computed.

        Subclasses may take more, how to compute it: the layer's `solver_options()`.

        Returns:
            `(outputs, states)`: `(batch, time, units)`, after a sequence's end anything
            finite; or `(batch, units)`, zeros for a sequence without steps. And the
            states after the last step.
        """

    def run_in_time(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        step_sizes: Tensor | None = None,
        reset: Tensor | None = None,
        mask: Tensor | None = None,
        return_sequences: bool = True,
        reset_to: Sequence[Tensor] | None = None,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps at once, of unequal size, or where new sequences begin.

        Of a system that `takes_step_sizes` or `takes_reset`.

        Args:
            inputs: `(batch, time, input_dim)`, in the compute dtype, of any length.
            initial_state: As of `run`.
            step_sizes: `(batch, time)`, positive; `None` means 1 everywhere.
            reset: Boolean `(batch, time)`, true where a sequence begins: the state
                before the step is that of `reset_to`. `None` means nowhere.
            mask: Boolean `(batch, time)`; a false step changes neither state nor
                output. `None` means that all are true.
            return_sequences: As of `run`.
            reset_to: The states that sequences begin with, like `initial_state`.
                `None` means zeros.

        Returns:
            As `run`. Outputs of masked steps are those of the last unmasked step, zeros
            if the sequence has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no steps of its own.")

    def run_masked(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None,
        mask: Tensor,
        return_sequences: bool = True,
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """All steps but the masked, where time is split over devices.

        Of a system that `takes_mask`; else, and where time is not split, the layer
        moves masked steps out of the way, and lets it `run`. Subclasses may take more,
        as of `run`.

        Args:
            inputs: As of `run_in_time`, and so are the others.
            initial_state: See there.
            mask: See there.
            return_sequences: See there.

        Returns:
            As `run_in_time`.
        """
        raise NotImplementedError(f"{type(self).__name__} takes no mask.")
