import pytest

from vig_pyg.detection.config import DetectionConfig, make_config
from vig_pyg.detection.presets import PRESETS
from vig_pyg.engine.optim import learning_rate

SOURCE = ("the command line", {"train": "a.json", "val": "b.json"})


def rates(config, images=118_287):
    """The learning rate of the first step of each epoch on COCO, which has this number of images."""
    steps = images // config.batch_size
    rate = learning_rate(config, steps * config.epochs)
    return [round(config.lr * rate(1000 + steps * epoch), 10) for epoch in range(config.epochs)]


@pytest.mark.parametrize("detector", ["retinanet", "fasterrcnn", "maskrcnn"])
@pytest.mark.parametrize("model", ["micro", "tiny", "pvig_small", "medium", "base"])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_fits_every_detector(preset, detector, model):
    made = make_config(SOURCE, ("more", {"detector": detector, "model": model, "options.k": 5}), preset=preset)
    assert made.batch_size == 16 and made.aspect_grouping and made.options["k"] == 5
    assert made.options["max_size"] == 1333
    assert rates(made) == sorted(rates(made), reverse=True)


def test_the_schedules_are_those_of_coco():
    one, three, jittered = (make_config(SOURCE, preset=name) for name in ("1x", "3x", "lsj"))
    assert rates(one) == [1e-4] * 8 + [1e-5] * 3 + [1e-6]
    assert rates(three) == [1e-4] * 27 + [1e-5] * 6 + [1e-6] * 3
    assert three.options["min_size"] == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    assert (jittered.augmentation.jitter, jittered.augmentation.flip) == ((0.1, 2.0), "h")
    plain = DetectionConfig(train="a.json", val="b.json", options=one.options, aspect_grouping=True)
    assert one == plain  # the defaults are those of 1x


def test_values_override_a_preset():
    made = make_config(SOURCE, ("more", {"epochs": 6, "options.min_size": 64, "options.max_size": 96}), preset="3x")
    assert (made.epochs, made.options) == (6, {"min_size": 64, "max_size": 96})
    assert rates(made, 32_000) == [1e-4] * 4 + [1e-5, 1e-6]  # the drops are shares of the run: 4.5 and 5.5
    made = make_config(SOURCE, ("more", {"augmentation": {"copy_paste": 0.5}}), preset="lsj")
    assert (made.augmentation.copy_paste, made.augmentation.jitter) == (0.5, (0.1, 2.0))
    made = make_config(("file", {"options": {"k": 3}}), SOURCE, preset="1x")
    assert made.options == {"k": 3}
    with pytest.raises(ValueError, match=r"Unknown preset 'lsjj' \(did you mean 'lsj'\?\): choose one of 1x, 3x, lsj"):
        make_config(SOURCE, preset="lsjj")
