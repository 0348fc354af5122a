"""One candidate trained on one task."""

import gc
import time

import keras
import numpy as np

from benchmarks.accuracy.candidates import CANDIDATES, SETTINGS
from benchmarks.accuracy.tasks import LENGTHS, TASKS
from keras_lru.backend import drop_compiled_programs


def run(task_name, candidate, seed):
    """Trains and tests.

    Returns:
        A dictionary for JSON: `score` on the test data, of the task's `measure`, and
        what it came from.
    """
    start = time.perf_counter()
    task = (TASKS | LENGTHS)[task_name]()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = (CANDIDATES | SETTINGS)[candidate](task, seed)
    inputs, test_inputs = (
        x if mask is None else [x, mask] for x, _, mask in (task.train, task.test)
    )
    history = model.fit(
        inputs,
        task.train[1],
        batch_size=task.batch_size,
        epochs=task.epochs,
        verbose=0,
    ).history
    loss, metric = model.evaluate(test_inputs, task.test[1], task.batch_size, verbose=0)
    score = {"accuracy": 100 * metric, "MAE": metric, "bits": loss / np.log(2)}
    result = {
        "task": task_name,
        "candidate": candidate,
        "seed": seed,
        "measure": task.measure,
        "score": float(score[task.measure]),
        "training_loss": float(history["loss"][-1]),
        "parameters": model.count_params(),
        "steps": task.total_steps,
        "seconds": round(time.perf_counter() - start, 1),
        "backend": keras.backend.backend(),
    }
    drop_compiled_programs()
    gc.collect()
    return result
