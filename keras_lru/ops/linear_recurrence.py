"""x_t = a_t ⊙ x_{t−1} + b_t, with a coefficient that is constant or varies in time."""

from keras import ops, tree

from keras_lru.checks import check_shape
from keras_lru.ops import complex as cx
from keras_lru.ops.algorithm import check_scan, resolve_scan
from keras_lru.ops.associative_scan import associative_scan
from keras_lru.ops.backend import static_size
from keras_lru.ops.gradients import custom_gradient
from keras_lru.ops.time_invariant import entry_states


def linear_recurrence(
    coefficients, inputs, initial_state=None, reverse=False, scan="auto"
):
    """Solve `x_t = a_t ⊙ x_{t-1} + b_t` over complex numbers as `(real, imag)` pairs.

    The linear part of the paper's section 1 recurrence, for a diagonal transition.
    It has a hand-written gradient that keeps the states and nothing else.

    Args:
        coefficients: Pair of tensors, the real and imaginary parts of `a`: each
            `(features,)` where `a` does not depend on time, each
            `(batch, time, features)` where it does.
        inputs: Pair of tensors `(batch, time, features)`, the parts of `b`.
        initial_state: Pair of tensors `(batch, features)`: the state before the first
            step (after the last, if `reverse`). `None` means zeros.
        reverse: If true, time runs from the last step to the first.
        scan: `"auto"`, `"sequential"` (a loop over time), `"chunked"` (loops in all
            chunks at once, then over the chunks) or `"associative"` (logarithmic
            depth). With time-varying coefficients `"chunked"` is `"associative"`.

    Returns:
        `(states, last_state)`: pairs `(batch, time, features)` and
        `(batch, features)`, in the dtype of `inputs`.

    Raises:
        ValueError: If the arguments are not pairs, their shapes do not fit, or `scan`
            is unknown.

    Example:

    >>> import numpy as np
    >>> from keras_lru.ops import linear_recurrence
    >>> a = (np.float32([0.5]), np.float32([0.0]))
    >>> b = (np.ones((1, 3, 1), "float32"), np.zeros((1, 3, 1), "float32"))
    >>> (x_re, x_im), (last_re, last_im) = linear_recurrence(a, b)
    >>> np.array(x_re)[0, :, 0]
    array([1.  , 1.5 , 1.75], dtype=float32)
    """
    a = _pair(coefficients, "coefficients", ranks=(1, 3))
    b = _pair(inputs, "inputs", ranks=(3,))
    batch, time, features = (static_size(b[0], axis) for axis in range(3))
    check_shape("coefficients", a[0], (features,), (batch, time, features))
    check_scan(scan)
    a = [ops.cast(x, b[0].dtype) for x in a]
    if initial_state is None:
        shape = (ops.shape(b[0])[0], 2 * b[0].shape[-1])
        initial = ops.zeros(shape, dtype=b[0].dtype)
    else:
        initial = _pair(initial_state, "initial_state", ranks=(2,))
        check_shape("initial_state", initial[0], (batch, features))
        initial = ops.cast(cx.pack(*initial), b[0].dtype)
    a, b = cx.pack(*a), cx.pack(*b)
    varies = len(a.shape) == 3
    solve = _time_varying if varies else _time_invariant
    if time:
        states, last = solve(a, b, initial, reverse, scan)
    else:
        # None or none: with one step more, no loop ever runs over nothing.
        more = _one_step_more(b, reverse)
        a = _one_step_more(a, reverse) if varies else a
        states, _ = solve(a, more, initial, reverse, scan)
        states = states[:, 1:] if reverse else states[:, :-1]
        last = _last_of(initial, states, reverse)
    return cx.unpack(states), cx.unpack(last)


def _pair(value, name, ranks):
    received = [tuple(getattr(x, "shape", ())) for x in tree.flatten(value)]
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or len(received) != 2
        or received[0] != received[1]
        or len(received[0]) not in ranks
    ):
        rank = " or ".join(str(rank) for rank in ranks)
        raise ValueError(
            f"`{name}` must be a pair (real, imag) of tensors of one shape, of rank "
            f"{rank}. Received shapes: {received}"
        )
    return [ops.convert_to_tensor(x) for x in value]


def _time_invariant(a, b, initial, reverse, scan):
    # Its first derivative is zero, see `entry_states`; higher ones flow through it.
    polar = cx.to_polar(*cx.unpack(a))
    scan = resolve_scan(scan, static_size(b, 1))
    entries, last = entry_states(a, *polar, b, initial, scan, reverse=reverse)
    return states_after(entries, last, reverse), last


def _one_step_more(x, reverse):
    """`x` and a zero step after the last one in the direction of time."""
    zero = ops.zeros((ops.shape(x)[0], 1, x.shape[-1]), dtype=x.dtype)
    return ops.concatenate([zero, x] if reverse else [x, zero], axis=1)


def _last_of(initial, states, reverse):
    """Last of the states in the direction of time; `initial` if there is none."""
    last = states[:, :1] if reverse else states[:, -1:]
    return ops.concatenate([initial[:, None], last], axis=1)[:, -1]


def states_after(entries, last, reverse=False):
    """State after each step, from the states before each step and after all."""
    return _shift(entries, last, not reverse)


def _time_varying(a, b, initial, reverse, scan):
    sequential = resolve_scan(scan, static_size(b, 1)) == "sequential"
    run = _scan_sequentially if sequential else _scan_associatively

    @custom_gradient
    def recurrence(a, b, initial):
        states = run(a, b, initial, reverse)

        def gradient(*upstream):
            (d_states,) = tree.flatten(upstream)
            # Same recurrence backwards; step t meets the coefficient of step t + 1.
            later = cx.conjugate(_shift(a, ops.zeros_like(initial), not reverse))
            adjoints = run(later, d_states, ops.zeros_like(initial), not reverse)
            earlier = _shift(states, initial, reverse)
            d_a = _elementwise(cx.conjugate(earlier), adjoints)
            d_initial = _elementwise(cx.conjugate(a), adjoints)
            return d_a, adjoints, d_initial[:, -1 if reverse else 0]

        return states, gradient

    states = recurrence(a, b, initial)
    return states, states[:, 0 if reverse else -1]


def _elementwise(x, y):
    return cx.pack(*cx.multiply(cx.unpack(x), cx.unpack(y)))


def _shift(x, first, reverse):
    """Every element moves one step later in time, `first` enters."""
    first = first[:, None]
    if reverse:
        return ops.concatenate([x, first], axis=1)[:, 1:]
    return ops.concatenate([first, x], axis=1)[:, :-1]


def _scan_sequentially(a, b, initial, reverse):
    n = b.shape[-1]

    def step(state, coefficient_and_input):
        a_t, b_t = coefficient_and_input[:, :n], coefficient_and_input[:, n:]
        state = _elementwise(a_t, state) + b_t
        return state, state

    # One leaf: `ops.scan` on TensorFlow fails with two and an unknown length.
    xs = ops.swapaxes(ops.concatenate([a, b], axis=-1), 0, 1)
    _, states = ops.scan(step, initial, xs, reverse=reverse)
    return ops.swapaxes(states, 0, 1)


def _scan_associatively(a, b, initial, reverse):
    def combine(earlier, later):
        a_1, b_1 = earlier
        a_2, b_2 = later
        re, im = cx.multiply(a_2, b_1)
        return cx.multiply(a_2, a_1), (re + b_2[0], im + b_2[1])

    decay, states = associative_scan(
        combine, (cx.unpack(a), cx.unpack(b)), reverse=reverse, axis=1
    )
    re, im = cx.multiply(decay, cx.unpack(initial[:, None]))
    return cx.pack(states[0] + re, states[1] + im)
