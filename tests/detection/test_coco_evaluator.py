import contextlib
import io
import json
from dataclasses import replace

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.detection.scenes import add_picture, change, make_coco
from vig_pyg.detection.coco_evaluator import SUMMARY, CocoEvaluator, to_results
from vig_pyg.detection.data import open_source
from vig_pyg.detection.dataset import DetectionSet


def detections(source, *, noise, drop=0.0, masks=False, seed=0):
    """True objects, moved and in part left out, with false ones between them."""
    generator = torch.Generator().manual_seed(seed)
    for _, target in DetectionSet(source, masks=masks):
        boxes = target["boxes"] + noise * torch.randn(target["boxes"].shape, generator=generator)
        boxes = torch.cat([boxes[:, :2], torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)], 1)
        kept = torch.rand(len(boxes), generator=generator) >= drop
        wrong = torch.tensor([[1.0, 1.0, 9.0, 9.0]])
        found = {
            "boxes": torch.cat([boxes[kept], wrong]),
            "labels": torch.cat([target["labels"][kept], torch.tensor([1])]),
            "scores": torch.rand(int(kept.sum()) + 1, generator=generator),
        }
        if masks:
            extra = torch.zeros(1, *target["masks"].shape[1:])
            found["masks"] = torch.cat([target["masks"][kept].roll(round(noise), 2), extra]).unsqueeze(1)
        yield int(target["image_id"]), found


def evaluated(source, masks=False, **options):
    evaluator = CocoEvaluator(source, masks=masks)
    for image_id, found in detections(source, masks=masks, **options):
        evaluator.update([image_id], [found])
    return evaluator


@pytest.fixture
def coco(tmp_path):
    path = make_coco(tmp_path, count=8)
    add_picture(path, (40, 40))  # without objects
    add_picture(path, (60, 60), [(5, 5, 50, 50)], crowd=True)
    return path


@pytest.mark.parametrize(("noise", "drop"), [(0, 0.0), (2, 0.3), (8, 0.5)])
def test_agrees_with_pycocotools_on_the_files(coco, tmp_path, noise, drop):
    """Plain pycocotools on the original file and on the results as they are written."""
    source = open_source(coco)
    evaluator = evaluated(source, masks=True, noise=noise, drop=drop)
    scores = evaluator.compute()
    results = tmp_path / "results.json"
    for kind, prefix in (("bbox", ""), ("segm", "mask_")):
        kept = [{k: v for k, v in r.items() if kind == "bbox" or k != "bbox"} for r in evaluator.results]
        results.write_text(json.dumps(kept))
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(coco))
            run = COCOeval(truth, truth.loadRes(str(results)), kind)
            run.evaluate()
            run.accumulate()
            run.summarize()
        assert 0 < run.stats[1] < 1
        for name, place in SUMMARY.items():
            assert scores[prefix + name] == run.stats[place]


def precision_by_hand(source, results, label):
    """Average precision at IoU 0.5 of one class by its definition: no crowds, 101 recalls."""
    truth = {r.image_id: [list(t.box) for t in r.annotations if t.label == label] for r in source.records}
    count, used, hits = sum(map(len, truth.values())), set(), []
    for result in sorted(results, key=lambda r: -r["score"]):
        if result["category_id"] != source.category_ids[label - 1]:
            continue
        x, y, w, h = result["bbox"]
        best, place = 0.5, None
        for i, (x1, y1, x2, y2) in enumerate(truth[result["image_id"]]):
            inter = max(0, min(x + w, x2) - max(x, x1)) * max(0, min(y + h, y2) - max(y, y1))
            iou = inter / (w * h + (x2 - x1) * (y2 - y1) - inter)
            if iou >= best and (result["image_id"], i) not in used:
                best, place = iou, i
        hits.append(place is not None)
        used.add((result["image_id"], place))
    points = [(sum(hits[: n + 1]) / count, sum(hits[: n + 1]) / (n + 1)) for n in range(len(hits))]
    return sum(max((p for r, p in points if r >= at / 100), default=0.0) for at in range(101)) / 101


def test_agrees_with_the_definition(tmp_path):
    source = open_source(make_coco(tmp_path, count=8))
    evaluator = evaluated(source, noise=4, drop=0.2)
    scores = evaluator.compute()
    by_hand = [precision_by_hand(source, evaluator.results, label) for label in (1, 2)]
    assert scores["AP50 blue"] == pytest.approx(by_hand[0])
    assert scores["AP50 red"] == pytest.approx(by_hand[1])
    assert scores["AP50"] == pytest.approx(sum(by_hand) / 2)
    assert 0.1 < scores["AP50"] < 0.99


def test_perfect_nothing_and_again(coco):
    source = open_source(coco)
    evaluator = CocoEvaluator(source, masks=True)
    assert evaluator.compute()["AP"] == 0
    for _, target in DetectionSet(source, masks=True):
        found = {**target, "scores": torch.ones(len(target["labels"])), "masks": target["masks"].unsqueeze(1)}
        evaluator.update([int(target["image_id"])], [found])
    scores = evaluator.compute()
    assert scores["AP"] == scores["mask_AP"] == pytest.approx(1)
    assert evaluator.compute() == scores
    evaluator.reset()
    assert evaluator.compute()["mask_AP"] == 0


def test_a_class_without_objects_is_marked_and_a_detection_of_a_crowd_is_not_wrong(coco):
    source = open_source(coco)
    source = replace(source, class_names=[*source.class_names, "green"], category_ids=[*source.category_ids, 9])
    plain = evaluated(source, noise=0)
    scores = plain.compute()
    assert scores["AP50 green"] == -1
    crowd = source.records[-1]
    found = {"boxes": torch.tensor([[5.0, 5, 50, 50]] * 3), "labels": torch.ones(3).long(), "scores": torch.ones(3)}
    plain.update([crowd.image_id], [found])
    assert plain.compute()["AP50 blue"] == scores["AP50 blue"]


def test_results_have_true_numbers_and_no_background():
    found = {"boxes": torch.tensor([[1.0, 2, 5, 9]] * 2), "labels": torch.tensor([0, 2]), "scores": torch.ones(2)}
    (result,) = to_results(42, found, [3, 7])
    assert result == {"image_id": 42, "category_id": 7, "bbox": [1, 2, 4, 7], "score": 1}


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_on_raw_pixels_of_a_turned_photo(tmp_path, orientation):
    """Training sees everything upright; results and scores are those of the file, as COCO's tools read it."""
    coco = make_coco(tmp_path, count=2, size=(40, 64))
    raw = [DetectionSet(open_source(coco), masks=True)[i] for i in range(2)]
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(tmp_path / "images" / "0.png") as image:
        image.save(tmp_path / "images" / "0.png", exif=exif)
    source = open_source(coco)
    pictures, evaluator = DetectionSet(source, masks=True), CocoEvaluator(source, masks=True)
    for i, (image, target) in enumerate(pictures):
        assert image.shape[1:] == ((64, 40) if i == 0 else (56, 64))
        assert target["masks"].shape[1:] == image.shape[1:]
        for box, label, mask in zip(target["boxes"].int().tolist(), target["labels"], target["masks"], strict=True):
            x1, y1, x2, y2 = box
            assert mask[y1:y2, x1:x2].all()
            assert mask.sum() == (x2 - x1) * (y2 - y1)
            own, other = (0, 2) if label == 2 else (2, 0)
            assert (image[own] - image[other])[y1:y2, x1:x2].min() > 0.5
        found = {**target, "scores": torch.ones(len(target["labels"])), "masks": target["masks"].unsqueeze(1)}
        evaluator.update([int(target["image_id"])], [found])
    assert evaluator.compute()["AP"] == evaluator.compute()["mask_AP"] == pytest.approx(1)
    boxes = [result["bbox"] for result in evaluator.results if result["image_id"] == 10]
    assert boxes == [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in raw[0][1]["boxes"].tolist()]


def test_a_crowd_without_an_outline_and_pictures_without_objects(tmp_path):
    coco = make_coco(tmp_path, count=3)
    add_picture(coco, (60, 60), [(5, 5, 50, 50)], crowd=True)

    def edit(content):
        content["annotations"][-1].pop("segmentation")
        content["annotations"] = [entry for entry in content["annotations"] if entry["image_id"] != 10]

    change(coco, edit)
    source = open_source(coco)
    pictures = DetectionSet(source, masks=True)
    assert [len(pictures[i][1]["masks"]) for i in (0, 3)] == [0, 0]
    assert evaluated(source, noise=0, masks=True).compute()["mask_AP"] > 0.5
    change(coco, lambda content: content.update(annotations=[]))
    assert evaluated(open_source(coco), noise=0, masks=True).compute()["mask_AP"] == -1


def test_outlines_that_cannot_be_used_are_left_out_with_a_report_or_refused(tmp_path, caplog):
    coco = make_coco(tmp_path, count=3)
    change(coco, lambda content: content["annotations"][0].update(segmentation=[[None, 1, 2, 3, 4, 5]]))
    change(coco, lambda content: content["annotations"][1].update(segmentation=[]))
    count = sum(len(record.annotations) for record in open_source(coco).records)
    assert sum(len(target["labels"]) for _, target in DetectionSet(open_source(coco))) == count
    assert not caplog.text  # boxes need no outlines
    assert sum(len(target["labels"]) for _, target in DetectionSet(open_source(coco), masks=True)) == count - 2
    assert "0.png, annotation 1: the outline cannot be used: expected a number, got None" in caplog.text
    assert "annotation 2: the outline cannot be used: it has no outline" in caplog.text
    for door in (DetectionSet, CocoEvaluator):
        with pytest.raises(ValueError, match=r"instances: .*0\.png, annotation 1: .*--on-bad drop"):
            door(open_source(coco, on_bad="stop"), masks=True)
