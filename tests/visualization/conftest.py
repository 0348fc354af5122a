import matplotlib
import pytest

matplotlib.use("Agg")


@pytest.fixture
def ax():
    from matplotlib import figure

    return figure.Figure().add_subplot()
