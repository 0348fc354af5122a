"""The callbacks beside one, and whether they stand on the right side of it."""

import inspect
from collections.abc import Iterable, Sequence

import keras


def callbacks_beside(callback: keras.callbacks.Callback) -> list:
    """All callbacks of a `fit`, in their order; to be called within `set_model`.

    Args:
        callback: The one whose `set_model` is called.

    Returns:
        The list, with `callback` in it; empty if no list of callbacks is calling.
    """
    # Keras tells a callback nothing of the others, but it is their list that calls.
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and any(
            other is callback for other in caller.callbacks
        ):
            return list(caller.callbacks)
        frame = frame.f_back
    return []


def swaps_of_epochs(callbacks: Iterable[keras.callbacks.Callback]) -> list:
    """Those that leave averaged weights in the model between epochs."""
    return [
        callback
        for callback in callbacks
        if isinstance(callback, keras.callbacks.SwapEMAWeights)
        and callback.swap_on_epoch
    ]


def check_order(
    callback: keras.callbacks.Callback,
    beside: Sequence[keras.callbacks.Callback],
    counting: Iterable[keras.callbacks.Callback],
) -> None:
    """Whether a callback finds at the end of an epoch what training goes on from.

    Args:
        callback: The one that saves it.
        beside: What `callbacks_beside` has found.
        counting: Those whose counts are saved too.

    Raises:
        ValueError: If one of `counting` is not before `callback`, as it has not counted
            the epoch then, or a swap of weights is, as it leaves averages in the model.
    """
    if not beside:
        return
    name = type(callback).__name__
    place = next(i for i, other in enumerate(beside) if other is callback)
    before = beside[:place]
    if swaps_of_epochs(before):
        raise ValueError(
            f"SwapEMAWeights(swap_on_epoch=True) must stand after {name} in the list "
            "that `fit` is given: the weights to go on with are in the model before "
            f"it. Received: callbacks={_names(beside)}"
        )
    for other in counting:
        if not any(other is one for one in before) and not swaps_of_epochs([other]):
            raise ValueError(
                f"`callbacks` of {name} must stand before it in the list that `fit` "
                f"is given, so that they have counted the epoch. Received: "
                f"{type(other).__name__} that does not, of callbacks={_names(beside)}"
            )


def _names(callbacks):
    return [type(callback).__name__ for callback in callbacks]
