import torch

from vig_pyg import vig_micro
from vig_pyg.classification.ablation.costs import REPEATS, measure_costs
from vig_pyg.macs import count_macs


def test_costs_are_those_of_the_networks():
    networks = {"mr": vig_micro(num_classes=3), "gin": vig_micro(num_classes=3, conv="gin", depth=2)}
    passes = dict.fromkeys(networks, 0)
    for name, network in networks.items():
        network.register_forward_hook(lambda *_, name=name: passes.update({name: passes[name] + 1}))
    found = measure_costs(networks, torch.rand(2, 3, 32, 32))
    for name, network in networks.items():
        assert found[name]["parameters"] == sum(p.numel() for p in network.parameters())
        assert found[name]["macs"] == count_macs(network, (32, 32))
        assert found[name]["images_per_second"] > 0
        assert passes[name] >= REPEATS
    assert measure_costs({}, torch.rand(2, 3, 32, 32)) == {}
