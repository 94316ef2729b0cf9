import pytest
from torch.utils.data import TensorDataset

from tests.classification.job import few_digits
from vig_pyg.classification import ClassificationConfig
from vig_pyg.engine import TrainData


def test_the_place_of_an_epoch_goes_round():
    data, other = few_digits(batch_size=32), few_digits(batch_size=32)
    data.place = (2, 3)
    other.load_state_dict(data.state_dict())
    data.seed = other.seed = 5
    rest = [labels.tolist() for _, labels in other.train_dataloader()]
    assert rest == [labels.tolist() for _, labels in data.train_dataloader()]
    assert len(rest) == 3  # of six
    data.place = (2, 0)
    assert [labels.tolist() for _, labels in data.train_dataloader()][3:] == rest


def test_what_no_run_could_use_is_told():
    nothing = TensorDataset()
    with pytest.raises(ValueError, match="num_workers must be at least 0, got -1"):
        TrainData("none", train_set=nothing, val_set=nothing, class_names=[], batch_size=1, num_workers=-1)
    data = few_digits(val=0)
    with pytest.raises(ValueError, match="no validation images"):
        TrainData.check(data, None, ClassificationConfig(), world=1)
    with pytest.raises(ValueError, match="multiple"):
        TrainData.check(few_digits(), None, ClassificationConfig(accumulate=7), world=1)
