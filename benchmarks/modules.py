"""The modules that register the cases of each suite."""

MODULES = {
    "cpu": ("layer_cases", "model_cases", "generation_cases"),
    "gpu": ("gpu_cases", "model_cases", "layer_cases", "generation_cases"),
    # Apart from the others: TFDS takes seconds to import.
    "input": ("input_cases",),
}
