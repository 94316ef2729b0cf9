import pytest
import torch

from tests.common import assert_same
from vig_pyg.conv import CONVS, NodeUpdateConv


@pytest.mark.parametrize("name", ["gin", "sage"])
def test_an_update_is_taken_apart_only_where_nobody_looks_at_it(name):
    class Own(CONVS[name]):
        def forward(self, x, edge_index):
            return super().forward(x, edge_index)

    conv = CONVS[name](16, 32)
    assert conv.splits() and not Own(16, 32).splits()
    for register in (conv.register_forward_hook, conv.register_forward_pre_hook):
        handle = register(lambda *_: None)
        assert not conv.splits()
        handle.remove()
        assert conv.splits()


@pytest.mark.parametrize("name", ["mr", "gin", "sage"])
@pytest.mark.parametrize("size", [None, (9, 9)])
def test_forward_is_combine_and_mlp(name, size):
    conv, x, edges = CONVS[name](16, 32).eval(), torch.randn(9, 16), torch.randint(9, (2, 40))
    assert isinstance(conv, NodeUpdateConv)
    assert_same(conv(x, edges, size), conv.mlp(conv.combine(x, edges)))


def test_an_older_combine_without_size_still_serves():
    class Own(CONVS["gin"]):
        def combine(self, x, edge_index):
            return 2 * super().combine(x, edge_index)

    conv, x, edges = Own(16, 32).eval(), torch.randn(9, 16), torch.randint(9, (2, 40))
    assert_same(conv(x, edges), conv.mlp(conv.combine(x, edges)))
