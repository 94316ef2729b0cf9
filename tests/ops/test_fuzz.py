from tests.ops.fuzz import fuzz, one_call, report
from tests.ops.fuzz_cases import CASES, Call


def test_no_random_call_is_wrong():
    counts, wrong = fuzz(40 * len(CASES), seed=0, share=1)
    assert not wrong, report(counts, wrong)
    assert all(outcomes["computed"] > 5 for outcomes in counts.values())
    assert all(any(kind.startswith("refused") for kind in outcomes) for outcomes in counts.values())


def refuse():
    raise ValueError("no")


def test_the_fuzzer_finds_what_is_wrong(monkeypatch):
    for call, outcome in [
        (Call(lambda: 1, False, str), "wrong: computed a call that is not sound"),
        (Call(refuse, True, str), "wrong: refused a sound call, ValueError: no"),
        (Call(lambda: 1 / 0, False, str), "wrong: ZeroDivisionError: division by zero"),
        (Call(lambda: 1, True, lambda got: "other numbers"), "wrong: other numbers"),
        (Call(refuse, False, str), "refused (ValueError)"),
        (Call(lambda: 1, True, lambda got: ""), "computed"),
        (Call(lambda: 1, None, lambda got: "other numbers"), "computed"),
    ]:
        monkeypatch.setitem(CASES, "knn", lambda rng, call=call: call)
        assert one_call("knn", 0, 0, 1) == outcome
