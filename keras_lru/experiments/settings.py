"""The settings of the presets: the paper's table 9, and smaller ones."""

import math

_COLUMNS = (
    *("depth", "units", "state_size", "steps", "batch_size", "learning_rate"),
    *("recurrent_lr_factor", "dropout", "r_min", "r_max"),
)
# Base rates: the paper's on sCIFAR, those of public repetitions on the others.
_TABLE_9 = {
    "scifar": (6, 512, 384, 180_000, 50, 0.004, 0.25, 0.1, 0.9, 0.999),
    "listops": (6, 128, 256, 80_000, 32, 0.003, 0.5, 0.0, 0.0, 0.99),
    "text": (6, 256, 192, 50_000, 32, 0.004, 0.1, 0.1, 0.5, 0.9),
    "retrieval": (6, 128, 256, 100_000, 64, 0.002, 0.5, 0.1, 0.5, 0.9),
    "pathfinder": (6, 192, 256, 500_000, 64, 0.004, 0.25, 0.0, 0.9, 0.999),
    "pathx": (6, 128, 256, 250_000, 32, 0.002, 0.25, 0.0, 0.999, 0.9999),
    # Not in the paper: ours, after sCIFAR.
    "smnist": (4, 128, 128, 160_000, 50, 0.004, 0.25, 0.1, 0.9, 0.999),
    "psmnist": (4, 128, 128, 160_000, 50, 0.004, 0.25, 0.1, 0.9, 0.999),
}
_BESIDE_TABLE_9 = {
    "pathfinder": {"bidirectional": True},
    "pathx": {"bidirectional": True, "glu": "half", "max_phase": math.pi / 10},
}

_SHAPES = {
    "small": {"depth": 4, "units": 64, "state_size": 64},
    "tiny": {"depth": 3, "units": 48, "state_size": 48, "norm_momentum": 0.9},
}
_SMALLER = {
    "small": {
        "scifar": {"units": 128, "state_size": 128, "steps": 4_000},
        "listops": {"steps": 4_000},
        "text": {"steps": 3_000, "max_length": 2048},
        "retrieval": {"steps": 3_000, "batch_size": 32, "max_length": 1000},
        "pathfinder": {"steps": 10_000},
        "pathx": {"steps": 3_000, "batch_size": 8, "downsample": 2},
        "smnist": {"steps": 4_000},
        "psmnist": {"steps": 4_000},
    },
    "tiny": {
        "scifar": {"steps": 1_000, "downsample": 2},
        "listops": {
            "steps": 2_000,
            "config": "short",
            "max_length": 100,
            "buckets": (),
        },
        "text": {"steps": 1_000, "max_length": 512, "buckets": ()},
        "retrieval": {
            "steps": 1_000,
            "batch_size": 16,
            "max_length": 512,
            "buckets": (),
        },
        "pathfinder": {
            "steps": 2_000,
            "batch_size": 50,
            "config": "32_6_plain",
            "downsample": 2,
        },
        "pathx": {
            "steps": 2_000,
            "batch_size": 50,
            "config": "128_6_plain",
            "downsample": 8,
        },
        "smnist": {"steps": 1_000, "downsample": 2},
        "psmnist": {"steps": 1_000, "downsample": 2},
    },
}

TASKS_WITH_PRESETS = tuple(_TABLE_9)
SCALES = ("paper", *_SMALLER)


def settings_of(task, scale):
    """Arguments of the `Preset` for a task in `TASKS_WITH_PRESETS`, but its name.

    Args:
        task: One of `TASKS_WITH_PRESETS`.
        scale: One of `SCALES`.

    Returns:
        A dictionary.
    """
    return {
        **dict(zip(_COLUMNS, _TABLE_9[task], strict=True)),
        **_BESIDE_TABLE_9.get(task, {}),
        **_SHAPES.get(scale, {}),
        **_SMALLER.get(scale, {}).get(task, {}),
    }
