"""Arguments of the layers, by kind: legal ones, none the default, and bad ones."""

import keras
import numpy as np

_COMMON = {
    "activity_regularizer": keras.regularizers.L2(0.3),
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "zero_output_for_mask": True,
    "seed": 7,
    "name": "my_layer",
    "dtype": keras.DTypePolicy("mixed_bfloat16"),
    "trainable": False,
}
_SOLVED = {"scan": "chunked", "block_size": 3, "hold": "impulse"}
_OUTPUT = {
    "output_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=1),
    "feedthrough_initializer": {"class_name": "Zeros", "config": {}},
    "recurrent_regularizer": "l1",
    "output_regularizer": keras.regularizers.L1L2(0.1, 0.2),
    "feedthrough_regularizer": "l2",
    "recurrent_constraint": "non_neg",
    "output_constraint": "unit_norm",
    "feedthrough_constraint": "non_neg",
}
_INPUT = {
    "input_initializer": "glorot_uniform",
    "input_regularizer": keras.regularizers.L2(0.1),
    "input_constraint": keras.constraints.MaxNorm(2.0),
}

LEGAL = {
    "lru": {
        **_COMMON,
        **_SOLVED,
        **_OUTPUT,
        **_INPUT,
        "units": 4,
        "state_size": 6,
        "r_min": 0.1,
        "r_max": 0.9,
        "max_phase": 1.0,
        "parameterization": "exp",
        "normalize": False,
        "feedthrough": "matrix",
        "initialization": "log_uniform",
    },
    "s4d": {
        **_COMMON,
        **_SOLVED,
        **_OUTPUT,
        "units": 4,
        "state_size": 6,
        "initialization": "inv",
        "dt_min": 0.01,
        "dt_max": 0.2,
    },
    "s5": {
        **_COMMON,
        **_SOLVED,
        **_OUTPUT,
        **_INPUT,
        "units": 4,
        "state_size": 6,
        "blocks": 3,
        "conjugate_symmetry": False,
        "dt_min": 0.01,
        "dt_max": 0.2,
        "clip_eigenvalues": True,
        "feedthrough": "matrix",
    },
    "dense_rnn": {
        **_COMMON,
        **_OUTPUT,
        **_INPUT,
        "units": 4,
        "state_size": 6,
        "activation": "relu",
        "feedthrough": "matrix",
        "recurrent_initializer": "orthogonal",
    },
    "rg_lru": {
        **_COMMON,
        "units": 4,
        "num_heads": 2,
        "a_min": 0.5,
        "a_max": 0.75,
        "gate_initializer": "glorot_uniform",
        "bias_initializer": "ones",
        "recurrent_regularizer": "l1",
        "gate_regularizer": keras.regularizers.L2(0.1),
        "bias_regularizer": "l2",
        "recurrent_constraint": "non_neg",
        "gate_constraint": keras.constraints.MaxNorm(2.0),
        "bias_constraint": "non_neg",
        "scan": "associative",
    },
}

# Of cells, and so of layers: arguments, and what the message says.
_BAD_COMMON = [
    ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
    ({"units": -1}, "`units` must be a positive integer. Received: units=-1"),
    ({"units": 2.0}, r"`units` must be a positive integer. Received: units=2\.0"),
    ({"units": True}, "`units` must be a positive integer. Received: units=True"),
    ({"units": None}, "`units` must be a positive integer. Received: units=None"),
    ({"units": "4"}, "`units` must be a positive integer. Received: units='4'"),
    ({"seed": 1.5}, r"`seed` must be an integer or None.*seed=1\.5"),
    ({"seed": "1"}, "`seed` must be an integer or None.*seed='1'"),
    ({"dtype": "int32"}, "`dtype` must be a floating dtype.*dtype='int32'"),
    ({"bias": True}, "bias"),
    ({"recurrent_regularizer": "no_such"}, "no_such"),
    ({"recurrent_constraint": "no_such"}, "no_such"),
]
_BAD_SIZE = [
    ({"state_size": 0}, "`state_size` must be a positive integer.*state_size=0"),
    ({"state_size": -2}, "`state_size` must be a positive integer.*state_size=-2"),
    ({"state_size": [3, 3]}, r"`state_size` must be .*state_size=\[3, 3\]"),
]
_BAD_FEEDTHROUGH = [
    ({"feedthrough": "dense"}, "`feedthrough` must be one of .*'dense'"),
    ({"feedthrough": None}, "`feedthrough` must be one of .*None"),
]
_BAD_INPUT = [
    ({"input_initializer": "no_such"}, "no_such"),
    ({"input_regularizer": "no_such"}, "no_such"),
]
_BAD_OUTPUT = [({"output_initializer": "no_such"}, "no_such")]
_BAD_TIMESCALES = [
    ({"state_size": 3}, "`state_size` must be divisible by 2, .*state_size=3"),
    ({"dt_min": 0}, "`dt_min` must be a finite number > 0. Received: dt_min=0"),
    ({"dt_max": np.inf}, "`dt_max` must be a finite number > 0.*dt_max=inf"),
    ({"dt_min": 1, "dt_max": 0.1}, "`dt_min` must not be .*dt_min=1, dt_max=0.1"),
]
BAD_OF_CELL = {
    "lru": [
        *_BAD_COMMON,
        *_BAD_SIZE,
        *_BAD_FEEDTHROUGH,
        *_BAD_INPUT,
        *_BAD_OUTPUT,
        ({"r_min": -0.1}, r"`r_min` must be .*r_min=-0\.1"),
        ({"r_max": 1.1}, r"`r_max` must be .*r_max=1\.1"),
        ({"r_min": np.nan}, "`r_min` must be .*r_min=nan"),
        ({"r_max": "1"}, "`r_max` must be .*r_max='1'"),
        ({"r_min": 0.9, "r_max": 0.5}, r"`r_min` .*`r_max`.*r_min=0\.9, r_max=0\.5"),
        ({"max_phase": -1}, "`max_phase` must be .*max_phase=-1"),
        ({"max_phase": np.inf}, "`max_phase` must be .*max_phase=inf"),
        ({"parameterization": "polar"}, "`parameterization` must be one of .*'polar'"),
        ({"initialization": "hippo"}, "`initialization` must be one of .*'hippo'"),
        ({"parameterization": ["exp"]}, r"`parameterization` must be .*\['exp'\]"),
    ],
    "s4d": [
        *_BAD_COMMON,
        *_BAD_SIZE,
        *_BAD_OUTPUT,
        *_BAD_TIMESCALES,
        ({"initialization": "fou"}, "`initialization` must be one of .*'fou'"),
    ],
    "s5": [
        *_BAD_COMMON,
        *_BAD_SIZE,
        *_BAD_FEEDTHROUGH,
        *_BAD_INPUT,
        *_BAD_OUTPUT,
        *_BAD_TIMESCALES,
        ({"blocks": 0}, "`blocks` must be a positive integer. Received: blocks=0"),
        (
            {"state_size": 6, "blocks": 2},
            "`state_size` must be divisible by 2 · `blocks` = 4, .*state_size=6",
        ),
        (
            {"state_size": 3, "blocks": 2, "conjugate_symmetry": False},
            "`state_size` must be divisible by `blocks` = 2. Received: state_size=3",
        ),
    ],
    "dense_rnn": [
        *_BAD_COMMON,
        *_BAD_SIZE,
        *_BAD_FEEDTHROUGH,
        *_BAD_INPUT,
        *_BAD_OUTPUT,
        ({"activation": "no_such"}, "`activation` must be .*activation='no_such'"),
        ({"activation": 3}, "`activation` must be .*activation=3"),
    ],
    "rg_lru": [
        *_BAD_COMMON,
        ({"num_heads": 0}, "`num_heads` must be a positive integer.*num_heads=0"),
        ({"num_heads": 3}, "`num_heads` must divide `units`.*num_heads=3, units=4"),
        ({"a_min": -0.1}, r"`a_min` must be a number in \[0, 1\].*a_min=-0\.1"),
        ({"a_max": 1.1}, r"`a_max` must be a number in \[0, 1\].*a_max=1\.1"),
        ({"a_min": 0.9, "a_max": 0.5}, r"`a_min` .*`a_max`.*a_min=0\.9, a_max=0\.5"),
        ({"gate_initializer": "no_such"}, "no_such"),
    ],
}

# Of layers alone, by the argument.
BAD_OF_LAYER = {
    "scan": [
        ({"scan": "fast"}, "`scan` must be one of .*'fast'"),
        ({"scan": None}, "`scan` must be one of .*None"),
    ],
    "block_size": [
        ({"block_size": 0}, "`block_size` must be .*block_size=0"),
        ({"block_size": 2.0}, r"`block_size` must be .*block_size=2\.0"),
        ({"block_size": "big"}, "`block_size` must be .*'big'"),
    ],
    "unroll": [
        ({"unroll": True}, "`unroll` is not an argument of {layer}:.*unroll=True"),
        ({"unroll": False}, "`unroll` is not an argument of {layer}:.*unroll=False"),
    ],
}
