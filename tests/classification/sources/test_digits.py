from vig_pyg.classification import DigitsData


def test_digits_are_split_in_the_same_way_always():
    first, second = DigitsData(), DigitsData()
    assert len(first.train_set) == 1347
    assert len(first.val_set) == 450
    assert first.val_set.labels == second.val_set.labels
    assert set(first.val_set.labels) == set(range(10))
    held_out = {scan.tobytes() for scan in first.val_set.sources}
    assert not held_out & {scan.tobytes() for scan in first.train_set.sources}


def test_digits_are_shifted_in_training_only():
    data = DigitsData()
    assert (data.val_set[0][0] == data.val_set[0][0]).all()
    assert (data.train_set[0][0] != data.train_set[0][0]).any()
    assert data.train_set[0][0].shape == (1, 16, 16)


def test_digits_are_the_same_for_everybody():
    """1797 scans of scikit-learn, divided once and for all; loaded by this process."""
    data = DigitsData()
    assert (len(data.train_set), len(data.val_set), data.class_names) == (1347, 450, [*map(str, range(10))])
    counts = [data.val_set.labels.count(label) for label in range(10)]
    assert 43 <= min(counts) <= max(counts) <= 46
    assert (data.train_dataloader().num_workers, data.batch_size) == (0, 64)
    assert data.preprocessing.image_size == 16 and data.preprocessing.in_channels == 1
    image, _ = data.val_set[0]
    assert image.shape == (1, 16, 16) and image.std() > 0.1
