import pytest

from tests.detection.scenes import change, make_coco
from vig_pyg.detection.measure import measure
from vig_pyg.detection.run_folder import load_detector


def test_gives_the_numbers_of_the_run(trained):
    folder, coco = trained
    found = measure(load_detector(folder), coco, num_workers=0, progress=False)
    last = (folder / "metrics.csv").read_text().splitlines()
    written = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    scores = found.compute()
    assert scores.keys() >= {"AP", "mask_AP50", "AP50 red"}
    assert all(float(written[f"val_{name}"]) == pytest.approx(score) for name, score in scores.items())
    assert {result["image_id"] for result in found.results} <= {10, 20, 30, 40}
    assert {"bbox", "segmentation", "score", "category_id"} <= found.results[0].keys()


def test_batches_and_progress_change_little(trained):
    """Heads see the border of an image from padding; what goes into them is the same (see test_backbone)."""
    run, coco = load_detector(trained[0]), trained[1]
    alone = measure(run, coco, batch_size=1, num_workers=0, progress=False)
    together = measure(run, coco, batch_size=3, num_workers=0, progress=True)
    assert alone.compute()["AP50"] == pytest.approx(together.compute()["AP50"], abs=0.05)
    strongest = [max(alone.results, key=lambda r: r["score"]), max(together.results, key=lambda r: r["score"])]
    assert strongest[0]["image_id"] == strongest[1]["image_id"]
    assert strongest[0]["score"] == pytest.approx(strongest[1]["score"], abs=0.05)


def test_other_classes_are_refused(trained, tmp_path):
    other = make_coco(tmp_path)
    change(other, lambda content: content["categories"][0].update(name="green"))
    with pytest.raises(ValueError, match="other classes"):
        measure(load_detector(trained[0]), other, progress=False)
