"""ONNX, LiteRT and OpenVINO files, run by the formats' own runtimes."""

import keras
import numpy as np
import pytest

from keras_lru import LRU, LRUBackbone, SequenceClassifier

LENGTH = 20
pytestmark = [
    pytest.mark.formats,
    pytest.mark.slow,
    # Converters of other projects, on today's NumPy, protobuf and JAX.
    pytest.mark.filterwarnings("ignore"),
]


def stack(scan):
    return keras.Sequential(
        [
            keras.Input((LENGTH, 3)),
            LRU(8, return_sequences=True, scan=scan),
            LRU(8, scan=scan),
            keras.layers.Dense(2),
        ]
    )


def classifier(scan):
    recurrence = LRU(8, return_sequences=True, scan=scan)
    backbone = LRUBackbone(depth=1, units=8, recurrence=recurrence, activation="silu")
    return SequenceClassifier(4, backbone=backbone)


def run_onnx(path):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def run_openvino(path):
    runtime = pytest.importorskip("openvino")
    # On some processors its default is bfloat16.
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    model = runtime.Core().compile_model(path, "CPU", settings)
    return lambda x: model({0: x})[0]


def run_litert(path):
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(model_path=path)
    index = interpreter.get_input_details()[0]["index"]

    def run(x):
        interpreter.resize_tensor_input(index, x.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(index, x)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run


FORMATS = {
    "onnx": (run_onnx, "model.onnx", ["onnxruntime"]),
    "openvino": (run_openvino, "model.xml", ["openvino"]),
    "litert": (run_litert, "model.tflite", ["ai_edge_litert"]),
}
WORKS = {
    "jax": [("onnx", "associative")],
    "tensorflow": [("onnx", "auto"), ("openvino", "auto"), ("litert", "auto")],
    "torch": [("onnx", "auto")],
}
CONVERTERS = {
    ("onnx", "jax"): "jax2onnx",
    ("onnx", "tensorflow"): "tf2onnx",
    ("onnx", "torch"): "onnxscript",
}


@pytest.mark.parametrize("make", [stack, classifier])
@pytest.mark.parametrize(("format", "scan"), WORKS[keras.backend.backend()])
def test_runs_in_its_own_runtime(make, format, scan, tmp_path, backend):
    run, name, modules = FORMATS[format]
    converter = CONVERTERS.get((format, backend))
    for module in [*modules, *([converter] if converter else [])]:
        pytest.importorskip(module)
    model = make(scan)
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(n, LENGTH, 3)).astype("float32") for n in (2, 1, 5)]
    expected = [keras.ops.convert_to_numpy(model(x)) for x in inputs]
    path = str(tmp_path / name)
    model.export(path, format=format, verbose=False)
    served = run(path)
    for x, y in zip(inputs, expected, strict=True):
        # Single precision, in another order.
        np.testing.assert_allclose(served(x), y, atol=1e-5 * max(1, np.abs(y).max()))


REFUSED = {
    "jax": [
        ("litert", "requires TensorFlow or PyTorch"),
        ("torch", "requires PyTorch"),
        ("openvino", "No conversion rule found for operations: XlaCallModule"),
    ],
    "tensorflow": [("torch", "requires PyTorch")],
    "torch": [("litert", "litert-torch")],
}


@pytest.mark.parametrize(("format", "reason"), REFUSED[keras.backend.backend()])
def test_what_does_not_work_says_why(format, reason, tmp_path):
    if format == "openvino":
        pytest.importorskip("openvino")
    model = stack("associative")
    model(np.zeros((2, LENGTH, 3), "float32"))
    path = str(tmp_path / f"model.{'tflite' if format == 'litert' else 'xml'}")
    with pytest.raises(Exception, match=reason):
        model.export(path, format=format, verbose=False)
