import pytest

from tests.detection.scenes import change, make_coco
from tests.terminal import Stderr
from vig_pyg.detection.evaluate import evaluate_detector
from vig_pyg.detection.load import load_detector


def test_gives_the_numbers_of_the_run(trained):
    folder, coco = trained
    found = evaluate_detector(load_detector(folder), coco, num_workers=0, progress=False)
    last = (folder / "metrics.csv").read_text().splitlines()
    written = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    scores = found.compute()
    assert scores.keys() >= {"AP", "mask_AP50", "AP50 red"}
    assert all(float(written[f"val_{name}"]) == pytest.approx(score) for name, score in scores.items())
    assert {result["image_id"] for result in found.results} <= {10, 20, 30, 40}
    assert {"bbox", "segmentation", "score", "category_id"} <= found.results[0].keys()


def test_every_picture_is_seen_once_whatever_the_batch(trained, capsys, monkeypatch):
    run, coco = load_detector(trained[0]), trained[1]
    alone = evaluate_detector(run, coco, batch_size=1, num_workers=0, progress=False).results
    monkeypatch.setattr("sys.stderr", text := Stderr())
    assert evaluate_detector(run, coco, batch_size=1, num_workers=0, progress=True).results == alone
    assert "0 % 0/4" in text.getvalue()
    assert capsys.readouterr() == ("", "")  # standard output is for results
    together = evaluate_detector(run, coco, batch_size=3, num_workers=0, progress=False).results
    assert {r["image_id"] for r in together} == {r["image_id"] for r in alone} == {10, 20, 30, 40}


def test_other_classes_are_refused(trained, tmp_path):
    other = make_coco(tmp_path)
    change(other, lambda content: content["categories"][0].update(name="green"))
    with pytest.raises(ValueError, match="different classes"):
        evaluate_detector(load_detector(trained[0]), other, progress=False)


def test_a_lowest_score_removes_detections_and_the_mirror_image_adds_some(trained):
    run, coco = load_detector(trained[0]), trained[1]
    scores = [one["score"] for one in evaluate_detector(run, coco, num_workers=0, progress=False).results]
    limit = sorted(scores)[len(scores) // 2]
    few = evaluate_detector(run, coco, num_workers=0, score=limit, progress=False).results
    assert [one["score"] for one in few] == [score for score in scores if score >= limit]
    flipped = evaluate_detector(run, coco, num_workers=0, flip=True, progress=False)
    assert max(one["score"] for one in flipped.results) >= max(scores) - 1e-6
    assert sorted(one["score"] for one in flipped.results) != sorted(scores)
    for wrong in ({"score": 1.5}, {"batch_size": 0}, {"num_workers": -1}):
        with pytest.raises(ValueError, match=r"score must be|batch_size must be at least 1 and num_workers at least 0"):
            evaluate_detector(run, coco, progress=False, **wrong)


def test_batches_have_images_of_one_size_and_results_are_in_the_order_of_the_images(trained, monkeypatch):
    run, coco, sizes = load_detector(trained[0]), trained[1], []
    forward = run.model.forward
    monkeypatch.setattr(run.model, "forward", lambda images: sizes.append({i.shape for i in images}) or forward(images))
    found = evaluate_detector(run, coco, batch_size=2, num_workers=0, progress=False).results
    assert [len(size) for size in sizes] == [1, 1]  # every second image is taller
    ids = [result["image_id"] for result in found]
    assert ids == sorted(ids) and set(ids) == {10, 20, 30, 40}
