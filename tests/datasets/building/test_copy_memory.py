import pytest
import tensorflow_datasets as tfds

from keras_lru.datasets import CopyMemory, CopyMemoryConfig
from keras_lru.datasets.generating.copy_sequences import draw_sequences


@pytest.mark.parametrize("delay", [1_000, 100])
def test_builder_gives_sequences_of_the_config_s_delay(tmp_path, delay):
    config = CopyMemoryConfig(
        delay=delay, train_examples=3, validation_examples=1, test_examples=1
    )
    builder = CopyMemory(data_dir=tmp_path, config=config)
    builder.download_and_prepare()
    dataset = builder.as_dataset(split="train", as_supervised=True)
    rows = sorted(row.tolist() for pair in tfds.as_numpy(dataset) for row in pair)
    drawn = draw_sequences(range(3), delay, seed=0, split="train")
    assert rows == sorted(row.tolist() for pair in drawn for row in pair.values())


def test_configs_are_named_by_the_delay():
    names = [config.name for config in CopyMemory.BUILDER_CONFIGS]
    assert names == ["default", "delay_100", "delay_200", "delay_500", "delay_2000"]
    assert CopyMemory.BUILDER_CONFIGS[0].delay == 1_000


@pytest.mark.parametrize("value", [0, -1, 10.0])
def test_refuses_a_delay(value):
    with pytest.raises(ValueError, match=r"`delay` must be .* Received"):
        CopyMemoryConfig(delay=value)
