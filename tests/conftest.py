"""What all tests share."""

import gc
import os
import signal
import sys

# threads that wait spin by default: two processes on the same cores then stand still for minutes
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# processes of pytest-xdist fill the cores by themselves: more threads would only wait for each other
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for processes that tests start too; bits depend on it
# commands print how they were started, which is no matter of how the tests were
os.environ.pop("UV_RUN_RECURSION_DEPTH", None)

import pytest
import torch

if not torch.cuda.is_available():  # kernels for GPUs then run in Triton's interpreter; it asks when they are imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

# a shell lets what it starts in the background ignore these, and tests send them
for number, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, number) and signal.getsignal(getattr(signal, number)) is signal.SIG_IGN:
        signal.signal(getattr(signal, number), handler)

#: Programs of slow tests; they import packages that only the environments of those tests have.
collect_ignore = ["tools_job.py", "timm/peers.py", "timm/their_tests.py"]


@pytest.fixture(autouse=True)
def fonts_that_nobody_was_warned_of(monkeypatch):
    """A process warns once of a font that is missing; here each test is a process of its own."""
    names = sys.modules.get("vig_pyg._fonts.names")
    if names is not None:
        monkeypatch.setattr(names, "_warned", set())


#: Tests that run with `--device cuda`. Others are about files, commands and training, or start processes of their own.
ON_ANY_DEVICE = (
    "tests/ops/",
    "tests/graph/",
    "tests/conv/",
    "tests/models/",
    "tests/test__fused_layers.py",
    "tests/test__low_precision.py",
    "tests/test_block.py",
    "tests/test_data.py",
    "tests/test_fuse.py",
    "tests/test_head.py",
    "tests/test_layers.py",
    "tests/test_layout.py",
    "tests/test_parity.py",
    "tests/test_played_gpu.py",
    "tests/test_position.py",
    "tests/test_stem.py",
)


#: Tests among them that are about CPUs alone, by the beginning of their names, and why.
CPU_ONLY = {
    "tests/ops/test_checks.py": "what native functions of a CPU may read",
    "tests/ops/test_rows.py": "rows of edges on a CPU",
    "tests/ops/test_fuzz.py": "native functions",
    "tests/ops/test_sanitizers.py": "native functions",
    "tests/ops/test__batch_norm.py": "native functions",
    "tests/ops/test_tiled.py": "slices for the cache of a CPU",
    "tests/ops/test__recomputable.py": "native functions",
    "tests/ops/test_recomputed.py::test_in_bfloat16_the_hidden": "a GPU keeps none",
    "tests/ops/test_recomputed.py::test_bfloat16_is": "autocast of a CPU; test__recomputed_branch.py has that of a GPU",
    "tests/ops/test_recomputed.py::test_a_training_step_in_bfloat16": "autocast of a CPU",
    "tests/ops/test_products.py::test_one_dnn": "oneDNN computes on CPUs alone",
    "tests/ops/test_products.py::test_who_needs_gradients": "oneDNN computes on CPUs alone",
    "tests/ops/test__knn.py::test_the_kernels_were_built_here": "native functions",
    "tests/ops/test__knn.py::test_features_that_are_not_finite_are_named": "a GPU is not waited for",
    "tests/ops/test__knn.py::test_a_bias_of_nan_is_refused": "a GPU is not waited for",
    "tests/ops/test__knn.py::test_unit_rows_takes_rows_of_numbers": "a GPU is not waited for",
    "tests/ops/test__max_relative.py::test_many_neighbors_have": "a GPU tells more neighbors apart",
    "tests/ops/test__max_relative.py::test_slots_of_other_edges": "the kernels for GPUs skip such slots",
    "tests/graph/test_dilated_knn.py::test_a_feature_that_is_not_finite_is_named": "a GPU is not waited for",
    "tests/graph/test_cluster.py::test_what_torch_cluster_does_not_look_at_is_refused[arguments6": "a GPU is not asked",
    "tests/graph/test_window.py::test_a_feature_that_is_not_finite_is_named": "a GPU is not waited for",
    "tests/models/test_check_images.py::test_pixels_that_are_not_finite": "a GPU is not waited for",
    "tests/models/test_check_images.py::test_two_infinities": "a GPU is not waited for",
    "tests/models/test_hub.py::test_without_the_extra": "about imports",
    "tests/test_fuse.py::test_fused_operators_make_no_messages": "torch reduces edges by sparse products on CPUs alone",
    "tests/test__low_precision.py::test_a_probe": "a GPU is not waited for",
    "tests/conv/test__sparse.py": "torch reduces edges by sparse products on CPUs alone",
    "tests/test__fused_layers.py::test_slices_of_the_ffn": "slices for the cache of a CPU",
    "tests/test__fused_layers.py::test_on_a_cpu": "oneDNN computes on CPUs alone",
    "tests/test_block.py::test_a_cpu_keeps_its_edges": "a GPU needs none",
    "tests/conv/test_base.py::test_messages_are_made_only": "torch reduces edges by sparse products on CPUs alone",
}


#: Whether several processes run the tests.
SHARED_CORES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1

#: Tests of functions that share their work among threads, which they do beside other processes too.
ON_THREADS = ("tests/ops/", "tests/graph/", "tests/test__fused_layers.py", "tests/test_threads.py")


def pytest_collection_finish():
    """Thousands of collected tests are no garbage: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure():
    """At its end a process takes apart what it has, and some packages tell what they miss then."""
    gc.unfreeze()


@pytest.hookimpl(tryfirst=True)  # before the fixtures of the module
def pytest_runtest_setup(item):
    """Beside other processes each test has one thread, but for those in which two must give the right result."""
    if item.config.getoption("--device") == "played-cuda":
        from tests import played_gpu

        played_gpu.interpreted[0] = item.nodeid.startswith("tests/ops/")
    if SHARED_CORES:
        torch.set_num_threads(2 if item.nodeid.startswith(ON_THREADS) else 1)


class Failures:
    """Writes the names of failed tests as they fail: a run that is killed keeps them."""

    def __init__(self, path):
        self.path = path
        with open(path, "w"):
            pass

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.note(report)

    def pytest_collectreport(self, report):
        if report.failed:
            self.note(report)

    def note(self, report):
        error = [line for line in report.longreprtext.splitlines() if line.startswith("E ")] or [""]
        with open(self.path, "a") as file:
            file.write(
                f"{report.nodeid} ({report.when if hasattr(report, 'when') else 'collection'}): {error[0][:200]}\n"
            )


def pytest_addoption(parser):
    parser.addoption(
        "--device",
        default="cpu",
        help="where tests put new tensors: cpu (default), cuda, or played-cuda, a GPU that is played on a CPU",
    )
    parser.addoption("--longest", type=int, metavar="SECONDS", help="skip what is left of a test after this time")
    # written --failures=FILE: pytest would take a file after a space for one of tests, and look for this file beside it
    parser.addoption("--failures", metavar="FILE", help="name each failed test in this file at once, with its error")


def pytest_configure(config):
    """Before the tests are collected, as their parameters hold tensors too."""
    if config.getoption("--failures") and not hasattr(config, "workerinput"):  # workers report to the first process
        config.pluginmanager.register(Failures(config.getoption("--failures")))
    device = config.getoption("--device")
    if device == "cpu":
        return
    if device == "played-cuda":
        from tests.played_gpu import play

        play()
        return
    if torch.device(device).type == "cuda" and not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda needs a GPU, and there is none here.")
    torch.set_default_device(device)
    torch.backends.cudnn.allow_tf32 = False  # tests know the rounding of float32
    torch.backends.cudnn.deterministic = True


def _not_played():
    from tests.played_gpu import NOT_PLAYED

    return NOT_PLAYED


def pytest_collection_modifyitems(config, items):
    """On another device only what can run there."""
    if config.getoption("--device") == "cpu":
        return
    left_out = CPU_ONLY | (_not_played() if config.getoption("--device") == "played-cuda" else {})
    for item in items:
        reasons = [reason for name, reason in left_out.items() if item.nodeid.startswith(name)]
        if not item.nodeid.startswith(ON_ANY_DEVICE):
            reasons = ["about no device (see ON_ANY_DEVICE)"]
        for reason in reasons:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Some tests take hours in Triton's interpreter, and which ones depends on the machine."""
    longest = item.config.getoption("--longest")
    if not longest:
        return (yield)

    def stop(*_):
        pytest.skip(f"longer than {longest} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(longest)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Each test draws the same numbers, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def browser():
    """A browser without a window; selenium is imported where it is needed only."""
    from tests.browser import open_browser

    driver = open_browser()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def blank_pictures():
    """Figures are made, but their files are white: drawing them takes a third of the time of a short run.

    For modules that train and do not look at pictures; those of the plots and of `describe` do.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    def write(figure, file, **_):
        width, height = (figure.get_size_inches() * figure.dpi).astype(int)
        Image.new("L", (width, height), 255).save(file, "png", compress_level=1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", write)
        yield
