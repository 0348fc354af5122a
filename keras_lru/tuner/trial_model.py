"""How the model of a trial is compiled."""

import copy

import keras
from keras_tuner.errors import FatalValueError

from keras_lru.models import LRUBackbone, PairClassifier, SequenceClassifier
from keras_lru.training import AdamW, warmup_cosine
from keras_lru.tuner.ring import RING
from keras_lru.tuner.template import find_template, settings_of_template


def check_ring_is_read(model, searched):
    """Refuses a search of the ring of a model of this library that has none.

    Args:
        model: A `keras.Model`.
        searched: Names of all that the search decides.

    Raises:
        FatalValueError: If the ring is among them, and the recurrence does not read it.
    """
    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, LRUBackbone) or searched.isdisjoint(RING):
        return
    template = find_template(backbone.get_config())
    if template is not None and "r_max" not in settings_of_template(template):
        raise FatalValueError(
            "`ring` must be False: the recurrence of the model that `model` makes "
            f"reads none. Received: a model of {template['class_name']}"
        )


def compile_trial(model, settings, loss, metrics, options):
    """Compiles a trial's model, with a constant learning rate until it is trained.

    Args:
        model: A `keras.Model`.
        settings: Settings of the trial, the rates among them.
        loss: As for `keras.Model.compile`, or `None` for the model's usual one.
        metrics: As for `keras.Model.compile`, or `None` for the model's usual ones.
        options: Other arguments of `keras.Model.compile`.
    """
    rate = settings["learning_rate"]
    # A schedule, as training sets another: the optimizer's state has one form.
    constant = warmup_cosine(rate, 1, warmup_fraction=0, min_learning_rate=rate)
    optimizer = AdamW(
        constant,
        settings["weight_decay"],
        recurrent_lr_factor=settings["recurrent_lr_factor"],
    )
    is_classifier = isinstance(model, SequenceClassifier | PairClassifier)
    if loss is None:
        loss = _cross_entropy(model) if is_classifier else "mse"
    if metrics is None:
        metrics = ["accuracy"] if is_classifier else ["mae"]
    # A metric has variables: no two models may share it.
    model.compile(optimizer, loss=loss, metrics=copy.deepcopy(metrics), **options)
    if model.built:
        # So that `load_weights` has where to load the optimizer's state to.
        optimizer.build(model.trainable_variables)


def _cross_entropy(model):
    from_logits = model.activation is keras.activations.linear
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
