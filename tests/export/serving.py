"""A process that has TensorFlow, and neither Keras nor JAX nor this library."""

import pickle
import subprocess
import sys

# Reads [(folder, [inputs, ...]), ...]; writes the outputs of `serve` in that structure,
# or with streams, those of each step and those of chunks.
SCRIPT = """
import pickle
import sys
for name in ("keras", "keras_lru", "jax"):
    sys.modules[name] = None
import numpy as np
import tensorflow as tf

def stream(model, inputs, sizes):
    states = model.initial_state(inputs.shape[0])
    outputs = []
    start = 0
    for size in sizes:
        if size is None:
            states = model.step(inputs[:, start], states)
        else:
            states = model.chunk(inputs[:, start : start + size], states)
        start += size or 1
        outputs.append(states.pop("outputs").numpy())
    return outputs

results = []
with open(sys.argv[1], "rb") as file:
    requests = pickle.load(file)
for folder, arguments, sizes in requests:
    model = tf.saved_model.load(folder)
    results.append([
        tf.nest.map_structure(lambda x: x.numpy(), model.serve(inputs))
        if sizes is None else stream(model, inputs, sizes)
        for inputs in arguments
    ])
with open(sys.argv[2], "wb") as file:
    pickle.dump(results, file)
"""
# TensorFlow says these whatever is loaded.
GREETINGS = ("InitializeLog", "oneDNN", "cuda", "cpu_feature_guard", "rebuild Tensor")


def serve_elsewhere(requests, folder):
    """What another process gets from SavedModels, and what it complains of.

    Args:
        requests: List of `(path, inputs, sizes)`: the inputs of several calls, of
            `serve` if `sizes` is `None`, else in pieces of these sizes, None for a
            `step`.
        folder: `Path` of a folder for the exchange.

    Returns:
        A list of lists of outputs, and the lines on standard error.
    """
    asked, answered = folder / "requests.pickle", folder / "results.pickle"
    asked.write_bytes(pickle.dumps([(str(p), *rest) for p, *rest in requests]))
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(asked), str(answered)],
        capture_output=True,
        text=True,
    )
    if process.returncode:
        raise RuntimeError(process.stderr)
    lines = [
        line
        for line in process.stderr.splitlines()
        if line and not any(greeting in line for greeting in GREETINGS)
    ]
    return pickle.loads(answered.read_bytes()), lines
