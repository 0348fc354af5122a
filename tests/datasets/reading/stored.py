"""Small prepared datasets, as TFDS finds them in a folder."""

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds


def store(data_dir, name, features, columns):
    """Writes `columns`, {split: {feature: list}}, in their order."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        data_dir=data_dir,
        features=tfds.features.FeaturesDict(features),
        split_datasets={
            split: tf.data.Dataset.from_tensor_slices(values)
            for split, values in columns.items()
        },
        disable_shuffling=True,
    )


def store_images(data_dir, name, **splits):
    """Writes uint8 images, labelled by their number."""
    shape = next(iter(splits.values())).shape[1:]
    store(
        data_dir,
        name,
        {
            "image": tfds.features.Image(shape=shape),
            "label": tfds.features.ClassLabel(num_classes=1000),
        },
        {
            split: {"image": images, "label": np.arange(len(images))}
            for split, images in splits.items()
        },
    )


def store_texts(data_dir, name, *columns, **splits):
    """Writes tuples of texts, one for each of `columns`, labelled by their number."""
    label = tfds.features.ClassLabel(num_classes=1000)
    store(
        data_dir,
        name,
        {**dict.fromkeys(columns, tfds.features.Text()), "label": label},
        {
            split: {
                **dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)),
                "label": np.arange(len(rows)),
            }
            for split, rows in splits.items()
        },
    )


def store_sequences(data_dir, name, features, splits):
    """Writes examples, dictionaries of arrays, {split: list}."""
    features = tfds.features.FeaturesDict(features)
    signature = {
        key: tf.TensorSpec(info.shape, info.tf_dtype)
        for key, info in features.get_tensor_info().items()
    }

    def dataset(examples):
        return tf.data.Dataset.from_generator(
            lambda: iter(examples), output_signature=signature
        )

    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        version="1.0.0",
        data_dir=data_dir,
        features=features,
        split_datasets={split: dataset(rows) for split, rows in splits.items()},
        disable_shuffling=True,
    )
