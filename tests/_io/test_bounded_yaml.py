import time
import tracemalloc

import pytest
import yaml

from vig_pyg._io.bounded_yaml import NODE_LIMIT, YAML_LIMIT, parse_yaml, read_yaml

#: The classic: nine lines that stand for a billion words.
LAUGHS = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(8)
)
MERGES = "a0: &a0 {x: 1, y: 2}\n" + "".join(
    f"a{i + 1}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 9)}]}}\n" for i in range(9)
)


def test_plain_yaml_is_what_pyyaml_reads(tmp_path):
    for text in (
        "a: 1\nb: [1, 2.5, null, true, 'x']\nc: {d: e}\n",
        "base: &base {k: 9}\nother: {<<: *base, heads: 4}\nagain: *base\n",
        "x: 1.0e-3\ny: 0x10\nz: 2020-01-01\n# a comment\n",
        "text: |\n  two\n  lines\n",
        "{}",
    ):
        assert parse_yaml(text, where="here") == yaml.safe_load(text)
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf1: x\n")
    assert read_yaml(tmp_path / "a.yaml") == {"1": "x"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, f"more than {NODE_LIMIT} values"),
        (MERGES, f"more than {NODE_LIMIT} values"),
        ("&a [*a]", "a value that contains the alias"),
        ("a: &a {b: *a}", "a value that contains the alias"),
        ("&a\n? *a\n: 1", "a value that contains the alias"),
        ("[" * 30_000, "nested too deeply"),
        ("{a: " * 10_000, "nested too deeply"),
        ("- " * 30_000, "nested too deeply"),
        ("\n".join(" " * i + "a:" for i in range(300)), "nested too deeply"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("!!python/name:os.system ''", "could not determine a constructor"),
        ("a: !!python/tuple [1]", "could not determine a constructor"),
        ("!new {}", "could not determine a constructor"),
        ("a: 1\na: 2", "'a' occurs twice"),
        ("b: {c: 1, 'c': 2}", "'c' occurs twice"),
        ("? [a]\n: 1", "unhashable"),
        ("a: " + "9" * 5000, "5000 digits"),
        ("a: 0x" + "f" * 60_000, "60002 digits"),
        ("a: 0b_", "invalid literal"),
        ("a: 2020-99-99", "month must be"),
        (
            "a: [",
            r"not plain YAML: while .*node \(line 1, column 5\), .* found the end of the file \(line 1, column 5\)",
        ),
        ("a: b: c", "not plain YAML"),
        ("a: '\x1b[2J'", "not plain YAML"),
        ("a: 1\n---\nb: 2", r"expected a single document .*, but found another document \(line 2, column 1\)"),
        ("a: *nowhere", "undefined alias"),
        ("x" * (YAML_LIMIT + 1), "larger than 64 KiB"),
        ("%YAML 99.0\n---\na", "incompatible"),
    ],
)
def test_anything_else_is_refused_soon_and_in_little_memory(text, said):
    tracemalloc.start()
    start = time.process_time()
    with pytest.raises(ValueError, match=said) as error:
        parse_yaml(text, where="recipe.yaml")
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 20 and peak < 100 * 2**20
    assert str(error.value).startswith("recipe.yaml") and str(error.value).isprintable()


def test_the_largest_document_is_read_in_bounded_time():
    worst = ["[" + "1," * 9_000 + "]", "{" + ",".join(f"k{i}: 1" for i in range(6_000)) + "}", "'" + "x" * 60_000 + "'"]
    for text in worst:
        start = time.process_time()
        parse_yaml(text, where="here")
        assert time.process_time() - start < 20


@pytest.mark.parametrize(("content", "said"), [("- 1", "got a list"), ("", "got nothing"), ("3", "got a single value")])
def test_a_file_holds_a_mapping(tmp_path, content, said):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.yaml must contain a mapping from keys to values, {said}"):
        read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize("sign", ["", "-", "+"])
@pytest.mark.parametrize("digits", ["1", "12", "1.", "1.5", ".5", "0.25"])
@pytest.mark.parametrize("power", ["e-3", "E3", "e+3", "e0"])
def test_numbers_with_a_power_are_numbers(sign, digits, power):
    word = f"{sign}{digits}{power}"
    found = parse_yaml(f"a: {word}\nb: '{word}'\nc: x{word}", where="here")
    assert (found["a"], type(found["a"])) == (float(word), float)
    assert (found["b"], found["c"]) == (word, f"x{word}")
