"""Exports by a process on the backend TensorFlow, where this one writes no SavedModels.

    python -m keras_lru.export.by_tensorflow REQUEST

runs that process: the request is a folder with the model and what to do with it.
"""

import builtins
import importlib.util
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import keras

_MODEL, _REQUEST, _ERROR = "model.keras", "request.pickle", "error.json"
_KNOWN = ("builtins", "keras", "keras_lru")


def export_by_tensorflow(model, path, **options):
    """`export_saved_model(model, path, **options)` by another process.

    Args:
        model: A built model. The modules of all that is not Keras's are imported there.
        path: Folder to write.
        **options: Of `export_saved_model`; `verbose` too.

    Raises:
        ValueError: If the model is not built; if something in it is defined in the
            script that runs, which no other process can import; or whatever the export
            raises.
        ImportError: If TensorFlow is not installed.
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise ImportError(
            "SavedModels are written by TensorFlow, which is not installed: "
            'pip install "keras-lru[tensorflow]".'
        )
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
    """Modules of all in the model that is neither Keras's nor ours."""
    for name, module in _objects(keras.saving.serialize_keras_object(model)):
        if module == "__main__":
            raise ValueError(
                "On this backend SavedModels are written by another process, on "
                "TensorFlow: all in `model` must be of modules that it can import. "
                f"Received: {name}, which is defined in the script that runs"
            )
        if module.split(".")[0] not in _KNOWN:
            yield module


def _objects(config):
    """`(name, module)` of each object that a serialized form holds."""
    if isinstance(config, dict):
        if config.get("class_name") == "function":
            # Its own form has no module.
            name = config.get("registered_name") or config.get("config")
            found = keras.saving.get_registered_object(name)
            found = found or keras.saving.get_registered_object(str(config["config"]))
            if found is not None:
                yield name, found.__module__
        elif "class_name" in config and "registered_name" in config:
            # Keras names no module for what the script that runs defines.
            yield config["class_name"], config.get("module") or "__main__"
    children = config.values() if isinstance(config, dict) else config
    if isinstance(config, dict | list | tuple):
        for child in children:
            yield from _objects(child)


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
    from keras_lru.export.saved_model import export_saved_model

    for module in modules:
        importlib.import_module(module)
    # The file is this process's own.
    model = keras.saving.load_model(model, compile=False, safe_mode=False)
    export_saved_model(model, path, **options)


if __name__ == "__main__":
    main(sys.argv[1])
