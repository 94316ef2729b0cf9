import pytest
import torch
import torch.nn.functional as F

from vig_pyg.head import ClassifierHead
from vig_pyg.testing import assert_parameters_get_gradients


def test_head_is_its_equation():
    head, x = ClassifierHead(8, 5, hidden_channels=16).eval(), torch.randn(3, 8)
    hidden = F.gelu(F.linear(x, head.fc1.weight) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(head(x), F.linear(hidden, head.fc2.weight))


def test_hidden_width_is_the_published_one():
    assert ClassifierHead(8, 5).fc1.weight.shape == (1024, 8)


def test_dropout_acts_in_training_only():
    head, x = ClassifierHead(8, 5, dropout=0.5), torch.randn(3, 8)
    assert torch.equal(head.eval()(x), head(x))
    assert not torch.equal(head.train()(x), head(x))


def test_every_parameter_gets_a_gradient():
    assert assert_parameters_get_gradients(ClassifierHead(8, 5), torch.randn(3, 8)) > 0


def test_reset_replaces_the_last_layer_only():
    head = ClassifierHead(8, 5).double()
    before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    head.reset(7)
    after = head.state_dict()
    assert after["fc2.weight"].shape == (7, 1024) and after["fc2.weight"].dtype == torch.float64
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("fc2"))


@pytest.mark.parametrize("num_classes", [0, -1])
def test_a_head_has_classes(num_classes):
    with pytest.raises(ValueError, match=f"num_classes must be at least 1, got {num_classes}"):
        ClassifierHead(8, num_classes)


@pytest.mark.parametrize("num_classes", ["5", 2.5, True, None])
def test_a_number_of_classes_is_a_whole_number(num_classes):
    with pytest.raises(TypeError, match="num_classes must be a whole number, got"):
        ClassifierHead(8, num_classes)


def test_two_last_layers_give_a_pair_in_training_and_their_mean_in_evaluation():
    head, x = ClassifierHead(8, 5, distillation=True), torch.randn(3, 8)
    one, other = head(x)
    assert one.shape == other.shape == (3, 5) and not torch.equal(one, other)
    head.eval()
    hidden = head.act(head.norm(head.fc1(x)))
    torch.testing.assert_close(head(x), (head.fc2(hidden) + head.fc_dist(hidden)) / 2)
    head.reset(7)
    assert head(x).shape == (3, 7) and head.train()(x)[1].shape == (3, 7)
