"""Protocol buffers' text format, read strictly into plain values: every field is a list, in the order it was written.

Only the form is known here, no message: names, numbers, words, texts and nested messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from loopwright.errors import BadSource

Scalar = str | float | int | bool
MOST_DEPTH = 32
_TOKEN = re.compile(
    r"""(?P<space>(?:\s|\#[^\n]*)+)
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>-?(?:0[xX][0-9a-fA-F]+|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[fF]?)(?![A-Za-z0-9_.])
      | (?P<word>-?[A-Za-z_][A-Za-z0-9_]*|\[[A-Za-z0-9_./-]*[./][A-Za-z0-9_./-]*\])
      | (?P<sign>[{}<>:,;\[\]])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)", re.DOTALL)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_CLOSING = {"{": "}", "<": ">"}


@dataclass(frozen=True, slots=True)
class Word:
    """An enum's name."""

    name: str


Message = dict[str, list["Scalar | Word | Message"]]


def parse(text: str) -> Message:
    """Raises `BadSource` with the line.

    >>> parse('feature { name: "fare" type: FLOAT } # done')
    {'feature': [{'name': ['fare'], 'type': [Word(name='FLOAT')]}]}
    """
    return _Reader(text).message(None, 0)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        at = 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._refused(f"{text[at : at + 20]!r} cannot be read", at)
            if match.lastgroup != "space":
                self.tokens.append((str(match.lastgroup), match.group(), at))
            at = match.end()
        self.tokens.append(("end", "the end", len(text)))
        self.at = 0

    def message(self, closing: str | None, depth: int) -> Message:
        if depth > MOST_DEPTH:
            raise self._refused("messages are nested too deeply", self.tokens[self.at][2])
        found: Message = {}
        while not self._is(closing or "the end"):
            kind, name, at = self._next()
            if kind == "end":
                raise self._refused(f"it ends where {closing} should be", at)
            if kind != "word":
                raise self._refused(f"{name!r} where a field should begin", at)
            found.setdefault(name, []).extend(self._values(depth))
            if self._is(",") or self._is(";"):
                self._next()
        self._next()
        return found

    def _values(self, depth: int) -> list[Scalar | Word | Message]:
        colon = self._is(":")
        if colon:
            self._next()
            if self._is("["):
                return self._several(depth)
        kind, said, at = self.tokens[self.at]
        if said in _CLOSING and kind == "sign":
            return [self._nested(depth)]
        if not colon:
            raise self._refused(f"{said!r} where : or {{ should be", at)
        return [self._scalar()]

    def _several(self, depth: int) -> list[Scalar | Word | Message]:
        self._next()
        found: list[Scalar | Word | Message] = []
        while not self._is("]"):
            if self.tokens[self.at][0] == "end":
                raise self._refused("it ends within [", self.tokens[self.at][2])
            found.append(self._nested(depth) if self.tokens[self.at][1] in _CLOSING else self._scalar())
            if self._is(","):
                self._next()
        self._next()
        return found

    def _nested(self, depth: int) -> Message:
        return self.message(_CLOSING[self._next()[1]], depth + 1)

    def _scalar(self) -> Scalar | Word:
        kind, said, at = self._next()
        if kind == "text":
            parts = [said]
            while self.tokens[self.at][0] == "text":
                parts.append(self._next()[1])
            return "".join(map(_text, parts))
        if kind == "number":
            return _number(said)
        if kind != "word" or said.startswith("["):
            raise self._refused(f"{said!r} where a value should be", at)
        endless = {"inf": float("inf"), "infinity": float("inf"), "-inf": -float("inf"), "nan": float("nan")}
        return {"true": True, "false": False, **endless}.get(said, Word(said))

    def _is(self, said: str) -> bool:
        kind, found, _ = self.tokens[self.at]
        return found == said and kind in ("sign", "end")

    def _next(self) -> tuple[str, str, int]:
        token = self.tokens[self.at]
        self.at = min(self.at + 1, len(self.tokens) - 1)
        return token

    def _refused(self, what: str, at: int) -> BadSource:
        line = self.text.count("\n", 0, at) + 1
        return BadSource(what, where=f"line {line}", fix="give a file in the text format of protocol buffers")


def _text(said: str) -> str:
    def unescaped(match: re.Match[bytes]) -> bytes:
        code = match.group(1)
        if code[:1] == b"x" and len(code) > 1:
            return bytes([int(code[1:], 16)])
        return bytes([int(code, 8) & 255]) if code.isdigit() else _PLAIN.get(code, code)

    return _ESCAPE.sub(unescaped, said[1:-1].encode()).decode("utf-8", "replace")


def _number(said: str) -> int | float:
    if re.fullmatch(r"-?[0-9]+", said):
        return int(said)
    return int(said, 16) if "x" in said.lower() else float(said.rstrip("fF"))
