"""Command-line flags for the fields of a configuration, by jsonargparse, with error messages of one line."""

from __future__ import annotations

import json
import os
import re
from argparse import Action, ArgumentError
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_loader

from vig_pyg._io.bounded_yaml import parse_yaml
from vig_pyg._io.dataclass_schema import checks_of
from vig_pyg._io.launcher import as_started
from vig_pyg._io.schema import Check, Scalar, nearest
from vig_pyg._io.text import error_text, terminal_text

#: Descriptions that would only repeat the choices or the name of a flag.
_PLAIN = ("one of ", "true or false", "text of at most ")
#: Similarity from which a mistyped flag certainly means another one: "--epocs" has 0.93 with "--epochs".
_NEARLY = 0.85
#: A help text, or a function that returns it.
Text = str | Callable[[], str]


set_loader("bounded", lambda text: parse_yaml(text, where="the value"), exceptions=(ValueError,))


class ConfigParser(ArgumentParser):
    """A parser with a flag for each field of a dataclass, such as `--batch-size`, or `--augmentation.flip` if nested.

    Args:
        config: The dataclass. The `Args` of its docstring are the help texts, and its types define the bounds.
        shortcuts: Short flags for single `options`, such as `--k` for `options.k`, with their help texts, or functions
            that return them (see `explain`).
        presets: The values of each preset that differ from the default, by dotted names.
        option_names: Function that returns the names of all `options`, for the message about an unknown flag.
        epilog: Lines below the flags, such as examples, which are kept as they are.

    Example:
        >>> from vig_pyg.engine.config import TrainConfig
        >>> parser = ConfigParser(TrainConfig, prog="train", description="Train.")
        >>> parser.parse_flags(["--batch-size", "8"])
        {'batch_size': 8}
    """

    def __init__(
        self,
        config: type,
        *,
        prog: str,
        description: str,
        shortcuts: Mapping[str, Text] | None = None,
        presets: Mapping[str, Mapping[str, Any]] | None = None,
        option_names: Callable[[], Collection[str]] = tuple,
        epilog: str = "",
    ) -> None:
        super().__init__(
            prog=prog,
            usage=f"{prog} [--FLAG VALUE ...]",
            description=description,
            epilog=epilog,
            exit_on_error=False,
            allow_abbrev=False,
            parser_mode="bounded",
            print_config=None,  # the parser's own implementation would ignore presets and files
            formatter_class=_Formatter,
        )
        self.shortcuts = dict(shortcuts or {})
        self.option_names = option_names
        self._late: list[tuple[Action, Callable[[], str]]] = []
        self.checks = _flat(checks_of(config), config)
        #: The group for flags that are not part of the configuration.
        self.run_flags = self.add_argument_group("Run")
        parts = {name: kind for name, kind in get_type_hints(config).items() if is_dataclass(kind)}
        every = {field.name for base in config.__bases__ if is_dataclass(base) for field in fields(base)}
        own = {field.name for field in fields(config)} - every
        self._group(config).add_class_arguments(config, skip=every | set(parts), as_group=False)
        short = self.add_argument_group("Short names of common options (--k 9 is --options.k 9)")
        for name, text in self.shortcuts.items():
            self.explain(short.add_argument(f"--{name}", type=Any, metavar="VALUE"), text)
        for name, kind in parts.items():
            self._group(kind).add_class_arguments(kind, name, as_group=False)
        if every:
            self._group(*config.__bases__).add_class_arguments(config, skip=own, as_group=False)
        for action in self._actions:
            _complete_help(action, self.checks, presets or {})

    def explain(self, action: Action, text: Text) -> None:
        """Set the help text of a flag; a function is called when the help is needed, because it may import much."""
        if callable(text):
            self._late.append((action, text))
        else:
            action.help = text

    def complete_help(self) -> None:
        """Call the functions of help texts."""
        for action, text in self._late:
            action.help = text()

    def format_help(self, *args: Any, **options: Any) -> str:
        self.complete_help()
        return str(super().format_help(*args, **options))

    def _group(self, config: Any) -> Any:
        """Start a group of the help, whose title is the first line of a docstring."""
        return self.add_argument_group((config.__doc__ or "").strip().splitlines()[0].rstrip("."))

    def parse_flags(self, argv: Sequence[str]) -> dict[str, Any]:
        """Return only the given values; each option is `options.NAME`, so that it is added to the options of a file.

        Raises:
            ValueError: If a flag is unknown or its value is wrong; the message names the flag, the value and the
                expected values.
        """
        argv = [_underscored(word) for word in argv]
        try:
            found = self.parse_args(argv, defaults=False).as_dict()
        except ArgumentError as error:
            raise ValueError(self._said(error, argv)) from error
        for key, check in self.checks.items():
            part, _, name = key.rpartition(".")
            given = found.get(part, {}) if part else found
            if name in given:
                check(given[name], f"--{_dashed(key)}")
        options = found.pop("options", {})
        options |= {name: found.pop(name) for name in self.shortcuts if name in found}
        return {**found, **{f"options.{name}": value for name, value in options.items()}}

    def _said(self, error: ArgumentError, argv: Sequence[str]) -> str:
        """Return an error message of one line; for a value out of range it is this library's message."""
        message = error_text(error)
        if unknown := re.match(r"(?i)unrecognized arguments: --(\S+)", message.replace("=", " ")):
            return f"Unknown flag {self._meant('--' + _dashed(unknown[1]))}: see {as_started(self.prog)} --help."
        if stray := re.match(r"(?i)unrecognized arguments: (\S+)", message):
            place = next((name for name in ("data", "train") if name in self.checks), "")
            meant = f" Did you mean --{place} {stray[1]}?" if place and os.path.exists(stray[1]) else ""
            see = f"see {as_started(self.prog)} --help."
            return f"Unexpected argument {stray[1]!r}: every value follows its flag; {see}{meant}"
        if lacking := re.match(r"argument --(\S+): expected (.*argument.*)", message):
            return f"{self._lacking(lacking[1], lacking[2], argv)}: see {as_started(self.prog)} --help."
        key = re.search(r'key "([\w.]+)"', message)
        if key and key[1] in self.checks:
            for flag, value in zip(argv, [*argv[1:], ""], strict=True):
                name, equals, rest = flag.partition("=")
                if name == f"--{key[1]}":
                    try:
                        self.checks[key[1]](rest if equals else value, f"--{_dashed(key[1])}")
                    except ValueError as ours:
                        return str(ours)
        return message

    def _meant(self, flag: str) -> str:
        """Return an unknown flag with the one that was probably meant, which may be an option of the network.

        The options are looked up, which imports the networks, only if no flag has nearly the same name, or if all words
        are spelled as in a longer flag: `--channels` is an option, not a mistyped `--in-channels`.
        """
        known = [_dashed(option) for action in self._actions for option in action.option_strings]
        if (same := _SYNONYMS.get(flag)) in known:
            return f"{flag!r} (did you mean {same!r}?)"
        close = get_close_matches(flag, known, n=1, cutoff=_NEARLY)
        if close and not set(flag[2:].split("-")) < set(close[0][2:].split("-")):
            return nearest(flag, known)
        options = {f"--{_dashed(name)}": f"--options.{_dashed(name)}" for name in self.option_names()}
        typed = f"--{flag[2:].removeprefix('options.')}"
        found = get_close_matches(typed, options, n=1, cutoff=_NEARLY)
        return (
            f"{terminal_text(flag, limit=60)!r} (did you mean {options[found[0]]!r}?)"
            if found
            else nearest(flag, known)
        )

    def _lacking(self, name: str, count: str, argv: Sequence[str]) -> str:
        """Return which flag has no value, and which values it may have."""
        typed = argv[-1] if argv and argv[-1].startswith(f"--{name}.") else f"--{name}"  # --options.k, not --options
        check = self.checks.get(typed[2:])
        told = check.expected if isinstance(check, Scalar) else "text"
        expected = f"{count} expected" if told.startswith("text") else told
        return f"{_dashed(typed)} needs a value ({expected})"


#: Flags of other tasks with those that mean nearly the same.
_SYNONYMS = {"--image-size": "--min-size", "--min-size": "--image-size", "--steps": "--epochs"}


class _Formatter(DefaultHelpFormatter):
    """A help formatter that shows the docstrings unchanged, and flags with dashes."""

    def _get_help_string(self, action: Action) -> str:
        return action.help or ""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Keep the lines of examples, and wrap other text."""
        if "\n" in text:
            return "".join(f"{indent}{line}" for line in text.splitlines(keepends=True))
        return str(super()._fill_text(text, width, indent))

    def _format_action_invocation(self, action: Action) -> str:
        """Write flags with dashes; the values beside them, such as `{step_decay,cosine}`, are accepted as they are."""
        return re.sub(r"--[\w.]+", lambda flag: _dashed(flag[0]), super()._format_action_invocation(action))


def _flat(checks: Mapping[str, Check], config: type) -> dict[str, Check]:
    """Return the checks by dotted names; the fields of a nested dataclass are `part.field`."""
    found: dict[str, Check] = {}
    for name, kind in get_type_hints(config).items():
        parts = checks_of(kind) if is_dataclass(kind) else {}  # type: ignore[arg-type]  # a class, not an instance
        found |= {f"{name}.{part}": check for part, check in parts.items()} or {name: checks[name]}
    return found


def _complete_help(action: Action, checks: Mapping[str, Check], presets: Mapping[str, Mapping[str, Any]]) -> None:
    """Append the bounds and the default to the help text from the docstring, with the values of presets."""
    check = checks.get(action.dest)
    if check is None:
        return
    notes = [check.expected] if isinstance(check, Scalar) and not check.expected.startswith(_PLAIN) else []
    others: dict[str, list[str]] = {}
    for preset, values in presets.items():
        if action.dest in values and values[action.dest] != action.default:
            others.setdefault(_shown(values[action.dest]), []).append(preset)
    usual = [] if action.required or (action.default is None and not others) else [_shown(action.default)]
    by_preset = [
        f"{value} with {', '.join(names[:-1])}{' and ' if names[1:] else ''}{names[-1]}"
        for value, names in others.items()
    ]
    if by_preset and usual:
        by_preset[0] = f"or {by_preset[0]}"
    if usual or by_preset:
        notes.append(f"default: {', '.join([*usual, *by_preset])}")
    action.required = False  # a file may contain the value
    text = as_started((action.help or "").replace("`", "").rstrip("."))  # of a command, such as that which lists names
    action.help = text + (f" ({'; '.join(notes)})" if notes else "")


def _shown(value: Any) -> str:
    """Return a default value in the form of the command line."""
    plain = json.loads(json.dumps(value))  # tuples become lists
    return yaml.safe_dump(plain, default_flow_style=True, sort_keys=False, width=1000).removesuffix("\n...\n").strip()


def _underscored(word: str) -> str:
    """Convert a flag to a field name with underscores; its value is not changed."""
    name, equals, value = word.partition("=")
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if word.startswith("--") else word


def _dashed(name: str) -> str:
    """Convert a field name to a flag with dashes; a placeholder in capitals is not changed."""
    return re.sub(r"(?<=[a-z])_(?=[a-z])", "-", name)
