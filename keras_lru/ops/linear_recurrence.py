"""x_t = a_t ⊙ x_{t−1} + b_t, with a coefficient that is constant or varies in time."""

from collections.abc import Sequence

from keras import ops, tree

from keras_lru.backend import compiled
from keras_lru.backend.types import Tensor
from keras_lru.checks import check_floating, check_shape
from keras_lru.ops.algorithm import check_scan, resolve_scan, takes_single_steps
from keras_lru.ops.complex import Complex, pack, to_polar, unpack
from keras_lru.ops.sequences import final_step, pad_time, static_size
from keras_lru.ops.single_steps import states_of_steps
from keras_lru.ops.time_invariant import Coefficient, states_after, states_before
from keras_lru.ops.time_varying import VaryingRecurrence


def linear_recurrence(
    coefficients: Sequence[Tensor] | Tensor,
    inputs: Sequence[Tensor] | Tensor,
    initial_state: Sequence[Tensor] | Tensor | None = None,
    reverse: bool = False,
    scan: str = "auto",
    reset: Tensor | None = None,
) -> tuple[list[Tensor], list[Tensor]] | tuple[Tensor, Tensor]:
    """Solve `x_t = a_t ⊙ x_{t-1} + b_t` over complex or over real numbers.

    The linear part of the paper's section 1 recurrence, for a diagonal transition.
    It has a hand-written gradient that keeps the states and nothing else.

    Complex numbers are pairs of tensors. Where all arguments are tensors instead, the
    recurrence is a real one, for half the memory and a quarter of the products where
    the coefficients vary in time.

    Args:
        coefficients: Pair of tensors, the real and imaginary parts of `a`: each
            `(features,)` where `a` does not depend on time, each
            `(batch, time, features)` where it does.
        inputs: Pair of tensors `(batch, time, features)`, the parts of `b`.
        initial_state: Pair of tensors `(batch, features)`: the state before the first
            step (after the last, if `reverse`). `None` means zeros.
        reverse: If true, time runs from the last step to the first.
        scan: `"auto"`, `"sequential"` (a loop over time), `"chunked"` (all
            chunks at once, then over the chunks), `"associative"` (logarithmic
            depth) or `"pallas"` (one kernel, for GPUs and TPUs on JAX).
        reset: Boolean `(batch, time)`, true where the state before a step counts as
            zero, whatever it is, NaN too. `None` means nowhere.

    Returns:
        `(states, last_state)`: pairs `(batch, time, features)` and
        `(batch, features)`, in the dtype of `inputs`. Tensors if the arguments are.

    Raises:
        ValueError: If the arguments are neither pairs nor all tensors, their shapes do
            not fit, `inputs` are not floating, or `scan` is unknown or not of this
            backend.

    Example:

    >>> import numpy as np
    >>> from keras_lru.ops import linear_recurrence
    >>> a = (np.float32([0.5]), np.float32([0.0]))
    >>> b = (np.ones((1, 3, 1), "float32"), np.zeros((1, 3, 1), "float32"))
    >>> (x_re, x_im), (last_re, last_im) = linear_recurrence(a, b)
    >>> np.array(x_re)[0, :, 0]
    array([1.  , 1.5 , 1.75], dtype=float32)

    Real, and with a coefficient for each step:

    >>> a = np.float32([[[0.5], [2.0], [0.0]]])
    >>> x, last = linear_recurrence(a, b[0])
    >>> np.array(x)[0, :, 0]
    array([1., 3., 1.], dtype=float32)
    """
    given = (coefficients, inputs, initial_state)
    are_pairs = any(isinstance(x, (tuple, list)) for x in given)
    a = _numbers("coefficients", coefficients, are_pairs, ranks=(1, 3))
    b = _numbers("inputs", inputs, are_pairs, ranks=(3,))
    for x in tree.flatten(b):
        check_floating("inputs", x)
    like, some = tree.flatten(b)[0], tree.flatten(a)[0]
    batch, time, features = (static_size(like, axis) for axis in range(3))
    check_shape("coefficients", some, (features,), (batch, time, features))
    check_scan(scan)
    if initial_state is None:
        zeros = ops.zeros((ops.shape(like)[0], like.shape[-1]), dtype=like.dtype)
        initial = Complex(zeros, zeros) if are_pairs else zeros
    else:
        initial = _numbers("initial_state", initial_state, are_pairs, ranks=(2,))
        check_shape("initial_state", tree.flatten(initial)[0], (batch, features))
    a, initial = (
        tree.map_structure(lambda x: ops.cast(x, like.dtype), z) for z in (a, initial)
    )
    if reset is not None:
        check_shape("reset", reset, (batch, time))
        reset = ops.cast(reset, "bool")
    is_constant = len(some.shape) == 1
    if is_constant and not are_pairs:
        # The algorithms for constant coefficients are complex.
        a, b, initial = (Complex(x, ops.zeros_like(x)) for x in (a, b, initial))
    solve = _with_constant if is_constant else _with_varying
    states, last = _solve(a, b, initial, reset, solve=solve, reverse=reverse, scan=scan)
    if are_pairs:
        return [*states], [*last]
    return (states.real, last.real) if is_constant else (states, last)


def _numbers(name, value, are_pairs, ranks):
    """Complex numbers of a pair, or real ones of a tensor, checked."""
    received = [tuple(getattr(x, "shape", ())) for x in tree.flatten(value)]
    is_pair = isinstance(value, (tuple, list))
    if (
        is_pair != are_pairs
        or len(received) != 1 + are_pairs
        or received[0] != received[-1]
        or len(received[0]) not in ranks
    ):
        form = "a tensor, or all arguments pairs (real, imag),"
        if are_pairs:
            form = "a pair (real, imag) of tensors of one shape,"
        raise ValueError(
            f"`{name}` must be {form} of rank "
            f"{' or '.join(str(rank) for rank in ranks)}. Received shapes: {received}"
        )
    if are_pairs:
        return Complex(*map(ops.convert_to_tensor, value))
    return ops.convert_to_tensor(value)


@compiled
def _solve(a, b, initial, reset, *, solve, reverse, scan):
    """States and last state, which are packed on the way, at no steps too."""
    take = unpack if isinstance(b, Complex) else _real
    a, b, initial = map(pack, (a, b, initial))
    keep = None if reset is None else ops.expand_dims(ops.logical_not(reset), -1)
    if static_size(b, 1):
        states, last = solve(take, a, b, initial, reverse, scan, keep)
        return take(states), take(last)
    # No step, or nobody knows: with one step more, no loop ever runs over nothing.
    a, b = (pad_time(x, 1, reverse) if len(x.shape) == 3 else x for x in (a, b))
    if keep is not None:
        keep = pad_time(keep, 1, reverse)
    states, _ = solve(take, a, b, initial, reverse, scan, keep)
    states = states[:, 1:] if reverse else states[:, :-1]
    last = states[:, :1] if reverse else states[:, -1:]
    last = ops.concatenate([initial[:, None], last], axis=1)[:, -1]
    return take(states), take(last)


def _real(x):
    """Real numbers of a tensor, as `unpack` gives complex ones."""
    return x


def _with_constant(take, a, b, initial, reverse, scan, keep):
    # Its first derivative is zero, see `states_before`; higher ones flow through it.
    coefficient = Coefficient(take(a), to_polar(take(a)))
    batch, length = static_size(b, 0), static_size(b, 1)
    scan = resolve_scan(scan, length, batch, of_steps=True)
    if keep is None and takes_single_steps(scan, length, batch):
        return states_of_steps(coefficient, b, initial, scan, reverse)
    before, last = states_before(coefficient, b, initial, scan, reverse, keep)
    return states_after(before, last, reverse), last


def _with_varying(take, a, b, initial, reverse, scan, keep):
    if keep is not None:
        a = ops.where(keep, a, ops.zeros_like(a))
    recurrence = VaryingRecurrence(
        scan, is_complex=take is unpack, has_cuts=keep is not None
    )
    states = recurrence.states(a, b, initial, reverse)
    return states, final_step(states, reverse)
