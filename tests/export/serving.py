"""A process that has TensorFlow, and neither Keras nor JAX nor this library."""

import pickle
import subprocess
import sys
import tempfile

# Reads (folder, inputs, sizes) after (folder, inputs, sizes) and writes what `serve`
# gives, or the outputs of streams in pieces of these sizes, None for a `step`.
SCRIPT = """
import os
import pickle
import sys
for name in ("keras", "keras_lru", "jax"):
    sys.modules[name] = None
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
import tensorflow as tf

def stream(model, inputs, sizes):
    states = model.initial_state(tf.nest.flatten(inputs)[0].shape[0])
    results = []
    start = 0
    for size in sizes:
        time = slice(start, start + size) if size else start
        piece = tf.nest.map_structure(lambda x: x[:, time], inputs)
        states = (model.chunk if size else model.step)(piece, states)
        names = [name for name in states if name.partition("_")[0] == "outputs"]
        results.append({name: states.pop(name).numpy() for name in names})
        start += size or 1
    return results

models = {}
while True:
    try:
        folder, inputs, sizes = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    if folder not in models:
        models[folder] = tf.saved_model.load(folder)
    model = models[folder]
    if sizes is None:
        result = tf.nest.map_structure(lambda x: x.numpy(), model.serve(inputs))
    else:
        result = stream(model, inputs, sizes)
    sys.stderr.flush()
    pickle.dump(result, answers)
    answers.flush()
"""
# TensorFlow says these whatever is loaded.
GREETINGS = ("InitializeLog", "oneDNN", "cuda", "cpu_feature_guard", "rebuild Tensor")


class TensorFlowAlone:
    """The process. It starts at once, and imports while others work."""

    def __enter__(self):
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self._read = 0
        return self

    def __exit__(self, *error):
        self._process.communicate()
        self._log.close()

    def serve(self, path, inputs, sizes=None):
        """What the process gets from a SavedModel.

        Args:
            path: The SavedModel's folder.
            inputs: The inputs.
            sizes: `None` for `serve`; else the sizes of the pieces of a stream, None
                for a `step`.

        Returns:
            The outputs; of a stream a list of dictionaries, one for each piece.
        """
        try:
            pickle.dump((str(path), inputs, sizes), self._process.stdin)
            self._process.stdin.flush()
            return pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError) as error:
            raise RuntimeError("\n".join(self.complaints())) from error

    def complaints(self):
        """The lines on standard error since the last question."""
        self._log.seek(self._read)
        lines = self._log.read().splitlines()
        self._read = self._log.tell()
        return [
            line
            for line in lines
            if line and not any(greeting in line for greeting in GREETINGS)
        ]
