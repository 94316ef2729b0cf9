"""Images of a data set; a run that one of them stops names all that cannot be read."""

import numpy as np
import pytest

from tests.classification.job import fit
from tests.images import make_folder
from vig_pyg.classification import Augmentation, ClassificationConfig, FolderData, ImageData
from vig_pyg.classification.dataset import ADVICE, ImageDataset
from vig_pyg.preprocess import Preprocessing


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_an_image_stops_names_all(tmp_path, workers):
    folder = make_folder(tmp_path / "images")
    broken = sorted(path for part in ("train", "val") for path in (folder / part / "red").iterdir())[:11]
    for path in broken:
        path.write_bytes(b"")
    data = FolderData(folder, image_size=32, batch_size=4, num_workers=workers)
    recipe = ClassificationConfig(epochs=1, num_workers=workers)
    options = {"depth": 1, "channels": 16}
    with pytest.raises(ValueError, match=rf"^{len(broken)} of {len(data.train_set) + len(data.val_set)} im") as error:
        fit(data, tmp_path / "run", model="vig_micro", options=options, recipe=recipe, progress=False)
    told = str(error.value)
    assert told.count("cannot be read as an image (the file is empty)") == min(10, len(broken))
    head, *lines = told.split("\n")
    assert head.endswith(f"{ADVICE.replace(' it', ' them')}:") and len(lines) == len(broken)
    assert (lines[-1] == "  and 1 more") == (len(broken) > 10)


def test_images_in_memory_have_no_names():
    images, labels = [np.zeros((8, 8, 3), np.uint8)] * 4, [0, 1, 0, 1]
    data = ImageData(
        "black", train=(images, labels), val=(images, labels), class_names=["cat", "dog"], batch_size=2,
        preprocessing=Preprocessing(image_size=8), augmentation=Augmentation(), num_workers=0,
    )  # fmt: skip
    assert data.with_all_faults("the loss is not finite.") == "the loss is not finite."
    assert isinstance(data.train_set, ImageDataset) and data.train_set.read(0, np.asarray).shape == (8, 8, 3)
