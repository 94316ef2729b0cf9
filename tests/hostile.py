"""Strings that strangers may send: every way out of a line, a cell, a page or a label, and random mixtures."""

import random

NASTY = (
    "\x1b[2J\x1b[H",  # clears a terminal
    "\x1b]0;title\x07",
    "\x1b]8;;https://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "\x9b31m",  # the same in one byte
    "\r\noverwritten",
    "a\nb",
    "\t",
    "\x00",
    "\x7f\b\b\b",
    "\u202egpj.exe",  # right to left
    "\u2066\u2069\u200f\u061c",
    "\u200b\ufeff\u00ad",  # nothing to see
    "\u2028",
    "\u2029",
    "\x85",
    "\udc80\udcff",  # a file name that is no UTF-8
    "\ue000\U000f0000\uffff",
    "\U000e0041",
    "</script><script>alert(1)</script>",
    "<!--",
    "]]>",
    "{{data}}",
    "<img src=x onerror=alert(1)>",
    "&lt;&#60;&amp",
    "\"'",
    "| a | b |",
    "`",
    "``` ",
    "~~~",
    "[text](https://evil.example)",
    "![](https://evil.example/x.png)",
    "https://evil.example www.evil.example someone@evil.example",
    "*_#->+=1.",
    "---",
    "# heading",
    "\\",
    "\\frac",
    "$x",
    "$\\frac$",
    "$\\undefined{$",
    "\\$",
    "$$",
    "^{_",
    "%s{}%",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "@SUM(1)",
    " =1",
    "猫",
    "قطة",
    "e\u0301",
    "\U0001f408\u200d\u2b1b",
    "\ufe0f",
    "x" * 5000,
    "",
    " ",
)


def hostile(count: int, seed: int = 0) -> list[str]:
    """The nasty strings, and mixtures of them with random characters, `count` in all."""
    draw = random.Random(seed)
    found = list(NASTY[:count])
    while len(found) < count:
        parts = []
        for _ in range(draw.randint(1, 5)):
            kind = draw.random()
            if kind < 0.5:
                parts.append(draw.choice(NASTY)[:200])
            elif kind < 0.75:
                parts.append("".join(chr(draw.randrange(0x300)) for _ in range(draw.randint(1, 8))))
            else:
                parts.append("".join(chr(draw.randrange(0x110000)) for _ in range(draw.randint(1, 4))))
        found.append("".join(parts))
    return found
