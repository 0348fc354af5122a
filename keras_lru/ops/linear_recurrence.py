"""x_t = a_t ⊙ x_{t−1} + b_t, with a coefficient that is constant or varies in time."""

from functools import partial

from keras import ops, tree

from keras_lru.checks import check_shape
from keras_lru.ops import complex as cx
from keras_lru.ops.algorithm import check_scan, resolve_scan
from keras_lru.ops.associative_scan import associative_scan
from keras_lru.ops.backend import static_size
from keras_lru.ops.dtypes import check_floating
from keras_lru.ops.gradients import custom_gradient
from keras_lru.ops.time_invariant import entry_states


def linear_recurrence(
    coefficients, inputs, initial_state=None, reverse=False, scan="auto"
):
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
        scan: `"auto"`, `"sequential"` (a loop over time), `"chunked"` (loops in all
            chunks at once, then over the chunks) or `"associative"` (logarithmic
            depth). With time-varying coefficients `"chunked"` is `"associative"`.

    Returns:
        `(states, last_state)`: pairs `(batch, time, features)` and
        `(batch, features)`, in the dtype of `inputs`. Tensors if the arguments are.

    Raises:
        ValueError: If the arguments are neither pairs nor all tensors, their shapes do
            not fit, `inputs` are not floating, or `scan` is unknown.

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
    parts = 2 if any(isinstance(x, (tuple, list)) for x in given) else 1
    a = _parts(coefficients, "coefficients", parts, ranks=(1, 3))
    b = _parts(inputs, "inputs", parts, ranks=(3,))
    for part in b:
        check_floating("inputs", part)
    batch, time, features = (static_size(b[0], axis) for axis in range(3))
    check_shape("coefficients", a[0], (features,), (batch, time, features))
    check_scan(scan)
    varies = len(a[0].shape) == 3
    if initial_state is None:
        zeros = ops.zeros((ops.shape(b[0])[0], b[0].shape[-1]), dtype=b[0].dtype)
        initial = [zeros] * parts
    else:
        initial = _parts(initial_state, "initial_state", parts, ranks=(2,))
        check_shape("initial_state", initial[0], (batch, features))
    if not varies and parts == 1:
        # The algorithms for constant coefficients are complex.
        pairs = [(*x, ops.zeros_like(x[0])) for x in (a, b, initial)]
        (states, _), (last, _) = linear_recurrence(*pairs, reverse, scan)
        return states, last
    a, b, initial = (
        _join([ops.cast(part, b[0].dtype) for part in x]) for x in (a, b, initial)
    )
    solve = partial(_time_varying, parts) if varies else _time_invariant
    if time:
        states, last = solve(a, b, initial, reverse, scan)
    else:
        # None or none: with one step more, no loop ever runs over nothing.
        more = _one_step_more(b, reverse)
        a = _one_step_more(a, reverse) if varies else a
        states, _ = solve(a, more, initial, reverse, scan)
        states = states[:, 1:] if reverse else states[:, :-1]
        last = _last_of(initial, states, reverse)
    return (cx.unpack(states), cx.unpack(last)) if parts == 2 else (states, last)


def _parts(value, name, parts, ranks):
    received = [tuple(getattr(x, "shape", ())) for x in tree.flatten(value)]
    is_pair = isinstance(value, (tuple, list))
    if (
        is_pair != (parts == 2)
        or len(received) != parts
        or received[0] != received[-1]
        or len(received[0]) not in ranks
    ):
        form = "a tensor, or all arguments pairs (real, imag),"
        if parts == 2:
            form = "a pair (real, imag) of tensors of one shape,"
        raise ValueError(
            f"`{name}` must be {form} of rank "
            f"{' or '.join(str(rank) for rank in ranks)}. Received shapes: {received}"
        )
    return [ops.convert_to_tensor(x) for x in (value if is_pair else [value])]


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


def _time_varying(parts, a, b, initial, reverse, scan):
    sequential = resolve_scan(scan, static_size(b, 1)) == "sequential"
    run = partial(_scan_sequentially if sequential else _scan_associatively, parts)
    conjugate = cx.conjugate if parts == 2 else lambda x: x

    @custom_gradient
    def recurrence(a, b, initial):
        states = run(a, b, initial, reverse)

        def gradient(*upstream):
            (d_states,) = tree.flatten(upstream)
            # Same recurrence backwards; step t meets the coefficient of step t + 1.
            later = conjugate(_shift(a, ops.zeros_like(initial), not reverse))
            adjoints = run(later, d_states, ops.zeros_like(initial), not reverse)
            earlier = _shift(states, initial, reverse)
            d_a = _elementwise(parts, conjugate(earlier), adjoints)
            d_initial = _elementwise(parts, conjugate(a), adjoints)
            return d_a, adjoints, d_initial[:, -1 if reverse else 0]

        return states, gradient

    states = recurrence(a, b, initial)
    return states, states[:, 0 if reverse else -1]


def _split(x, parts):
    return cx.unpack(x) if parts == 2 else [x]


def _join(parts):
    return cx.pack(*parts) if len(parts) == 2 else parts[0]


def _multiply(x, y):
    return cx.multiply(x, y) if len(x) == 2 else [x[0] * y[0]]


def _elementwise(parts, x, y):
    return _join(_multiply(_split(x, parts), _split(y, parts)))


def _shift(x, first, reverse):
    """Every element moves one step later in time, `first` enters."""
    first = first[:, None]
    if reverse:
        return ops.concatenate([x, first], axis=1)[:, 1:]
    return ops.concatenate([first, x], axis=1)[:, :-1]


def _scan_sequentially(parts, a, b, initial, reverse):
    n = b.shape[-1]

    def step(state, coefficient_and_input):
        a_t, b_t = coefficient_and_input[:, :n], coefficient_and_input[:, n:]
        state = _elementwise(parts, a_t, state) + b_t
        return state, state

    # One leaf: `ops.scan` on TensorFlow fails with two and an unknown length.
    xs = ops.swapaxes(ops.concatenate([a, b], axis=-1), 0, 1)
    _, states = ops.scan(step, initial, xs, reverse=reverse)
    return ops.swapaxes(states, 0, 1)


def _scan_associatively(parts, a, b, initial, reverse):
    def combine(earlier, later):
        a_1, b_1 = earlier
        a_2, b_2 = later
        decayed = _multiply(a_2, b_1)
        return _multiply(a_2, a_1), [x + y for x, y in zip(decayed, b_2, strict=True)]

    decay, states = associative_scan(
        combine, (_split(a, parts), _split(b, parts)), reverse=reverse, axis=1
    )
    decayed = _multiply(decay, _split(initial[:, None], parts))
    return _join([x + y for x, y in zip(states, decayed, strict=True)])
