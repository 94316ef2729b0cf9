import pytest
import torch

from tests.detection.common import plan
from tests.detection.scenes import add_picture, make_coco
from vig_pyg.detection.data import collate
from vig_pyg.detection.loading import load_data, make_detector
from vig_pyg.graph import dilated_knn


def module(tmp_path, **options):
    coco = make_coco(tmp_path, count=4)
    add_picture(coco, (1, 1))
    add_picture(coco, (1, 100), [(30, 0, 70, 1)])
    made = plan(coco, **options)
    data = load_data(made)
    return data.make_task(make_detector(made, 2), made), data


def steps(made, data, count, precision):
    """Plain training over all images, odd ones in every batch."""
    optimizer = torch.optim.AdamW(made.model.parameters(), lr=2e-4, weight_decay=0.05)
    made.log = made.log_dict = lambda *_, **__: None
    made.train()
    items = [data.train_set[i] for i in range(len(data.train_set))]
    losses = []
    for step in range(count):
        batch = collate([items[step % 4], items[4 + step % 2]])
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = made.training_step(batch, step)  # raises where it is not finite
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in made.model.parameters())
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(("detector", "precision"), [("retinanet", "bfloat16"), ("maskrcnn", "float32")])
def test_thirty_steps_with_odd_pictures_stay_finite(tmp_path, detector, precision):
    made, data = module(tmp_path, detector=detector)
    losses = steps(made, data, 30, precision)
    assert sum(losses[-8:]) < sum(losses[:8])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("detector", ["retinanet", "fasterrcnn", "maskrcnn"])
def test_five_hundred_steps_with_odd_pictures_stay_finite(tmp_path, detector, precision):
    losses = steps(*module(tmp_path, detector=detector), 500, precision)
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


@pytest.mark.parametrize("detector", ["retinanet", "maskrcnn"])
def test_the_search_and_the_losses_stay_in_float32(tmp_path, detector, monkeypatch):
    made, data = module(tmp_path, detector=detector)
    dtypes, search = set(), dilated_knn.dense_edges

    def spy(x, layout, y, *rest, **how):
        found = search(x, layout, y, *rest, **how)
        dtypes.add(x.dtype)
        assert torch.equal(found, search(x.float(), layout, y.float(), *rest, **how))
        return found

    monkeypatch.setattr(dilated_knn, "dense_edges", spy)
    with torch.autocast("cpu", torch.bfloat16):
        losses = made.train().model(*collate([data.train_set[0], data.train_set[4]]))
    assert dtypes
    assert {loss.dtype for loss in losses.values()} == {torch.float32}


def test_a_loss_that_is_not_finite_names_the_pictures(tmp_path):
    made, data = module(tmp_path)
    with torch.no_grad():
        made.model.head.regression_head.bbox_reg.bias.fill_(torch.nan)
    batch = collate([data.train_set[0], data.train_set[1]])
    with pytest.raises(ValueError, match=r"The loss is nan at step 0 .*0\.png.*1\.png.*lower the learning rate"):
        made.train().training_step(batch, 0)


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
def test_only_trained_weights_are_in_the_optimizer_and_norms_do_not_decay(tmp_path, layer_decay):
    made, _ = module(tmp_path, options={"trainable_layers": 2}, layer_decay=layer_decay)
    made.trainer = type("T", (), {"estimated_stepping_batches": 10})()
    groups = made.configure_optimizers()["optimizer"].param_groups
    parameters = [p for group in groups for p in group["params"]]
    assert all(p.requires_grad for p in parameters)
    assert all((p.dim() > 1) == (group["weight_decay"] == 0.05) for group in groups for p in group["params"])
    assert len(parameters) == sum(p.requires_grad for p in made.parameters()) < len(list(made.parameters()))


def test_lower_layers_are_slower_under_a_detector_too(tmp_path):
    made, _ = module(tmp_path, layer_decay=0.5)
    made.trainer = type("T", (), {"estimated_stepping_batches": 10})()
    groups = made.configure_optimizers()["optimizer"].param_groups
    rates = {id(p): group["initial_lr"] for group in groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in made.model.named_parameters()}
    largest = max(found.values())
    lower = {name for name, rate in found.items() if rate < largest}
    assert lower == {name for name in found if name.startswith("backbone.body.")}
    assert found["backbone.body.stem.0.weight"] == min(found.values())


def test_a_frozen_pyramid_stays_in_evaluation_mode(tmp_path):
    made, _ = module(tmp_path, freeze=True)
    assert made.train().model.training and not made.model.backbone.body.training
    assert {name.split(".")[0] for name, p in made.model.named_parameters() if p.requires_grad} == {"backbone", "head"}
