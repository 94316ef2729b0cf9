import pytest

from vig_pyg import list_models
from vig_pyg.detection.load import load_detector
from vig_pyg.models.published_name import check_no_classifier
from vig_pyg.segmentation.load import load_segmenter


@pytest.mark.parametrize("name", [*list_models(), "pvig_small:imagenet1k:mmpretrain", "PVIG_Tiny"])
@pytest.mark.parametrize(("load", "what"), [(load_detector, "a detector"), (load_segmenter, "a segmentation network")])
def test_a_classifier_is_told_which_command_it_needs(load, what, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=rf"^{name} is a classifier, not {what}: use `vig-pyg predict`"):
        load(name)


def test_a_folder_of_this_name_and_other_names_are_looked_up(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pvig_tiny").mkdir()
    for name in ("pvig_tiny", "somebody/pvig_small", "./vig_tiny", "mine"):
        check_no_classifier(name, "a detector")
    with pytest.raises(FileNotFoundError, match=r"pvig_tiny has no config\.json"):
        load_detector("pvig_tiny")
