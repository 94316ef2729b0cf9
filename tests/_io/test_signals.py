import os
import signal
import threading

import pytest

from vig_pyg._io.signals import SIGNALS, Terminated, exit_status, signals_raise


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_comes_as_an_exception_and_handlers_go_back(signum):
    before = signal.getsignal(signum)
    try:
        signal.signal(signum, signal.SIG_DFL)
        with pytest.raises(KeyboardInterrupt) as stop, signals_raise():
            os.kill(os.getpid(), signum)
        assert isinstance(stop.value, Terminated) and exit_status(stop.value) == 128 + signum
        assert signal.getsignal(signum) is signal.SIG_DFL
        signal.signal(signum, signal.SIG_IGN)  # as nohup does
        with signals_raise():
            os.kill(os.getpid(), signum)
            assert signal.getsignal(signum) is signal.SIG_IGN
    finally:
        signal.signal(signum, before)


def test_a_forked_process_ends_as_it_would_without():
    with signals_raise():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM


def test_other_threads_leave_signals_alone():
    def work():
        with signals_raise():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen, before = [], signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
