"""The files that stand beside the library agree with it, and with each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import keras_lru

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HOME = PROJECT["urls"]["Homepage"]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def jobs():
    for path in WORKFLOWS:
        yield from yaml.safe_load(path.read_text())["jobs"].values()


def steps():
    return [step for job in jobs() for step in job["steps"]]


def refusal_of_ci_run():
    """What `.ci/run` says to a part that it does not have, before it does anything."""
    process = subprocess.run(
        [ROOT / ".ci/run", "lint", "everything"], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert process.stdout == ""
    return process.stderr


def test_version_is_the_same_everywhere():
    changelog = (ROOT / "CHANGELOG.md").read_text()
    version, date = re.search(r"^## (\S+) \((.*)\)$", changelog, re.MULTILINE).groups()
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version == keras_lru.__version__
    assert str(citation["date-released"]) == date


def test_the_citation_is_the_paper():
    paper = yaml.safe_load((ROOT / "CITATION.cff").read_text())["preferred-citation"]
    assert paper["title"] == "Resurrecting Recurrent Neural Networks for Long Sequences"
    names = [author["family-names"] for author in paper["authors"]]
    assert names == ["Orvieto", "Smith", "Gu", "Fernando", "Gulcehre", "Pascanu", "De"]


def test_ci_run_names_its_parts_and_refuses_others():
    message = refusal_of_ci_run()
    assert "PART must be one of the above. Received: everything" in message
    for part in ("test", "torch", "lint", "slow", "docs", "formats"):
        assert re.search(rf"^  {part} ", message, re.MULTILINE)


def test_workflows_run_parts_of_ci_run_and_nothing_else():
    commands = [step["run"] for step in steps() if "run" in step]
    parts = re.findall(r"^  (\w+)  ", refusal_of_ci_run(), re.MULTILINE)
    assert set(commands) <= {f".ci/run {part}" for part in parts}
    assert {".ci/run lint", ".ci/run test", ".ci/run torch", ".ci/run docs"} <= set(
        commands
    )


def test_workflows_pin_actions_and_may_only_read():
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text())["permissions"] == {"contents": "read"}
    for step in steps():
        assert "run" in step or re.search(r"@v\d+$", step["uses"])


def test_workflows_test_what_the_package_allows():
    python = SpecifierSet(PROJECT["requires-python"])
    keras = next(
        requirement
        for requirement in map(Requirement, PROJECT["dependencies"])
        if requirement.name == "keras"
    )
    matrices = [job["strategy"]["matrix"] for job in jobs() if "strategy" in job]
    assert matrices
    for matrix in matrices:
        versions = matrix["python"]
        assert all(version in python for version in versions)
        # The oldest one, and every one that the package says it is for.
        assert str(python) == f">={versions[0]}"
        classified = [
            line.rpartition(" ")[2]
            for line in PROJECT["classifiers"]
            if re.search(r"Python :: 3\.\d+$", line)
        ]
        assert classified == versions
        oldest, newest = matrix["keras"]
        assert newest == str(keras.specifier)
        assert oldest.removeprefix("==").startswith(newest.removeprefix(">="))


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name
)
def test_files_for_github_are_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_every_link_to_the_project_is_to_its_home():
    for name in ("SECURITY.md", "CITATION.cff", "docs/releases.md"):
        links = re.findall(
            r"https://github\.com/[\w-]+/[\w-]+", (ROOT / name).read_text()
        )
        assert links
        assert set(links) == {HOME}
    assert all(url.startswith(HOME) for url in PROJECT["urls"].values())


def test_hooks_fetch_nothing():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    assert all(hook["language"] == "system" for hook in hooks[0]["hooks"])


def test_no_page_has_a_placeholder():
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        assert not re.search(r"\b[A-Z]+_(TABLE|FIGURE)\b|\bTODO\b", page.read_text()), (
            page
        )
