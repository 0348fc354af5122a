"""Pictures of linear recurrences, and a log of their eigenvalues during training.

The functions draw on Matplotlib's axes, and need the extra `plot`. `SpectrumLogger`
does not: it needs TensorFlow and TensorBoard for `log_dir`, and nothing for `csv`.
"""

from keras_lru.visualization.disc import plot_eigenvalues
from keras_lru.visualization.hankel import plot_singular_values
from keras_lru.visualization.history import plot_spectrum_history
from keras_lru.visualization.logger import SpectrumLogger
from keras_lru.visualization.memory import plot_half_lives
from keras_lru.visualization.responses import plot_impulse_responses
from keras_lru.visualization.spectrum import find_eigenvalues, half_lives
from keras_lru.visualization.summary import memory_summary

__all__ = [
    "SpectrumLogger",
    "find_eigenvalues",
    "half_lives",
    "memory_summary",
    "plot_eigenvalues",
    "plot_half_lives",
    "plot_impulse_responses",
    "plot_singular_values",
    "plot_spectrum_history",
]
