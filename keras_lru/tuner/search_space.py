"""What a search varies: the ring, and the settings that are not single numbers."""

from collections.abc import Mapping
from typing import Any

import keras_tuner
import numpy as np

from keras_lru.tuner.hyperparameter import check_values, suggest
from keras_lru.tuner.ring import RING, ring_hyperparameters

_SIZE: dict[str, Any] = {"low": 1, "integer": True, "log": True}
_LIMITS: dict[str, dict[str, Any]] = {
    "learning_rate": {"low": 0, "log": True},
    "recurrent_lr_factor": {"low": 0, "log": True},
    "weight_decay": {"low": 0},
    "depth": {"low": 1, "integer": True},
    "units": _SIZE,
    "state_size": _SIZE,
    "dropout": {"low": 0, "high": 0.99},
    "batch_size": _SIZE,
}


class SearchSpace:
    """The ring and the settings of a hypermodel, drawn for one trial after the other.

    Args:
        ring: Whether to search the ring, or arguments of `ring_hyperparameters`.
        unread: Set of the names, of the ring and of settings, that the model does not
            read. Such a ring is not searched.
        **settings: A number, a range, a list of choices, or `None` for a setting that
            is left as it is.

    Raises:
        ValueError: If `ring` or a setting is not as `LRUHyperModel` takes it, or the
            model does not read it.
    """

    def __init__(self, ring, unread, **settings):
        if not isinstance(ring, bool | Mapping):
            raise ValueError(
                "`ring` must be a boolean, or arguments of `ring_hyperparameters`. "
                f"Received: ring={ring!r}"
            )
        reads_ring = unread.isdisjoint(RING)
        if isinstance(ring, Mapping) and not reads_ring:
            raise _not_read("ring", ring)
        for name in unread & set(settings):
            if settings[name] is not None:
                raise _not_read(name, settings[name])
        ring = ring if reads_ring else False
        self._ring = dict(ring) if isinstance(ring, Mapping) else {} if ring else None
        if self._ring is not None:
            # Refuses what can't be searched now, not in a trial.
            ring_hyperparameters(keras_tuner.HyperParameters(), **self._ring)
        self._settings = {
            name: check_values(name, values, **_LIMITS[name])
            for name, values in settings.items()
            if values is not None
        }
        rates = self._settings.get("learning_rate", 1.0)
        if not np.all(np.array(rates) > 0):
            raise ValueError(
                f"`learning_rate` must be above 0. Received: learning_rate={rates!r}"
            )

    @property
    def names(self) -> set:
        """Names of all that the space decides."""
        return {*self._settings, *(RING if self._ring is not None else ())}

    @property
    def fixed(self) -> dict:
        """What is the same for all trials, by name."""
        ring = (self._ring or {}).get("fixed") or {}
        fixed = {n: v for n, v in self._settings.items() if not self.searches(n)}
        return {**ring, **fixed}

    @property
    def searched(self) -> dict:
        """The ranges and the choices, by name; for the ring its arguments."""
        searched = {n: v for n, v in self._settings.items() if self.searches(n)}
        return searched if self._ring is None else {"ring": self._ring, **searched}

    def searches(self, name: str) -> bool:
        """Whether a setting differs from trial to trial."""
        return isinstance(self._settings.get(name), tuple | list)

    def draw(self, hp: keras_tuner.HyperParameters) -> dict:
        """The ring and the settings of a trial, by name.

        Args:
            hp: The trial's hyperparameters. What it lacks is added to it.

        Returns:
            A dictionary of numbers.
        """
        ring = {} if self._ring is None else ring_hyperparameters(hp, **self._ring)
        settings = {
            name: suggest(hp, name, values, _LIMITS[name].get("log", False))
            for name, values in self._settings.items()
        }
        return {**ring, **settings}


def _not_read(name, value):
    return ValueError(
        f"`{name}` must be left out: the recurrence of this model does not read it. "
        f"Received: {name}={value!r}"
    )
