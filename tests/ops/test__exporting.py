import pytest
import torch

from vig_pyg.ops import is_exporting, knn


class Search(torch.nn.Module):
    def forward(self, x):
        return knn(x, x, 2)


class Answer(torch.nn.Module):
    def forward(self, x):
        return x + 1 if is_exporting() else x


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def test_a_compiled_program_is_not_exported():
    """Compilers of torch 2.11 say it is."""
    graphs, x = [], torch.rand(1, 4, 8)

    def keep(graph, _):
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    assert torch.equal(torch.compile(Search(), backend=keep, fullgraph=True)(x), knn(x, x, 2))
    assert torch.equal(torch.compile(Answer(), backend=keep, fullgraph=True)(x), x)
    assert "vig_pyg" in str(graphs[0].graph) and "topk" not in str(graphs[0].graph)


@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_program_is(strict):
    x = torch.rand(1, 4, 8)
    program = torch.export.export(Search(), (x,), strict=strict)
    assert "topk" in str(program.graph) and "vig_pyg" not in str(program.graph)
    assert torch.equal(torch.export.export(Answer(), (x,), strict=strict).module()(x), x + 1)
    assert not is_exporting()
