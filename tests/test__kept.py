import sys
import threading

from vig_pyg._kept import Kept


def test_one_entry_is_kept_for_its_key():
    kept, made = Kept(), []
    for key in (1, 1, 2, 2, 1):
        assert kept.get(key, lambda key=key: made.append(key) or key * 10) == key * 10
    assert made == [1, 2, 1]


def test_threads_get_the_values_of_their_keys():
    kept, wrong, before = Kept(), [], sys.getswitchinterval()

    def ask(key):
        for _ in range(3000):
            if kept.get(key, lambda: [key]) != [key]:
                wrong.append(key)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(key,)) for key in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong


def test_cleared_it_makes_again():
    kept = Kept()
    first = kept.get("a", lambda: [1])
    kept.clear()
    assert kept.get("a", lambda: [2]) == [2] != first
