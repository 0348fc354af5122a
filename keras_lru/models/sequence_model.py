"""Base class of all models: export for sequences of every length."""

import keras

from keras_lru.backend import forward_only, writes_saved_models
from keras_lru.export.atomic_folder import atomic_folder
from keras_lru.export.by_tensorflow import export_by_tensorflow
from keras_lru.export.input_signature import endpoint_options, served_inputs
from keras_lru.layers.quantizing import QuantizedParts
from keras_lru.layers.recomputing import RecomputedInside


class SequenceModel(QuantizedParts, RecomputedInside, keras.Model):
    """A model of sequences, the base of the models of this package.

    Attributes:
        inputs_have_time: Whether axis 1 of each input is time, of any length.
    """

    inputs_have_time = True

    def build_from_config(self, config):
        """Creates the weights, and the optimizer's if the model is compiled.

        `load_weights` then has somewhere to load the optimizer's state to: KerasTuner
        goes on with a trial in this way.

        Args:
            config: What `get_build_config` returned.
        """
        super().build_from_config(config)
        if self.built and getattr(self, "optimizer", None) is not None:
            self.optimizer.build(self.trainable_variables)

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Exports the model for inference, as `keras.Model.export` does.

        A SavedModel takes sequences of every length, in batches of every size,
        whatever the model was built on; and it is written whole or not at all. The
        other formats are Keras's own. On PyTorch another process writes it, with
        TensorFlow.

        Args:
            filepath: Where to write.
            format: `"tf_saved_model"`, or another format that Keras exports.
            verbose: Whether to print what was written.
            input_signature: List with one structure of `keras.InputSpec`. `None` means
                batch and time unknown.
            **kwargs: As for `keras.Model.export`.

        Raises:
            ValueError: If the model has not been built, or cannot be traced where a
                size of `input_signature` is unknown.
            OSError: If nothing can be written at `filepath`.
        """
        if format != "tf_saved_model":
            super().export(filepath, format, verbose, input_signature, **kwargs)
            return
        if not writes_saved_models():
            export_by_tensorflow(
                self,
                filepath,
                streaming=False,
                input_signature=input_signature,
                overwrite=True,
                verbose=verbose is None or verbose,
                **kwargs,
            )
            return
        input_signature, shapes = served_inputs(self, input_signature)
        kwargs = {**endpoint_options(input_signature, shapes), **kwargs}
        with atomic_folder(filepath) as folder, forward_only():
            super().export(
                folder, format, verbose=False, input_signature=input_signature, **kwargs
            )
        if verbose is None or verbose:
            print(f"Saved artifact at '{filepath}', with the endpoint `serve`.")
