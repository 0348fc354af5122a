"""The paper's figures: the quick ones drawn, and what they must show checked."""

import numpy as np
import pytest

from tests.examples.running import EXAMPLES, run_here, run_process

SCRIPT = EXAMPLES / "paper_figures.py"


@pytest.mark.slow
def test_draws_and_checks_the_quick_figures(tmp_path, monkeypatch, capsys, backend):
    figures = ("2", "3", "4")
    run_here(monkeypatch, SCRIPT, "--output-dir", tmp_path, "--figures", *figures)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"figure-{number}.png" for number in figures
    ]
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert printed.startswith(f"Backend: {backend}\n")
    # Three matrices, three rings, two kernels and the count of their oscillations.
    assert printed.count("(limit ") == 9


def test_a_number_that_is_wrong_is_an_error(tmp_path, monkeypatch):
    # Uniform in the radius: far too many eigenvalues in the middle of the disc.
    monkeypatch.setattr(
        np.linalg, "eigvals", lambda matrix: np.linspace(0, 1, len(matrix))
    )
    with pytest.raises(SystemExit, match="This is not what the paper says: N = 50"):
        run_here(monkeypatch, SCRIPT, "--figures", "2", "--output-dir", tmp_path)
    assert not (tmp_path / "figure-2.png").exists()


def test_bad_arguments_are_refused_before_work_starts(tmp_path):
    process = run_process(SCRIPT, "--figures", "5", "--output-dir", tmp_path / "out")
    assert process.returncode == 2
    assert "invalid choice: '5'" in process.stderr
    process = run_process(SCRIPT, "--seed", "-1", "--output-dir", tmp_path / "out")
    assert process.returncode == 2
    assert "--seed must be at least 0. Received: -1" in process.stderr
    assert not (tmp_path / "out").exists()
