"""Which sizes of a model's inputs stay unknown in a SavedModel, and their names."""

import contextlib
import itertools
import re

import keras
from keras import tree

from keras_lru.backend import check_sizes, forward_only, proves_sizes
from keras_lru.export.layer_names import named_layers

# What an unknown size is while another is tried.
_SOME_SIZE = 16
# Of more sizes that have to be tied not every way to do so is tried.
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
    if trial.is_needed(groups, known) and trial.error(groups):
        groups = _tie(trial, unknown, known)
        known = [axis for axis in known if axis not in itertools.chain(*groups)]
        groups += _free(trial, known, groups)
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
    if not proves_sizes():
        return [[axis] for axis in unknown]
    if trial.error([unknown]):
        # They may have to be equal to a known one.
        if trial.error([unknown + known]):
            raise trial.refusal(unknown)
        unknown = unknown + known

    def is_free(group):
        others = [axis for axis in unknown if axis not in group]
        return not trial.error([group, others])

    return _smallest(unknown, is_free)


def _free(trial, known, groups):
    """Known sizes of axis 1, in groups, that the model takes any others in place of."""

    def is_free(group):
        return not trial.error([*groups, group])

    if not known:
        return []
    freed = []
    for _, alike in itertools.groupby(sorted(known, key=trial.size), trial.size):
        freed += _smallest(list(alike), is_free)
    for axis in set(known).difference(*freed):
        if trial.takes_another(axis):
            raise trial.refusal([axis])
    if proves_sizes() and trial.error(groups + freed):
        raise trial.refusal(known)
    return freed


def _smallest(axes, is_free):
    """Splits what can be free into the smallest groups that can be, each by itself."""
    groups = [[axis] for axis in axes if is_free([axis])]
    axes = [axis for axis in axes if [axis] not in groups]
    while axes:
        first, *others = axes
        counts = range(1, len(axes)) if len(axes) <= _MOST_TIED else [len(others)]
        tied = (x for count in counts for x in itertools.combinations(others, count))
        group = next(([first, *x] for x in tied if is_free([first, *x])), None)
        if group:
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

    def is_needed(self, groups, known):
        if known or not proves_sizes():
            return bool(known)
        if getattr(self._model, "inputs_have_time", False):
            return len(groups) > 1
        return any(None in tuple(spec.shape) for spec in self._specs)

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
        error = None
        if not proves_sizes():
            doubled = {x: self._another(x) for x in itertools.chain(*groups)}
            error = self._error(self._replaced(doubled))
        return error or self._error(self.shapes(groups))

    def takes_another(self, axis):
        """Whether the model takes another size, in place of one that is known."""
        return not self._error(self._replaced({axis: self._another(axis)}))

    def _another(self, axis):
        size = self.size(axis)
        return _SOME_SIZE if size is None else 2 * size

    def refusal(self, axes):
        """The error to raise if these sizes cannot be unknown."""
        if self.error([]):
            axes = [(i, 0) for i, spec in enumerate(self._specs) if spec.shape]
        error = self.error([axes] if axes[0][1] else [])
        guilty = [axis for axis in axes if axis[1] and self.error([[axis]])] or axes
        inputs = ", ".join(
            f"{self._specs[i].name or i!r} of shape {tuple(self._specs[i].shape)}"
            for i in sorted({i for i, _ in guilty})
        )
        axes = ", ".join(map(str, sorted({axis for _, axis in guilty})))
        reason = str(error).partition("\n\nArguments received")[0]
        reason = " ".join(re.sub(r"\x1b\[\d+m", "", reason).split())
        refusal = ValueError(
            f"`model` cannot be traced on {keras.backend.backend()} with axis {axes} "
            "of its inputs unknown: pass `input_signature` with known sizes. Received: "
            f"model={self._model.name!r} with input {inputs}. {reason}"
        )
        refusal.__cause__ = error
        return refusal

    def _replaced(self, sizes):
        return [
            tuple(
                "batch" if axis == 0 and size is None else sizes.get((i, axis), size)
                for axis, size in enumerate(spec.shape)
            )
            for i, spec in enumerate(self._specs)
        ]

    def _error(self, shapes):
        def call(*inputs):
            # States and statistics stay as they are.
            with keras.StatelessScope(), forward_only():
                return self._model(*tree.pack_sequence_as(self._signature, inputs))

        key = tuple(
            tuple(_SOME_SIZE if size is None else size for size in shape)
            for shape in shapes
        )
        if key not in self._errors:
            dtypes = [keras.backend.standardize_dtype(x.dtype) for x in self._specs]
            try:
                with _undeclared_sizes(self._model):
                    check_sizes(call, key, dtypes)
                self._errors[key] = None
            except Exception as error:
                self._errors[key] = error
        return self._errors[key]


@contextlib.contextmanager
def _undeclared_sizes(model):
    """Inside, functional models do not insist on the sizes of their `keras.Input`s."""
    declared = {
        layer: layer.input_spec
        for layer in named_layers(model).values()
        if isinstance(layer, keras.Model)
        and isinstance(getattr(type(layer), "input_spec", None), property)
    }
    for layer in declared:
        layer.input_spec = None
    try:
        yield
    finally:
        for layer, spec in declared.items():
            layer.input_spec = spec
