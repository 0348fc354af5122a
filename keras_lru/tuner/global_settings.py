"""Keras's global settings, which KerasTuner's cleared sessions forget."""

# Keras 3.15: `clear_session` forgets settings with the state, and KerasTuner 1.4.8
# clears before it builds. There is no public way to what was set before.
from keras.src.backend.common import global_state

_SETTINGS = (
    "dtype_policy",
    "distribution",
    "flash_attention",
    "interactive_logging",
    "traceback_filtering",
    "custom_objects_scope_dict",
)


class GlobalSettings:
    """What is set for all of Keras: dtype policy, distribution, logging and such.

    What is set between two calls of `restore` is kept too.
    """

    def __init__(self):
        self._session = global_state.GLOBAL_STATE_TRACKER

    def __reduce__(self):
        """A copy, also in another process, starts with what is set there."""
        return GlobalSettings, ()

    def restore(self):
        """Sets again what was set when the session was cleared, if it was."""
        session, self._session = self._session, global_state.GLOBAL_STATE_TRACKER
        if session is self._session:
            return
        for name in _SETTINGS:
            if hasattr(session, name) and not hasattr(self._session, name):
                global_state.set_global_attribute(name, getattr(session, name))
