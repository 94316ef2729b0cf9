import pytest

from vig_pyg.segmentation.options import check_options, check_own


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"num_classes": 3}, "leave out num_classes"),
        ({"out_channels": 2}, "out_channels"),
        ({"out_chanels": 64}, "out_chanels"),
        ({"norm": "group"}, "norm"),
        ({"trainable_layers": 9}, "trainable_layers"),
        ({"head_dropout": 2}, "head_dropout"),
        ({"k": 0}, "k"),
        ([], "options"),
        ("text", "options"),
    ],
)
def test_wrong_options_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        check_options(value, "config.yaml: options")


def test_options_of_both_parts():
    value = {"depths": [1, 1, 1, 1], "head_channels": 32, "norm": "sync", "drop_path_rate": 0.1}
    assert check_options(value, "here") == {**value, "depths": (1, 1, 1, 1)}
    assert check_own({"num_classes": 3}, "here") == {"num_classes": 3}
