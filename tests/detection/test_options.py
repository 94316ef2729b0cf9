import copy

import pytest

from vig_pyg.detection.options import check_options, check_own

#: Values that no option should take, whatever it is.
HOSTILE = [None, True, -1, 0, 10**30, 1e300, "x" * 5000, [], {}, [[1]], {"a": {"b": 1}}, "\x1b[2J", ["x"], 0.5]
SOUND = {
    "k": (3, 5),
    "min_size": [64, 96],
    "weights_backbone": "imagenet1k",
    "norm": "frozen",
    "anchor_scale": 3.5,
    "image_mean": [0.1, 0.2, 0.3],
    "drop_path_rate": 0.1,
    "graph": "window",
    "trainable_layers": 2,
    "detector": {"box_score_thresh": 0.1, "rpn_pre_nms_top_n_test": 99, "bbox_reg_weights": [1.0, 2.0, 3, 4]},
}


def test_sound_options_are_taken():
    assert check_options(copy.deepcopy(SOUND), "options") == SOUND
    assert check_own({"num_classes": 3, "max_size": 9}, "options") == {"num_classes": 3, "max_size": 9}


def test_hostile_values_are_refused_by_name():
    """14 values in place of each option: an error that names it, or a value within its bounds."""
    refused = taken = 0
    for name in SOUND:
        for value in HOSTILE:
            try:
                check_options({**SOUND, name: value}, "config.yaml: options")
                taken += 1
            except ValueError as error:
                refused += 1
                assert str(error).startswith(f"config.yaml: options: {name}") and str(error).isprintable()
                assert len(str(error)) < 1500
    assert refused > 3 * taken > 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 3}, "leave out num_classes"),
        ({"kk": 3}, "options: unknown entry 'kk': .*, or an option of the backbone, such as drop_path_rate"),
        ({"out_channel": 3}, r"unknown entry 'out_channel' \(did you mean 'out_channels'"),
        ({"detector": {"nms": "x"}}, "options: detector: nms"),
        ({"min_size": []}, "min_size must be"),
        ([1], "options must be"),
    ],
)
def test_what_is_wrong_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        check_options(options, "options")
