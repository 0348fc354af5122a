"""The suites, and the modules that register their cases: on top of both.

Cases run in the order of these modules.
"""

import importlib

from benchmarks.registry import registered

MODULES = {
    "cpu": ("layer_cases", "model_cases", "generation_cases"),
    "gpu": ("gpu_cases", "model_cases", "layer_cases", "generation_cases"),
    "time": ("time_cases",),
    # Apart from the others: TFDS takes seconds to import.
    "input": ("input_cases",),
}


def cases(suite):
    """The cases of `suite` that this backend runs."""
    modules = [f"benchmarks.{module}" for module in MODULES[suite]]
    for module in modules:
        importlib.import_module(module)
    return sorted(registered(suite), key=lambda x: modules.index(x.build.__module__))
