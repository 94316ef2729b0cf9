import os
import signal
from types import SimpleNamespace

import pytest

from vig_pyg.engine.preemption import SIGNALS, PreemptionHandler, TrainingInterrupted


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_is_remembered_and_handlers_come_back(signum):
    stop, before = PreemptionHandler(), [signal.getsignal(s) for s in SIGNALS]
    trainer = SimpleNamespace(world_size=1)
    with stop.listening():
        assert not stop.agreed(trainer)
        os.kill(os.getpid(), signum)
        assert stop.agreed(trainer) == signum
    assert [signal.getsignal(s) for s in SIGNALS] == before
    assert signum.name in str(TrainingInterrupted(signum))


def test_a_second_ctrl_c_stops_at_once():
    stop = PreemptionHandler()
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # schedulers repeat themselves


@pytest.mark.parametrize("signum", SIGNALS)
def test_before_the_first_step_and_after_the_last_there_is_nothing_to_finish(signum):
    stop, trainer = (
        PreemptionHandler(at_once=True),
        SimpleNamespace(world_size=1, strategy=SimpleNamespace(launcher=None)),
    )
    with stop.listening():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signum)
        stop.signum = 0
        stop.on_train_start(trainer, None)
        os.kill(os.getpid(), signum)
        assert stop.agreed(trainer) == signum and stop.started
        stop.on_train_end(trainer, None)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signum)


@pytest.mark.parametrize("mine", [0, signal.SIGUSR1])
@pytest.mark.parametrize("others", [False, True])
def test_processes_agree(mine, others):
    stop = PreemptionHandler()
    stop.signum = mine
    decide = SimpleNamespace(reduce_boolean_decision=lambda own, all: own or others)
    agreed = stop.agreed(SimpleNamespace(world_size=2, strategy=decide))
    assert agreed == (mine or (signal.SIGTERM if others else 0))
