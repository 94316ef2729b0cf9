"""Packages that look for `nn.Linear`, in a process that has them: it prints the name of each that works."""

import copy
import logging
import tempfile
import warnings

warnings.simplefilter("ignore")  # of these packages

import torch  # noqa: E402
from fvcore.nn import FlopCountAnalysis  # noqa: E402
from peft import LoraConfig, PeftModel, get_peft_model  # noqa: E402
from peft.tuners.lora import Linear as LowRank  # noqa: E402
from torch import nn  # noqa: E402
from torchao.quantization import Int8WeightOnlyConfig, quantize_  # noqa: E402

from tests.common import calibrated  # noqa: E402
from vig_pyg import PyramidViG, ViG  # noqa: E402
from vig_pyg.macs import count_macs  # noqa: E402


def linear_layers(model):
    return [module for module in model.modules() if type(module) is nn.Linear]


def near(got, want, limit=1e-3):
    error = float((got - want).detach().abs().max() / want.std())
    assert error < limit, error


def count(model, images):
    """fvcore counts what torch counts, of the layers that both know."""
    found = FlopCountAnalysis(model, images).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_kind = found.by_operator()
    assert not any("PythonOp" in name for name in found.unsupported_ops())
    assert abs(by_kind["linear"] + by_kind["conv"] - count_macs(model, images.shape[2:])) < 1e-3 * found.total()
    print("fvcore")


def adapt(model, images):
    """Low-rank weights on every linear layer: trained, saved, loaded, merged, and fused without being merged."""
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False}
    adapted = get_peft_model(copy.deepcopy(model), LoraConfig(**options))
    assert sum(isinstance(module, LowRank) for module in adapted.modules()) == len(linear_layers(model))
    adapted.train()(torch.randn(4, 3, 32, 32)).square().mean().backward()
    grads = [parameter.grad for name, parameter in adapted.named_parameters() if ".lora_" in name]
    assert grads and all(grad is not None and grad.abs().max() > 0 for grad in grads)
    want = adapted.eval()(images)
    assert (want - model(images)).abs().max() > 0.1 * model(images).std()
    near(adapted.base_model.model.fuse()(images), want)
    with tempfile.TemporaryDirectory() as folder:
        adapted.save_pretrained(folder)
        base = copy.deepcopy(adapted).unload()  # with the statistics of the batch norms that training has moved
        near(PeftModel.from_pretrained(base, folder).eval()(images), want)
    merged = adapted.merge_and_unload()
    assert len(linear_layers(merged)) == len(linear_layers(model))
    near(merged(images), want)
    near(merged.fuse()(images), want)
    print("LoRA")


def quantize(model, images):
    """Weights of eight bits: of the model, of its fused copy, and fused afterwards."""
    want, quantized, fused = model(images), copy.deepcopy(model), model.fuse()
    for part in (quantized, fused):
        quantize_(part, Int8WeightOnlyConfig())
        assert not any(type(layer.weight) is nn.Parameter for layer in linear_layers(part))
    for part in (quantized, fused, quantized.fuse()):
        near(part(images), want, 0.3)
        assert float((part(images) - want).abs().max()) > 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        near(fused(images).float(), want, 0.3)
    quantized.train()(torch.randn(4, 3, 32, 32)).sum().backward()
    print("torchao")


def main():
    logging.disable(logging.WARNING)
    for family in (ViG, PyramidViG):
        torch.manual_seed(0)
        model = calibrated(family("micro", num_classes=5, image_size=32, graph="grid"))
        images = torch.randn(1, 3, 32, 32)
        count(model, images)
        adapt(model, images)
        quantize(model, images)


if __name__ == "__main__":
    main()
