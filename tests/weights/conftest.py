import pytest

from tests.weights.common import FAMILIES


@pytest.fixture(params=FAMILIES)
def make(request):
    """Makers of a small model of each family."""
    return FAMILIES[request.param]


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    """A cache of its own for each test."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("VIG_PYG_HOME", str(folder))
    return folder
