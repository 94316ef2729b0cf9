import logging
import random
import sys
import unicodedata

import pytest

from tests.hostile import hostile
from vig_pyg._fonts.names import clean_name, font_for, needs_layout, numbered, warn_numbered

#: A name in each script, the font that has it, and whether its letters need an order or a layout.
SCRIPTS = [
    ("猫", "Noto Sans CJK", False),
    ("ねこ", "Noto Sans CJK", False),
    ("ネコ", "Noto Sans CJK", False),
    ("고양이", "Noto Sans CJK", False),
    ("قطة", "Noto Sans Arabic", True),
    ("חתול", "Noto Sans Hebrew", True),
    ("बिल्ली", "Noto Sans Devanagari", True),
    ("பூனை", "Noto Sans Tamil", True),
    ("แมว", "Noto Sans Thai", False),
    ("ဒဂ", "Noto Sans Myanmar", True),
    ("ឆ្មា", "Noto Sans Khmer", True),
    ("кошка", "Noto Sans", False),  # there is no Noto Sans Cyrillic
    ("བྱི་ལ"[:2], "Noto Serif Tibetan", True),
    ("🐱🦆🧀🇺🇳🟥", "Noto Emoji", False),
]


@pytest.mark.parametrize(("name", "font", "laid_out"), SCRIPTS)
def test_the_font_of_a_script(name, font, laid_out):
    assert {font_for(char) for char in name} == {font}
    assert any(map(needs_layout, name)) == laid_out


@pytest.mark.parametrize("char", "\ufdfd☃→€①Ⅳ𝄞♞🂡🀄🅰🜀🡐㍿⠿𐀀\ue000\U000fffff\u0378")
def test_no_font_is_guessed(char):
    """Symbols outside of the blocks of emoji, old scripts, and codes without a character."""
    assert font_for(char) == ""


def test_fonts_have_names_that_exist():
    """The name of a font has the name of a script, and a script has one font."""
    rng = random.Random(0)
    found = {}
    for _ in range(3000):
        char = chr(rng.randrange(sys.maxunicode + 1)) if rng.random() < 0.5 else chr(rng.randrange(0x80, 0x3100))
        font, word = font_for(char), unicodedata.name(char, "").partition(" ")[0]
        assert font == "" or font.startswith("Noto ")
        if font.startswith("Noto Sans ") and font not in ("Noto Sans CJK", "Noto Sans Math"):
            assert word == font.split()[2].upper()
        if unicodedata.category(char).startswith("L"):
            assert found.setdefault(word, font) == font
    assert len(set(found.values())) > 20


def test_composed_and_without_shapeless_characters():
    assert clean_name(unicodedata.normalize("NFD", "고양이 été"), limit=40) == "고양이 été"
    assert clean_name("❤️", limit=40) == "❤"
    assert clean_name("می\u200cخواهم", limit=40) == "میخواهم"
    assert clean_name("a\u200cb", limit=40) == r"a\u200cb"  # in plain text it hides something
    for text in hostile(300):
        assert clean_name(text, limit=24).isprintable()
        assert len(clean_name(text, limit=24)) <= 24


def test_the_number_replaces_what_cannot_be_drawn():
    texts = ["cat", "猫", "猫 (cat)", "- 猫 -", "cat 猫猫猫 cat", "猫1"]
    shown = ["cat", "class 1", "class 2: … (cat)", "class 3", "class 4: cat … cat", "class 5: …1"]
    assert numbered(texts, {"猫"}, word="class", limit=40) == shown
    assert numbered(texts, set(), word="class", limit=40) == texts
    assert numbered(["猫" + "a" * 100], {"猫"}, word="class", limit=9) == ["clas…aaaa"]


def test_random_names_keep_their_number_and_nothing_unreadable():
    rng = random.Random(1)
    for _ in range(500):
        texts = ["".join(rng.choices("ab1 -猫犬", k=rng.randrange(1, 12))) for _ in range(5)]
        shown = numbered(texts, {"猫", "犬"}, word="class", limit=60)
        for i, (text, label) in enumerate(zip(texts, shown, strict=True)):
            if {"猫", "犬"} & set(text):
                assert label.startswith(f"class {i}")
                assert not {"猫", "犬"} & set(label)
            else:
                assert label == text
        assert numbered(shown, {"猫", "犬"}, word="class", limit=60) == shown


def test_one_warning_says_which_class_and_what_to_install(caplog):
    names = ["cat", *"猫犬鳥魚", "แมว"]
    missing = set("猫犬鳥魚แมว")
    with caplog.at_level(logging.WARNING):
        warn_numbered(names, numbered(names, missing, word="class", limit=9), missing, set(), remedy="pray")
    (record,) = caplog.records
    text = record.getMessage()
    assert '"class 1" is 猫, "class 2" is 犬, "class 3" is 鳥 and 2 more' in text
    assert "Noto Sans CJK (for 猫), Noto Sans Thai (for แ)" in text
    assert "pray" not in text


def test_a_missing_layout_has_its_own_remedy(caplog):
    warn_numbered(["قطة"], ["class 0"], set(), set("قطة"), remedy="install the layout")
    assert "install the layout" in caplog.text and "Noto" not in caplog.text


def test_nothing_is_said_if_all_names_are_shown(caplog):
    warn_numbered(["a"], ["a"], set("猫"), set("ق"), remedy="")
    assert not caplog.records


def warned(caplog, names, missing=frozenset(), disordered=frozenset()):
    """What is logged of these names; characters are missing, or need a layout."""
    caplog.clear()
    unreadable = set(missing) | set(disordered)
    shown = numbered(names, unreadable, word="class", limit=40)
    warn_numbered(names, shown, set(missing), set(disordered), remedy="install the layout")
    return caplog.text


def test_each_font_is_mentioned_once_in_a_process(caplog):
    assert "Noto Sans CJK (for 猫)" in warned(caplog, ["cat", "猫"], "猫")
    assert not warned(caplog, ["cat", "猫"], "猫")
    assert not warned(caplog, ["犬"], "犬")  # another character of the same font
    assert "Noto Sans Thai" in warned(caplog, ["猫", "แ"], "猫แ")
    assert not warned(caplog, ["แ", "猫"], "猫แ")
    assert "install the layout" in warned(caplog, ["قطة"], disordered="قطة")
    assert not warned(caplog, ["حصان"], disordered="حصان")


def test_a_new_process_or_test_is_warned_again(caplog):
    assert warned(caplog, ["猫"], "猫")


def test_a_character_without_a_known_font_is_named(caplog):
    text = warned(caplog, ["\ufdfd", "①"], "\ufdfd①")
    assert "U+FDFD ARABIC LIGATURE BISMILLAH AR-RAHMAN AR-RAHEEM" in text and "U+2460 CIRCLED DIGIT ONE" in text
    assert "Noto" not in text and "install " not in text
    assert not warned(caplog, ["\ufdfd"], "\ufdfd")
    both = warned(caplog, ["⠿ 猫"], "⠿猫")
    assert "install Noto Sans CJK (for 猫)" in both and "has ⠿ (U+283F BRAILLE PATTERN DOTS-123456)" in both


def test_a_name_of_which_only_single_letters_can_be_drawn_is_a_number():
    """Some fonts have one letter of a script; it alone would be no name."""
    shown = numbered(
        ["\u732b\u3068\u72ac\u306e\u5199\u771f", "\u732b (cat)"],
        set("\u732b\u3068\u72ac\u5199\u771f"),
        word="class",
        limit=40,
    )
    assert shown == ["class 0", "class 1: … (cat)"]
