from tests.weights.conftest import home, make  # noqa: F401
