"""Gradients of each sample by `torch.func`, of whole models, against a loop over the samples."""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap

from tests.common import calibrated
from tests.test_fuse import settled
from vig_pyg import ViG

pytestmark = pytest.mark.filterwarnings("error")  # vmap warns where it calls an operator once per sample


def model_of(name, **options):
    model = settled(name, **options).double()  # which sets the seed
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(norm.bias, std=0.1)
    return model


def loss_of(model, parameters, image, target):
    logits = functional_call(model, parameters, (image[None],))
    return nn.functional.cross_entropy(logits, target[None])


def assert_like_a_loop(model, images):
    targets = torch.arange(len(images))
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    found = vmap(grad(lambda *args: loss_of(model, *args)), in_dims=(None, 0, 0))(parameters, images, targets)
    for i, (image, target) in enumerate(zip(images, targets, strict=True)):
        model.zero_grad()
        loss_of(model, {}, image, target).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name][i], parameter.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("conv", ["mr", "edge", "gin", "sage"])
def test_gradients_of_samples_are_those_of_a_loop(name, conv):
    assert_like_a_loop(model_of(name, conv=conv), torch.randn(3, 3, 32, 32, dtype=torch.float64))


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("graph", ["grid", "window", "complete", "axial", "log"])
def test_on_every_graph(name, graph):
    model, images = model_of(name, graph=graph), torch.randn(2, 3, 32, 48, dtype=torch.float64)
    assert_like_a_loop(model, images)
    edges = [part.graph._kept.get for part in model.graphers() if hasattr(part.graph, "_kept")]
    assert model(images).isfinite().all() and (edges or graph == "window")  # no tensor of a transform is kept


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("fused", [False, True])
def test_jacobians_of_the_logits(name, fused):
    model, images = model_of(name), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    model = model.fuse() if fused else model
    want = torch.autograd.functional.jacobian(model, images)
    torch.testing.assert_close(jacrev(model)(images), want, rtol=1e-8, atol=1e-10)
    of_samples = vmap(jacrev(lambda image: model(image[None])[0]))(images)
    torch.testing.assert_close(of_samples, torch.stack([want[i, :, i] for i in range(2)]), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_float32_takes_the_native_kernels(name):
    model, images = model_of(name).float(), torch.randn(3, 3, 32, 32)
    found = vmap(grad(lambda image: model(image[None]).square().sum()))(images)
    images.requires_grad_()
    model(images).square().sum().backward()
    torch.testing.assert_close(found, images.grad, rtol=1e-3, atol=1e-3 * float(images.grad.abs().max()))


def test_a_sample_that_is_not_finite_is_refused():
    model, images = model_of("vig_micro"), torch.randn(3, 3, 32, 32, dtype=torch.float64)
    images[1, 0, 3, 4] = torch.nan
    with pytest.raises(ValueError, match="Pixels of images are not finite"):
        vmap(grad(lambda image: model(image[None]).sum()))(images)


def test_a_model_is_a_function_of_each_sample_without_gradients():
    model, images = calibrated(ViG("micro", num_classes=5, depth=1)), torch.rand(3, 3, 32, 32)
    found = torch.func.vmap(lambda image: model(image[None])[0])(images)
    assert torch.allclose(found, model(images), atol=1e-3)
