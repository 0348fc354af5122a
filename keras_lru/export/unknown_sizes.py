"""Which sizes of a model's inputs stay unknown in a SavedModel, and their names."""

import itertools

import keras
from keras import tree

from keras_lru.backend import check_sizes, forward_only, must_prove_equal_sizes

# What an unknown size is while another is tried.
_SOME_SIZE = 16
# Beyond this many inputs not every way to tie them is tried.
_MOST_TIED = 6


def free_and_name_sizes(model, signature, free_time):
    """Finds out which sizes can be unknown, and which of them are one size.

    Each unknown size of an input is a size of its own, the batch excepted. Where the
    model cannot be traced so, since it adds two sequences say, the sizes are tied that
    have to be; as few as possible.

    Args:
        model: A built `keras.Model`.
        signature: Its arguments: a list of structures of `keras.InputSpec`, of which
            unknown sizes are `None`.
        free_time: Whether known sizes of axis 1 become unknown too, where the model
            takes other sizes.

    Returns:
        The signature, and a list with the shape of each input in it: a tuple of sizes,
        and of names for those that are unknown.

    Raises:
        ValueError: If the model cannot be traced with the sizes unknown that have to
            be. The message names the input.
    """
    trial = _Trial(model, signature)
    known = trial.known_times() if free_time else []
    unknown = trial.unknown_sizes()
    groups = [[axis] for axis in unknown + known]
    if (known or must_prove_equal_sizes()) and trial.error(groups):
        groups = _tie(trial, unknown, known)
        groups += _free(trial, set(known).difference(*groups), groups)
    shapes = trial.shapes(groups)
    return (_with_shapes(signature, shapes) if free_time else signature), shapes


def _with_shapes(signature, shapes):
    specs = [
        keras.InputSpec(
            shape=tuple(None if isinstance(size, str) else size for size in shape),
            dtype=spec.dtype,
            name=spec.name,
        )
        for spec, shape in zip(tree.flatten(signature), shapes, strict=True)
    ]
    return tree.pack_sequence_as(signature, specs)


def _tie(trial, unknown, known):
    """The unknown sizes in the smallest groups that need not be equal."""
    if not must_prove_equal_sizes():
        return [[axis] for axis in unknown]
    error = trial.error([unknown])
    if error:
        # They may have to be equal to a known one.
        if trial.error([unknown + known]):
            raise trial.refusal(unknown, error) from error
        unknown = unknown + known

    def is_free(group):
        others = [axis for axis in unknown if axis not in group]
        return not trial.error([group, others])

    return _smallest(unknown, is_free)


def _free(trial, known, groups):
    """Known sizes of axis 1, in groups, that the model takes any others in place of."""

    def is_free(group):
        return not trial.error([*groups, group])

    freed = []
    for _, alike in itertools.groupby(sorted(known, key=trial.size), trial.size):
        freed += _smallest(list(alike), is_free)
    if must_prove_equal_sizes():
        _check_kept(trial, set(known).difference(*freed))
        error = trial.error(groups + freed)
        if error:
            raise trial.refusal(known, error) from error
    return freed


def _check_kept(trial, kept):
    for axis in sorted(kept):
        if trial.takes_another(axis):
            error = trial.error([[axis]])
            raise trial.refusal([axis], error) from error


def _smallest(axes, is_free):
    """Splits what can be free into the smallest groups that can be, each by itself."""
    groups = []
    while axes:
        first, *others = axes
        more = range(len(others) + 1)
        if len(others) >= _MOST_TIED:
            more = (0, len(others))
        group = next(
            (
                [first, *tied]
                for count in more
                for tied in itertools.combinations(others, count)
                if is_free([first, *tied])
            ),
            None,
        )
        if group is not None:
            groups.append(group)
        axes = [axis for axis in others if axis not in (group or ())]
    return groups


class _Trial:
    """A model, to be tried on inputs of unknown sizes.

    Sizes are told by `(input, axis)`. Those of a group are one size, by one name.
    """

    def __init__(self, model, signature):
        self._model = model
        self._signature = signature
        self._specs = tree.flatten(signature)
        self._errors = {}

    def unknown_sizes(self):
        return [
            (i, axis)
            for i, spec in enumerate(self._specs)
            for axis, size in enumerate(spec.shape)
            if size is None and axis > 0
        ]

    def known_times(self):
        return [
            (i, 1)
            for i, spec in enumerate(self._specs)
            if len(spec.shape) > 1 and spec.shape[1] is not None
        ]

    def size(self, axis):
        return self._specs[axis[0]].shape[axis[1]]

    def shapes(self, groups):
        """The shapes of the inputs, with a name for each group."""
        names = {}
        for group in groups:
            first = min(group, default=None)
            names.update(dict.fromkeys(group, "input{}_axis{}".format(*first)))
        return self._replaced(names)

    def error(self, groups):
        """Why the model cannot be traced with these sizes unknown, or `None`."""
        groups = [group for group in groups if group]
        shapes = self.shapes(groups)
        sizes = {"batch": 2}
        for i, axis in itertools.chain(*groups):
            size = self.size((i, axis))
            sizes[shapes[i][axis]] = _SOME_SIZE if size is None else 2 * size
        return self._error(self._model, shapes, sizes)

    def takes_another(self, axis):
        """Whether the model takes another size, in place of one that is known."""
        shapes = self._replaced({axis: 2 * self.size(axis)})
        # A functional model's own `__call__` would take the declared size only.
        return self._error(self._model.call, shapes, {}) is None

    def refusal(self, axes, error):
        """The error to raise if these sizes cannot be unknown."""
        guilty = [axis for axis in axes if self.error([[axis]])] or axes
        inputs = " and ".join(
            f"{self._specs[i].name or i!r} of shape {tuple(self._specs[i].shape)}"
            for i in sorted({i for i, _ in guilty})
        )
        reason = str(error).partition("\n\nArguments received")[0]
        return ValueError(
            f"`model` cannot be traced on {keras.backend.backend()} with axes "
            f"{sorted({axis for _, axis in guilty})} of unknown size: pass "
            "`input_signature` with known sizes. Received: "
            f"model={self._model.name!r}, with input {inputs}: {' '.join(reason.split())}"
        )

    def _replaced(self, sizes):
        return [
            tuple(
                "batch" if axis == 0 and size is None else sizes.get((i, axis), size)
                for axis, size in enumerate(spec.shape)
            )
            for i, spec in enumerate(self._specs)
        ]

    def _error(self, function, shapes, sizes):
        def call(*inputs):
            # States and statistics stay as they are.
            with keras.StatelessScope(), forward_only():
                return function(*tree.pack_sequence_as(self._signature, inputs))

        shapes = [
            tuple(_SOME_SIZE if size is None else size for size in shape)
            for shape in shapes
        ]
        key = (function == self._model, *shapes)
        if key not in self._errors:
            try:
                check_sizes(call, shapes, [x.dtype for x in self._specs], sizes)
                self._errors[key] = None
            except Exception as error:
                self._errors[key] = error
        return self._errors[key]
