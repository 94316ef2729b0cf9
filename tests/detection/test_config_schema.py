import copy
import json

import numpy as np
import pytest

from tests.detection.common import plan
from vig_pyg.detection.config_schema import check_config
from vig_pyg.detection.plan import Plan
from vig_pyg.detection.run_folder import read_plan, write_plan

#: Values that no entry should take, whatever it is.
HOSTILE = [None, True, -1, 0, 10**30, 1e300, "x" * 5000, [], {}, [[1]], {"a": {"b": 1}}, "\x1b[2J", ["x"], 0.5]


def config(**options):
    made = plan("a.json", "b.json", detector="fasterrcnn", options=options)
    return {"kind": "detector", **made.to_dict(), "class_names": ["a", "b"], "category_ids": [3, 7]}


def places(entries, before=()):
    """The path of every value."""
    for key, value in entries.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from places(value, (*before, key))


def test_what_a_run_writes_is_read(tmp_path):
    options = {
        "k": (3, 5),
        "min_size": [64, 96],
        "weights_backbone": "imagenet1k",
        "norm": "frozen",
        "anchor_scale": 3.5,
    }
    options |= {"image_mean": [0.1, 0.2, 0.3], "drop_path_rate": 0.1, "graph": "window", "trainable_layers": 2}
    options |= {
        "detector": {"box_score_thresh": 0.1, "rpn_pre_nms_top_n_test": 99, "bbox_reg_weights": [1.0, 2.0, 3, 4]}
    }
    made = plan("a.json", "b.json", detector="fasterrcnn", options=options)
    write_plan(tmp_path, made, ["猫", "$x"], [3, 7])
    found, names, ids = read_plan(tmp_path)
    assert (names, ids) == (["猫", "$x"], [3, 7])
    assert found.to_dict() == made.to_dict() | {"options": found.options}
    assert {k: v for k, v in found.options.items() if k != "k"} == {k: v for k, v in made.options.items() if k != "k"}
    assert tuple(found.options["k"]) == (3, 5)


def test_hostile_values_are_refused_before_anything_is_built(monkeypatch):
    """Each value of a sound configuration in turn: an error that names it, or a value within its bounds."""
    sound = config(k=5, drop_path_rate=0.1, anchor_scale=2.0, image_mean=[0.5] * 3, weights_backbone="imagenet1k")
    monkeypatch.setattr(Plan, "model", None)
    refused = taken = 0
    for place in places(check_config(copy.deepcopy(sound), "config.json")):
        for value in HOSTILE:
            wrong = copy.deepcopy(sound)
            inner = wrong
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            try:
                check_config(wrong, "config.json")
                taken += 1
            except ValueError as error:
                refused += 1
                text = str(error)
                assert text.startswith("config.json")
                assert len(text) < 1500
                assert text.isprintable()
    assert refused > 8 * taken
    assert taken > 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("recipe"), "the entry 'recipe' is missing"),
        (lambda c: c.update(more=1), "unknown entry 'more'"),
        (lambda c: c["options"].update(num_classes=3), "unknown entry 'num_classes'"),
        (lambda c: c["options"].update(kk=3), "unknown entry 'kk'"),
        (lambda c: c["options"].update(detector={"nms": "x"}), "options: detector: nms"),
        (lambda c: c["options"].update(max_size=16384, patch_size=1), "edges of one image are refused"),
        (lambda c: c["options"].update(graph="complete", max_size=5000), "edges of one image are refused"),
        (lambda c: c["options"].update(depths=[500, 500, 1, 1]), "blocks"),
        (lambda c: c.update(category_ids=[3, 3]), "category_ids must be one number"),
        (lambda c: c.update(category_ids=[3]), "category_ids must be one number"),
        (lambda c: c["augmentation"].update(scale=[1, 1e9]), "augmentation: scale"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, message):
    content = config()
    change(content)
    with pytest.raises(ValueError, match=message):
        check_config(copy.deepcopy(content), "config.json")
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json is not the configuration of a detector"):
        read_plan(tmp_path)


def test_random_bytes_and_structures(tmp_path):
    text, rng = json.dumps(config()), np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        start, length = rng.integers(len(text)), rng.integers(1, 9)
        noise = "".join(map(chr, rng.integers(32, 127, rng.integers(0, 9))))
        (tmp_path / "config.json").write_text(text[:start] + noise + text[start + length :])
        try:
            read_plan(tmp_path)
        except ValueError as error:
            refused += 1
            assert "config.json" in str(error)
    assert refused > 200
    for content in ("[" * 100_000, "{" * 100, '{"kind": ' * 50 + "1", '{"a": NaN}', "\0", "1" * 5000):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=r"config\.json"):
            read_plan(tmp_path)


def test_the_run_of_a_classifier_is_told():
    with pytest.raises(ValueError, match=r"it is the configuration of a classifier: use `vig-pyg predict`"):
        check_config(
            {"model": "vig_tiny", "options": {}, "class_names": ["a", "b"], "preprocessing": {}}, "config.json"
        )
