"""Random calls of every native function: `python -m tests.ops.fuzz --calls 100000 --seed 0`.

Each call is either sound, and then computed and (a share of the calls) compared with plain torch, or it must be refused
with an error that Python can catch. A memory fault ends the program; built with sanitizers (see `test_sanitizers.py`),
a single number read or written outside does. `--first` and `--only` repeat one call.
"""

import argparse
import random
import sys
import warnings
from collections import Counter
from pathlib import Path

import torch

from tests.ops.fuzz_cases import CASES
from vig_pyg.ops import _native

#: What may come of a call that is not sound: our errors, and torch's own where it looks first.
REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError)


def one_call(name, seed, index, share):
    """What came of a call: "computed", "refused (...)" or "wrong: ..."."""
    rng = random.Random(f"{seed} {name} {index}")
    torch.manual_seed(rng.randrange(2**32))
    call = CASES[name](rng)
    compared = rng.random() < share
    try:
        result = call.run()
    except REFUSALS as error:
        if call.sound:
            return f"wrong: refused a sound call, {type(error).__name__}: {error}"
        return f"refused ({type(error).__name__})"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    if call.sound is False and not is_meta(result):
        return "wrong: computed a call that is not sound"
    found = call.wrong(result) if compared and call.sound else ""
    return f"wrong: {found}" if found else "computed"


def is_meta(result):
    """Whether nothing was read: tensors without numbers were passed."""
    parts = result if isinstance(result, (list, tuple)) else [result]
    return any(isinstance(part, torch.Tensor) and part.is_meta for part in parts)


def fuzz(calls, seed=0, *, only=None, first=0, share=0.3, trace=None):
    """Outcomes of each function, and what was wrong: `(name, index, what)`."""
    names = [only] if only else list(CASES)
    counts, wrong = {name: Counter() for name in names}, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in range(first, first + calls):
            name = names[index % len(names)]
            if trace:
                trace.write_text(f"--only {name} --first {index} --calls 1 --seed {seed}\n")
            outcome = one_call(name, seed, index, share)
            counts[name][outcome.split(":")[0]] += 1
            if outcome.startswith("wrong"):
                wrong.append((name, index, outcome))
    return counts, wrong


def report(counts, wrong):
    """The numbers as text, a line for each function."""
    lines = []
    for name, outcomes in counts.items():
        refused = {kind: n for kind, n in sorted(outcomes.items()) if kind.startswith("refused")}
        kinds = ", ".join(f"{kind[9:-1]} {n}" for kind, n in refused.items())
        lines.append(
            f"{name:32} {outcomes.total():7} calls {sum(refused.values()):7} refused {outcomes['computed']:7} computed "
            f"{outcomes['wrong']:5} wrong   {kinds}"
        )
    lines += [f"--only {name} --first {index} --calls 1: {what}" for name, index, what in wrong[:20]]
    total = sum(outcomes.total() for outcomes in counts.values())
    return "\n".join([*lines, f"{total} calls, {len(wrong)} wrong"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--share", type=float, default=0.3, help="share of the results that are compared")
    parser.add_argument("--library", type=Path, help="compiled kernels, instead of the installed ones")
    parser.add_argument("--trace", type=Path, help="file that names the last call, should the program end in it")
    args = parser.parse_args()
    if args.library:
        _native.candidates = lambda: [args.library]
    if _native.library() is None:
        sys.exit("There are no native kernels.")
    counts, wrong = fuzz(args.calls, args.seed, only=args.only, first=args.first, share=args.share, trace=args.trace)
    print(report(counts, wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
