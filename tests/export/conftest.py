import pytest

from .serving import TensorFlowAlone


@pytest.fixture(scope="session")
def tensorflow_alone():
    """A process with TensorFlow, and neither Keras nor JAX nor this library."""
    with TensorFlowAlone() as process:
        yield process
