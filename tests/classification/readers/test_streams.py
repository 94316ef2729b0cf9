import pytest

from vig_pyg.classification.readers import ReaderOptions, open_collection


@pytest.mark.parametrize(
    ("prefix", "advice"), [("tfds", "use hfds/ or wds/"), ("hfids", "Use hfds/ with the same name")]
)
def test_streams_are_refused_with_the_reason(prefix, advice):
    with pytest.raises(ValueError, match=rf"{prefix}/mnist cannot be read: training resumes .*{advice}"):
        open_collection(f"{prefix}/mnist", ReaderOptions())
