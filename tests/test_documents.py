"""Every Python block of the README and of docs/ runs, top to bottom, page by page."""

import importlib
import re
from pathlib import Path

import keras
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Trainings, searches, models that are served, data that are generated.
SLOW = [
    "docs/datasets.md",
    "docs/export.md",
    "docs/figures.md",
    "docs/getting-started.md",
    "docs/long-sequences.md",
    "docs/own-data.md",
    "docs/tuning.md",
]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def pages():
    """A parameter for each page."""
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        yield pytest.param(page, id=name, marks=[pytest.mark.slow] * (name in SLOW))


@pytest.mark.parametrize("page", [*pages()])
def test_code_blocks_run(page, tmp_path, monkeypatch):
    if page.name == "pytorch.md" and keras.backend.backend() != "torch":
        pytest.skip("PyTorch's own")
    if page.name == "distributed.md" and keras.backend.backend() != "jax":
        pytest.skip("JAX's own")
    if page.name == "export.md" and keras.backend.backend() == "torch":
        pytest.skip("another process exports there, which has no layers of a page")
    text = page.read_text()
    monkeypatch.chdir(tmp_path)
    namespace = {}
    for block in BLOCK.finditer(text):
        # Blank lines in front keep the line numbers of the page in a traceback.
        lines = "\n" * (text.count("\n", 0, block.start()) + 1)
        exec(compile(lines + block[1], str(page), "exec"), namespace)


def test_readme_commands_are_where_ci_looks_for_them():
    text = (ROOT / "README.md").read_text()
    for marker, script in (
        ("main job", "python examples/quickstart.py"),
        ("tests", "pytest"),
    ):
        command = re.search(rf"<!-- {marker} -->\n```bash\n(.*?)\n```", text, re.DOTALL)
        assert command is not None
        assert script in command[1]


@pytest.mark.parametrize(
    "name",
    [
        "convert",
        "datasets",
        "distribution",
        "experiments",
        "export",
        "layers",
        "models",
        "ops",
        "training",
        "tuner",
        "visualization",
    ],
)
def test_reference_has_every_public_name(name):
    text = (ROOT / "docs/api" / f"{name}.md").read_text()
    module = importlib.import_module(f"keras_lru.{name}")
    documented = re.findall(rf"^::: keras_lru\.{name}\.(\w+)$", text, re.MULTILINE)
    assert sorted(documented) == sorted(module.__all__)
