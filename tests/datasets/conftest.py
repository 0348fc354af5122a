"""What the tests of datasets share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DUMMY_DATA = Path(__file__).parent / "building" / "dummy_data"


@pytest.fixture(autouse=True)
def _workers_can_import_the_tests(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
