import pytest
import tensorflow_datasets as tfds

from keras_lru.datasets.__main__ import main
from keras_lru.datasets.building import generated_builder

from .conftest import DUMMY_DATA


def test_prepares_a_dataset_and_says_where_it_lies(tmp_path, capfd):
    options = "--config tiny --num-examples 30 --seed 4 --processes 2 --data-dir"
    main(["lra_listops", *options.split(), str(tmp_path)])
    output, bars = capfd.readouterr()
    assert "train: 30 examples\n" in output
    assert "validation: 30 examples\n" in output
    folder = output.rpartition("lies in ")[2].strip()
    assert folder.startswith(str(tmp_path))
    assert ", train:   0%" in bars
    assert "0/30 [" in bars
    builder = tfds.builder_from_directory(folder)
    assert builder.info.splits["train"].num_examples == 30
    assert builder.info.metadata["seed"] == 4
    assert builder.info.metadata["max_size"] == 100


def test_validation_and_test_set_get_no_larger(tmp_path, capfd):
    options = "--config delay_100 --num-examples 1200 --data-dir"
    main(["copy_memory", *options.split(), str(tmp_path)])
    output, _ = capfd.readouterr()
    assert "train: 1200 examples\nvalidation: 1000 examples\n" in output


def test_reads_files_from_the_manual_folder(tmp_path):
    # Three rows are not what the benchmark has.
    manual = ["--manual-dir", str(DUMMY_DATA / "aan")]
    with pytest.raises(ValueError, match=r"train\.tsv must have 147086 rows"):
        main(["lra_aan", "--data-dir", str(tmp_path), *manual])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mnist"], "invalid choice: 'mnist'"),
        (["lra_listops", "--config", "large"], "--config must be one of"),
        (["lra_listops", "--num-examples", "0"], "must be a positive integer"),
        (["lra_listops", "--processes", "0"], "`processes` must be"),
        (["lra_aan", "--seed", "1"], "lra_aan is not generated"),
    ],
)
def test_refuses_arguments(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        main([*arguments, "--data-dir", str(tmp_path)])
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_interruption_is_told_without_a_traceback(tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(generated_builder, "generate", interrupted)
    with pytest.raises(SystemExit, match="Interrupted"):
        main(["copy_memory", "--data-dir", str(tmp_path)])
