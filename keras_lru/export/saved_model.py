"""SavedModels with endpoints for whole sequences and for streams."""

import os
from pathlib import Path

import keras
from keras import ops, tree

from keras_lru.backend import forward_only, writes_saved_models
from keras_lru.export.atomic_folder import atomic_folder
from keras_lru.export.by_tensorflow import export_by_tensorflow
from keras_lru.export.input_signature import endpoint_options, served_inputs
from keras_lru.export.streaming_model import StreamingModel


def export_saved_model(
    model: keras.Model,
    path: str | os.PathLike,
    streaming: bool = True,
    *,
    input_signature: list | None = None,
    overwrite: bool = False,
    verbose: bool = True,
) -> None:
    """Exports a model for TensorFlow alone: whole sequences, and streams.

    The folder needs neither Keras nor this library where it is loaded, whichever
    backend the model was trained on, and takes sequences of every length in batches of
    every size. Its endpoints, which are its signatures too:

    - `serve(inputs)`: the outputs of whole sequences.
    - `initial_state(batch)`: the states before the first step of `batch` sequences, a
      dictionary `{name: (batch, …)}`.
    - `step(inputs, states)`: one step, inputs without a time axis, `(batch, features)`
      or `(batch,)` tokens.
    - `chunk(inputs, states)`: any number of steps, one at least,
      `(batch, time, features)` or `(batch, time)`.

    `step` and `chunk` return one dictionary: the new states under their names, and
    `"outputs"`. A sequence in pieces gives the outputs of the whole, whatever the
    pieces. Of a model that gives one output a sequence, they give that of the sequence
    so far.

    A model can be streamed if each step of its outputs depends on the steps up to it
    alone, and if its memory is in recurrent layers: an `LRU`, any other
    `keras.layers.RNN` such as `LSTM`, blocks and models of these. Other layers may
    say themselves what they remember, by a method `call_in_stream`, or by
    `cannot_stream` why they need the whole sequence. That is tried on random inputs
    before anything is written. Normalization and dropout run as in inference.

    On PyTorch, with which Keras writes no SavedModels, another process does it with
    TensorFlow: the model goes over in a `.keras` file.

    Args:
        model: A built `keras.Model`. Axis 1 of an input is time if the model takes
            other sizes there; static features, states and the like keep the size they
            have. With `streaming`, all inputs have time.
        path: Folder to write.
        streaming: Whether to have the endpoints for streams.
        input_signature: List with one structure of `keras.InputSpec`, the inputs of
            the model, to be taken as it is. `None` means those it was built on, with
            unknown batch and time; where a layer is stateful, the batch stays known.
            Sizes that are unknown are independent of each other, unless the model needs
            them equal.
        overwrite: Whether to replace a SavedModel at `path`.
        verbose: Whether to print the endpoints.

    Raises:
        ValueError: If `model` is no model or not built; if it cannot be traced where a
            size is unknown, which JAX cannot for every model: the message names the
            input; with `streaming`, if it cannot take a sequence in pieces: the message
            names the input without time, or the layer that reads from the end
            (`Bidirectional`, `go_backwards`), pools over time, mixes time steps, or
            says itself that it cannot.
        FileExistsError: If there is something at `path`, without `overwrite`.
        OSError: If nothing can be written at `path`, or the disk is full. Then `path`
            is as it was.

    Example:

    >>> import tempfile
    >>> import numpy as np
    >>> import tensorflow as tf
    >>> from keras_lru import SequenceRegressor
    >>> from keras_lru.export import export_saved_model
    >>> model = SequenceRegressor(1, depth=1, units=4, state_size=4)
    >>> _ = model(np.zeros((2, 5, 3), "float32"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_saved_model(model, f"{folder}/served", verbose=False)
    ...     served = tf.saved_model.load(f"{folder}/served")
    >>> states = served.initial_state(2)
    >>> for inputs in np.ones((5, 2, 3), "float32"):
    ...     states = served.step(inputs, states)
    ...     outputs = states.pop("outputs")
    >>> tuple(outputs.shape), sorted(states)
    ((2, 1), ['lru_x_im', 'lru_x_re'])
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
    if not overwrite and Path(path).exists():
        raise FileExistsError(
            "`path` must not exist yet, or pass `overwrite=True`. "
            f"Received: path={str(path)!r}"
        )
    if not writes_saved_models():
        export_by_tensorflow(
            model,
            path,
            streaming=streaming,
            input_signature=input_signature,
            overwrite=overwrite,
            verbose=verbose,
        )
        return
    recorded = input_signature is None
    input_signature, shapes = served_inputs(model, input_signature)
    if streaming and recorded:
        _check_that_inputs_have_time(model, input_signature)
    stream = StreamingModel(model, input_signature) if streaming else None

    archive = keras.export.ExportArchive()
    archive.track(model)
    with atomic_folder(path) as folder, forward_only():
        _add(archive, "serve", model.__call__, input_signature, shapes)
        if streaming:
            _add_stream(archive, stream, input_signature, shapes)
        archive.write_out(str(folder), verbose=False)
    if verbose:
        endpoints = "serve, step, chunk, initial_state" if streaming else "serve"
        print(f"Saved {path}, with the endpoints: {endpoints}")


def _check_that_inputs_have_time(model, signature):
    for spec in tree.flatten(signature):
        shape = tuple(spec.shape)
        if shape[1:2] != (None,):
            raise ValueError(
                "`model` cannot be streamed; export it with `streaming=False`. "
                f"Received: model={model.name!r}, with input {spec.name!r} of shape "
                f"{shape}, which has no time axis: the model takes no other size there"
            )


def _add(archive, name, function, signature, shapes):
    options = endpoint_options(signature, shapes)
    archive.add_endpoint(name, function, signature, **options)


def _add_stream(archive, stream, signature, shapes):
    import tensorflow as tf

    states = {
        name: keras.InputSpec(shape=(None, *row.shape), dtype=str(row.dtype), name=name)
        for name, row in stream.initial_state.items()
    }
    (inputs,) = signature

    def chunk(inputs, states):
        outputs, states = stream(inputs, states)
        return {**_named(outputs), **states}

    def step(inputs, states):
        inputs = tree.map_structure(lambda x: ops.expand_dims(x, 1), inputs)
        outputs, states = stream(inputs, states)
        flat = [
            x[:, 0] if has_time else x
            for x, has_time in zip(tree.flatten(outputs), stream.has_time, strict=True)
        ]
        return {**_named(tree.pack_sequence_as(outputs, flat)), **states}

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32, name="batch")])
    def initial_state(batch):
        return {
            name: tf.tile(row[None], [batch, *(1 for _ in row.shape)])
            for name, row in stream.initial_state.items()
        }

    one_step = tree.map_structure(
        lambda x: keras.InputSpec(
            shape=(x.shape[0], *x.shape[2:]), dtype=x.dtype, name=x.name
        ),
        inputs,
    )
    state_shapes = [("batch", *spec.shape[1:]) for spec in tree.flatten(states)]
    pieces = [
        (batch, "time" if isinstance(time, str) else time, *rest)
        for batch, time, *rest in shapes
    ]
    steps = [(batch, *rest) for batch, _, *rest in shapes]
    _add(archive, "chunk", chunk, [inputs, states], pieces + state_shapes)
    _add(archive, "step", step, [one_step, states], steps + state_shapes)
    initial_state.get_concrete_function()
    archive.add_endpoint("initial_state", initial_state)


def _named(outputs):
    """The model's outputs as entries of a flat dictionary."""
    if isinstance(outputs, dict):
        return {f"outputs_{key}": value for key, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return {f"outputs_{i}": value for i, value in enumerate(outputs)}
    return {"outputs": outputs}
