"""Every command's help has its purpose and examples, and the examples are accepted by the command itself."""

import argparse
import re
import shlex
from functools import lru_cache

import pytest

from vig_pyg.cli import make_parser
from vig_pyg.engine.config_parser import ConfigParser


@lru_cache
def parsers():
    """The parser of each command by its words; those of training commands are made when they run."""
    found = {}

    def walk(words, parser):
        found[words] = make() if (make := parser.get_default("make_parser")) else parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, part in action.choices.items():
                    walk((*words, name), part)

    walk((), make_parser())
    return found


WORDS = [words for words in parsers() if words]


def examples(words):
    """The commands below "example:" or "examples:", without what they do."""
    lines = parsers()[words].format_help().splitlines()
    start = next(i for i, line in enumerate(lines) if re.search("examples?:$", line))
    rest = lines[start + 1 :]
    return [re.split(r" {3,}", line[2:])[0] for line in rest[: (*rest, "").index("")] if line[2] != " "]


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_help_of_a_command_starts_with_its_purpose(words):
    usage, purpose, *_ = re.split(r"\n\s*\n", parsers()[words].format_help())
    assert usage.startswith("usage: vig-pyg")
    assert re.match(r"[A-Z][^\n]{10,}", purpose) and purpose.rstrip().endswith(".")


@pytest.mark.parametrize("words", parsers(), ids=" ".join)
def test_the_examples_of_a_help_are_accepted(words):
    shown = examples(words)
    assert shown and len(set(shown)) == len(shown)
    for line in shown:
        command, *rest = shlex.split(re.split("[>;]", line)[0])
        assert (command, *rest)[: len(words) + 1] == ("vig-pyg", *words)
        own = next(known for known in sorted(parsers(), key=len, reverse=True) if tuple(rest[: len(known)]) == known)
        parser, flags = parsers()[own], rest[len(own) :]
        given = parser.parse_flags(flags) if isinstance(parser, ConfigParser) else vars(parser.parse_args(flags))
        assert given or not flags


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_the_values_in_a_help_are_accepted_by_the_parser(words):
    parser = parsers()[words]
    shown = re.findall(
        r"^ +(?:-\w[^,\n]*, )?--([\w.-]+) (?:\[\w+ \.\.\.\] )?\{([^}\n]+)\}", parser.format_help(), re.MULTILINE
    )
    flags = {flag.replace("-", "_"): values.split(",") for flag, values in shown}
    chosen = {action.dest for action in parser._actions if action.option_strings and action.choices is not None}
    assert chosen <= set(flags) and (flags or not isinstance(parser, ConfigParser))  # no list is missed
    for flag, values in flags.items():
        for value in values:
            if isinstance(parser, ConfigParser):
                assert list(parser.parse_flags([f"--{flag.replace('_', '-')}", value])) == [flag.partition(".")[0]]
            else:
                action = next(action for action in parser._actions if action.dest == flag)
                assert value in map(str, action.choices)


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_no_line_of_examples_is_longer_than_a_wide_terminal(words):
    text = parsers()[words].format_help()
    assert max(map(len, text[text.index("example") :].splitlines())) <= 110


@pytest.mark.parametrize("words", [(task, part) for task in ("detect", "segment") for part in ("predict", "evaluate")])
def test_the_help_of_a_task_names_no_weights_of_another(words):
    text = " ".join(parsers()[words].format_help().split())
    assert "pvig_small" not in text and f"a run folder of `vig-pyg {words[0]} train`" in text


@pytest.mark.parametrize("words", WORDS, ids=" ".join)
def test_a_help_speaks_of_presets_only_if_there_are_some(words):
    text = parsers()[words].format_help()
    assert ("override the preset" in text) == ("--preset PRESET" in text)
