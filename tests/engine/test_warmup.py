import random

import pytest

from vig_pyg.engine.warmup import Warmup, check_warmup

UNITS = ("%", "steps", "epochs")


def test_a_warmup_goes_round_and_counts_steps():
    """300 drawn warm-ups: `str` and `parse` are inverse, and the steps are those of the unit."""
    draw = random.Random(0)
    for _ in range(300):
        unit, epochs, each = draw.choice(UNITS), draw.randint(1, 300), draw.randint(1, 5000)
        total = epochs * each
        amount = draw.choice([0, 1, 5, 20, 100]) if unit != "steps" else draw.randint(0, 10**6)
        made = Warmup(amount, unit)
        assert Warmup.parse(str(made)) == made
        assert Warmup.parse(f" {amount}  {unit} ") == made
        steps = made.steps(total=total, epochs=epochs)
        assert 0 <= steps <= total
        expected = {
            "%": total * amount // 100,
            "steps": min(amount, total // 10),
            "epochs": min(amount * each, total),
        }
        assert abs(steps - expected[unit]) <= (unit == "%")  # a share is rounded as a float is
        assert unit == "%" or steps == expected[unit]


@pytest.mark.parametrize("share", [0.05, 0.1, 0.2, 0.25, 0.5])
@pytest.mark.parametrize("total", [7, 21, 105, 1000, 99_999])
def test_a_share_is_that_of_earlier_runs(share, total):
    assert Warmup.parse(f"{100 * share:g}%").steps(total=total, epochs=1) == int(share * total)


@pytest.mark.parametrize("text", ["1 step", "1 epoch", "0.5 epochs", "2.5%", "0 steps", "0%"])
def test_other_spellings(text):
    assert Warmup.parse(text).amount == float(text.split(" ")[0].rstrip("%"))
    assert check_warmup(text, "warmup") == text


ODD = ["5", "0.1", "", "%", "five %", "-1%", "1e3 steps", "101%", "1.5 steps", "5 days", "1 %%", "9" * 99 + "%", "nan%"]
ODD += [5, 0.1, None, True, [], {}, "٥%", "2000000 epochs", "\x1b[2J%"]


@pytest.mark.parametrize("value", ODD)
def test_what_has_no_unit_is_refused_with_advice(value):
    with pytest.raises(ValueError, match=r'a\.yaml: warmup must be text such as "5%"') as error:
        check_warmup(value, "a.yaml: warmup")
    assert str(error.value).isprintable()
    if isinstance(value, str):
        with pytest.raises(ValueError, match=r"[Ww]arm-up"):
            Warmup.parse(value)


def test_an_unknown_unit_is_named():
    with pytest.raises(ValueError, match=r"one of %, steps, epochs, got 'days'"):
        Warmup(5, "days")
