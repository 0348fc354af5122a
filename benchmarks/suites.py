"""The suites, and the modules that register their cases: on top of both."""

import importlib

from benchmarks.registry import registered

MODULES = {
    "cpu": ("layer_cases", "model_cases", "generation_cases"),
    "gpu": ("layer_cases", "model_cases", "generation_cases"),
    # Apart from the others: TFDS takes seconds to import.
    "input": ("input_cases",),
}


def cases(suite):
    """The cases of `suite` that this backend runs."""
    for module in MODULES[suite]:
        importlib.import_module(f"benchmarks.{module}")
    return registered(suite)
