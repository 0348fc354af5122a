"""Systems side by side against one system with block-diagonal matrices."""

import numpy as np
import pytest

from keras_lru.ops.channelwise_system import ChannelwiseSystem
from keras_lru.ops.complex import Polar

from .test_diagonal_ssm import STATES, Problem, check

CHANNELS = 2
PER_CHANNEL = STATES // CHANNELS
OF_CHANNEL = np.repeat(np.eye(CHANNELS), PER_CHANNEL, axis=1)


def run(
    inputs,
    log_modulus,
    angle,
    B_re,
    B_im,
    C_re,
    C_im,
    D,
    x_re,
    x_im,
    lengths=None,
    **options,
):
    system = ChannelwiseSystem(
        Polar(log_modulus, angle), (B_re, B_im), (C_re, C_im), D, "float32"
    )
    return system.run(inputs, (x_re, x_im), lengths, **options)


class Channels(Problem):
    """The judge sees the block-diagonal B and C, the op their blocks."""

    def __init__(self, length, **kwargs):
        super().__init__(length, feedthrough="vector", **kwargs)
        for name in ("inputs", "D"):
            self.arguments[name] = self.arguments[name][..., :CHANNELS]
        for part in ("re", "im"):
            B, C = self.arguments[f"B_{part}"], self.arguments[f"C_{part}"]
            self.arguments[f"B_{part}"] = B[0]
            self.arguments[f"C_{part}"] = C[:, 0].reshape(CHANNELS, PER_CHANNEL)
        self.cotangents[0] = self.cotangents[0][..., :CHANNELS]

    def exact(self):
        exact = super().exact()
        exact["B"] = OF_CHANNEL * exact["B"]
        exact["C"] = (OF_CHANNEL * exact["C"].ravel()).T
        return exact

    def gradients(self):
        gradients = super().gradients()
        for part in ("re", "im"):
            B, C = gradients[f"B_{part}"], gradients[f"C_{part}"]
            gradients[f"B_{part}"] = (OF_CHANNEL * B).sum(0)
            shape = CHANNELS, PER_CHANNEL
            gradients[f"C_{part}"] = (OF_CHANNEL * C.T).sum(0).reshape(shape)
        return gradients


def test_matches_the_loop(evaluate, error, fast_mode):
    check(evaluate, error, fast_mode, Channels(18), 1e-5, run, block_size=4)


def test_lengths(evaluate, error, fast_mode):
    problem = Channels(6, lengths=np.array([5, 2]), return_sequences=False)
    check(evaluate, error, fast_mode, problem, 1e-5, run)


@pytest.mark.slow
def test_matches_the_loop_in_every_way_to_trace(evaluate, error, traced_mode):
    check(evaluate, error, traced_mode, Channels(18), 1e-5, run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("length", "scan", "block_size"),
    [
        (0, "auto", "auto"),
        (1, "chunked", "auto"),
        (18, "sequential", 1),
        (70, "sequential", 8),
        (70, "associative", "auto"),
        (150, "chunked", "auto"),
    ],
)
def test_any_algorithm(evaluate, error, fast_mode, length, scan, block_size):
    problem = Channels(length, lengths=np.array([length, length // 2]))
    check(
        evaluate,
        error,
        fast_mode,
        problem,
        1e-5,
        run,
        scan=scan,
        block_size=block_size,
    )


@pytest.mark.slow
@pytest.mark.parametrize("regime", ["hard", "origin"])
def test_regimes(evaluate, error, fast_mode, regime):
    # As for the dense system.
    check(evaluate, error, fast_mode, Channels(70, regime=regime), 1e-4, run)


@pytest.mark.parametrize("name", ["log_modulus", "angle", "B_re", "C_re", "D", "x_re"])
def test_wrong_shapes_are_named(name):
    arguments = Channels(3).arguments
    arguments[name] = arguments[name][..., :1]
    argument = {"B_re": "B", "C_re": "C", "x_re": "initial_state"}.get(name, name)
    argument = {"log_modulus": "angle"}.get(argument, argument)
    with pytest.raises(ValueError, match=f"`{argument}` must have shape"):
        run(**arguments)


def test_inputs_of_another_rank():
    arguments = Channels(3).arguments
    arguments["inputs"] = arguments["inputs"][0]
    with pytest.raises(ValueError, match="`inputs` must have shape"):
        run(**arguments)


def test_integers_are_refused():
    arguments = Channels(3).arguments
    arguments["inputs"] = arguments["inputs"].astype("int32")
    with pytest.raises(ValueError, match=r"`inputs` must be floating.*dtype=int32"):
        run(**arguments)


@pytest.mark.slow
def test_empty_batch():
    arguments = Channels(5).arguments
    for name in ("inputs", "x_re", "x_im"):
        arguments[name] = arguments[name][:0]
    outputs, (x_re, _) = run(**arguments)
    assert tuple(outputs.shape) == (0, 5, CHANNELS)
    assert tuple(x_re.shape) == (0, STATES)
