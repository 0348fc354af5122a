"""Exports by a process on the backend TensorFlow, where this one writes no SavedModels.

    python -m keras_lru.export.by_tensorflow REQUEST

runs that process: the request is a folder with the model and what to do with it.
"""

import builtins
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

_MODEL, _REQUEST, _ERROR = "model.keras", "request.pickle", "error.json"
_OURS = ("keras", "keras_lru")


def export_by_tensorflow(model, path, **options):
    """`export_saved_model(model, path, **options)` by another process.

    Args:
        model: A built model. The modules of its own layers are imported there.
        path: Folder to write.
        **options: Of `export_saved_model`; `verbose` too.

    Raises:
        ValueError: If the model is not built; if a class of a layer is of the script
            that runs, which no other process can import; or whatever the export raises.
        ImportError: If TensorFlow is not installed.
    """
    if not model.built:
        raise ValueError(
            "`model` must be built before it is exported: call it on a batch. "
            f"Received: model={model.name!r}"
        )
    with tempfile.TemporaryDirectory() as folder:
        request = Path(folder)
        model.save(request / _MODEL)
        content = {
            "path": str(Path(path).absolute()),
            "modules": sorted(_modules(model)),
            "options": options,
        }
        (request / _REQUEST).write_bytes(pickle.dumps(content))
        process = subprocess.run(
            [sys.executable, "-m", __name__, folder],
            env={
                **os.environ,
                "KERAS_BACKEND": "tensorflow",
                "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
                # Where this process finds its modules.
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if process.returncode:
            raise _raised_there(request / _ERROR, process.stderr)


def _modules(model):
    """Modules of layers that are neither Keras's nor ours."""
    for layer in model._flatten_layers():
        module = type(layer).__module__
        if module == "__main__":
            raise ValueError(
                "On this backend SavedModels are written by another process, on "
                "TensorFlow: `model` must be made of layers that it can import. "
                f"Received: layer {layer.name!r} of class {type(layer).__name__}, "
                "which is defined in the script that runs"
            )
        if module.split(".")[0] not in _OURS:
            yield module


def _raised_there(path, stderr):
    """The exception of the other process, of the same class if Python has it."""
    if not path.exists():
        return RuntimeError(f"The process that exports on TensorFlow failed:\n{stderr}")
    name, arguments = json.loads(path.read_text())
    kind = getattr(builtins, name, RuntimeError)
    return kind(*arguments)


def main(folder):
    """Does what a request says."""
    request = Path(folder)
    try:
        content = pickle.loads((request / _REQUEST).read_bytes())
        _export(request / _MODEL, **content)
    except Exception as error:
        arguments = [
            x if isinstance(x, str | int | None) else str(x) for x in error.args
        ]
        if isinstance(error, OSError):
            arguments = [error.errno, error.strerror, error.filename]
        (request / _ERROR).write_text(json.dumps([type(error).__name__, arguments]))
        raise


def _export(model, path, modules, options):
    import importlib

    import keras

    from keras_lru.export.saved_model import export_saved_model

    for module in modules:
        importlib.import_module(module)
    model = keras.saving.load_model(model, compile=False)
    export_saved_model(model, path, **options)


if __name__ == "__main__":
    main(sys.argv[1])
