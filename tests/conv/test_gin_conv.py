from tests.conv import dense
from tests.conv.cases import OperatorLaws
from vig_pyg.conv import GINConv


class TestGINConv(OperatorLaws):
    operator_class = GINConv
    equation = staticmethod(dense.gin)

    def test_eps_is_trained_and_starts_at_zero(self):
        eps = GINConv(8, 16).eps
        assert eps.requires_grad and eps.tolist() == [0]
