import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg import load
from vig_pyg.segmentation import Inference
from vig_pyg.segmentation.evaluate import evaluate_segmenter
from vig_pyg.segmentation.metrics import scores_of
from vig_pyg.segmentation.sources import open_source


def by_hand(segmenter, data, **options):
    """The confusion of all images, one after the other, as a user would count it."""
    counts = np.zeros((3, 3), dtype=int)
    for record in open_source(data).records:
        found = segmenter(record.path, **options)["labels"].numpy()
        with Image.open(record.mask.path) as image:
            truth = np.asarray(image)
        np.add.at(counts, (truth[truth != 255], found[truth != 255]), 1)
    return torch.from_numpy(counts)


@pytest.mark.parametrize("options", [{}, {"flip": True}, {"window": (20, 24), "stride": (10, 24)}])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_confusion_is_that_of_single_images(trained, options, batch_size):
    run, data = trained
    segmenter = load(run)
    counts = evaluate_segmenter(
        segmenter, data, how=Inference(**options), batch_size=batch_size, num_workers=0, device="cpu"
    )
    want = by_hand(segmenter, data, **options)
    assert counts.sum() == want.sum() and (counts - want).abs().sum() <= 0.002 * want.sum()


def test_the_score_of_the_run_is_found_again(trained):
    run, data = trained
    seen = []
    counts = evaluate_segmenter(load(run), data, num_workers=0, device="cpu", progress=seen.append)
    last = (run / "metrics.csv").read_text().splitlines()
    want = float(last[-1].split(",")[last[0].split(",").index("val_mIoU")])
    assert scores_of(counts).miou == pytest.approx(want, abs=1e-3) and sum(seen) == 4


def test_classes_of_another_order_are_matched_by_name(trained, tmp_path):
    run, data = trained
    (tmp_path / "images").symlink_to(data / "images")
    (tmp_path / "masks").mkdir()
    for path in (data / "masks").iterdir():
        with Image.open(path) as image:
            labels = np.asarray(image)
        Image.fromarray(np.select([labels == 0, labels == 1, labels == 2], [2, 0, 1], 255).astype(np.uint8)).save(
            tmp_path / "masks" / path.name
        )
    (tmp_path / "classes.txt").write_text("road\ntree\nsky\n")
    segmenter = load(run)
    one, other = (evaluate_segmenter(segmenter, source, num_workers=0, device="cpu") for source in (data, tmp_path))
    assert torch.equal(one, other)
    (tmp_path / "classes.txt").write_text("road\ntree\nsea\n")
    with pytest.raises(ValueError, match="'sea'"):
        evaluate_segmenter(segmenter, tmp_path, num_workers=0, device="cpu")
