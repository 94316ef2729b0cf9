import pytest
import torch
from torch import nn

from vig_pyg import pvig_micro
from vig_pyg.detection.norm import FrozenBatchNorm, freeze_norms, set_norms


@pytest.mark.parametrize(("kind", "shape"), [(nn.BatchNorm1d, (6, 4)), (nn.BatchNorm2d, (2, 4, 3, 3))])
def test_a_frozen_norm_is_the_norm_in_evaluation_and_stays_so(kind, shape):
    norm = kind(4)
    nn.init.normal_(norm.weight)
    norm(torch.randn(shape) + 1)
    x = torch.randn(shape)
    expected = norm.eval()(x)
    frozen = FrozenBatchNorm(norm).train()
    before = {key: tensor.clone() for key, tensor in frozen.state_dict().items()}
    assert torch.equal(frozen(x), expected)
    assert all(torch.equal(tensor, before[key]) for key, tensor in frozen.state_dict().items())
    assert not any(p.requires_grad for p in frozen.parameters())


def test_frozen_models_load_the_same_weights_and_other_layers_learn():
    plain, frozen = pvig_micro(num_classes=3), freeze_norms(pvig_micro(num_classes=3))
    assert frozen.state_dict().keys() == plain.state_dict().keys()
    frozen.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(frozen.train()(x), plain.eval()(x))
    frozen(x).sum().backward()
    assert all((p.grad is not None) == p.requires_grad for p in frozen.parameters())


def test_modes():
    model = pvig_micro()
    set_norms(model, "sync")
    kinds = {type(m) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    assert kinds == {nn.SyncBatchNorm}
    model.train()(torch.rand(2, 3, 32, 32))  # one device: no other to wait for
    with pytest.raises(ValueError, match="'group': choose one of frozen, batch, sync"):
        set_norms(model, "group")
