"""Texts that match a regular expression: character classes, groups, alternatives and repetition."""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from random import Random

from test_infra.cdc.load.functions import python_regex

MOST_REPEATED = 8
"""How often something is repeated that may be repeated without end."""
_ANY = string.ascii_letters + string.digits + " .-_"
_CLASSES = {
    "d": string.digits,
    "w": string.ascii_letters + string.digits + "_",
    "s": " ",
}
_NOT_MADE = re.compile(r"\\[bBAmMyY1-9]|\(\?(?!:)")


class NoSuchPattern(ValueError):
    """A regular expression from which no text can be made here."""


@dataclass(frozen=True)
class _Piece:
    """Something that stands for some signs, so and so often: ``choices`` are signs, or sequences of pieces."""

    signs: str
    sequences: tuple[tuple[_Piece, ...], ...]
    least: int = 1
    most: int = 1

    def text(self, random: Random) -> str:
        return "".join(self._once(random) for _ in range(random.randint(self.least, self.most)))

    def _once(self, random: Random) -> str:
        if self.signs:
            return random.choice(self.signs)
        return "".join(piece.text(random) for piece in random.choice(self.sequences))


class Pattern:
    """A regular expression to make texts from.

    Args:
        regex: in PostgreSQL's or in Python's words.

    Raises:
        NoSuchPattern: it has something that is not understood, such as a look-ahead.
    """

    def __init__(self, regex: str) -> None:
        spelled = python_regex(regex)
        try:
            self._compiled = re.compile(spelled)
        except re.error as error:
            raise NoSuchPattern(f"{regex}: {error}") from None
        if _NOT_MADE.search(spelled.replace(r"\\", "")):
            raise NoSuchPattern(regex)
        reader = _Reader(spelled.replace(r"\Z", ""))
        self._sequences = reader.alternatives()
        if not reader.at_end:
            raise NoSuchPattern(regex)

    def text(self, random: Random) -> str:
        """One of its texts.

        Raises:
            NoSuchPattern: what was made does not match after all.
        """
        for _ in range(20):
            made = "".join(piece.text(random) for piece in random.choice(self._sequences))
            if self._compiled.search(made):
                return made
        raise NoSuchPattern(self._compiled.pattern)


class _Reader:
    """Reads a regular expression from left to right."""

    def __init__(self, regex: str) -> None:
        self._regex = regex
        self._place = 0

    @property
    def at_end(self) -> bool:
        return self._place >= len(self._regex)

    def alternatives(self) -> tuple[tuple[_Piece, ...], ...]:
        found = [self._sequence()]
        while self._skip("|"):
            found.append(self._sequence())
        return tuple(found)

    def _sequence(self) -> tuple[_Piece, ...]:
        pieces = []
        while not self.at_end and self._regex[self._place] not in "|)":
            if self._skip("^") or self._skip("$"):
                continue
            pieces.append(self._repeated(*self._single()))
        return tuple(pieces)

    def _single(self) -> tuple[str, tuple[tuple[_Piece, ...], ...]]:
        if self._skip("("):
            self._skip("?:")
            inner = self.alternatives()
            if not self._skip(")"):
                raise NoSuchPattern(self._regex)
            return "", inner
        if self._skip("["):
            return self._class(), ()
        if self._skip("."):
            return _ANY, ()
        return self._sign(), ()

    def _repeated(self, signs: str, sequences: tuple[tuple[_Piece, ...], ...]) -> _Piece:
        least, most = 1, 1
        if self._skip("*"):
            least, most = 0, MOST_REPEATED
        elif self._skip("+"):
            most = MOST_REPEATED
        elif self._skip("?"):
            least = 0
        elif counted := re.compile(r"\{(\d+)(,(\d*))?\}").match(self._regex, self._place):
            self._place = counted.end()
            least = int(counted[1])
            most = int(counted[3]) if counted[3] else least + (MOST_REPEATED if counted[2] else 0)
        self._skip("?")
        return _Piece(signs, sequences, least, most)

    def _class(self) -> str:
        negative, found = self._skip("^"), ""
        first = True
        while first or not self._skip("]"):
            if self.at_end:
                raise NoSuchPattern(self._regex)
            signs = self._sign()
            if (
                len(signs) == 1
                and self._regex[self._place : self._place + 1] == "-"
                and self._regex[self._place + 1 : self._place + 2] not in ("]", "")
            ):
                self._place += 1
                signs = "".join(map(chr, range(ord(signs), ord(self._sign()) + 1)))
            found += signs
            first = False
        left = "".join(sign for sign in _ANY + string.punctuation if sign not in found) if negative else found
        if not left:
            raise NoSuchPattern(self._regex)
        return left

    def _sign(self) -> str:
        """One sign, or the signs of a class such as all digits."""
        sign = self._regex[self._place]
        self._place += 1
        if sign != "\\":
            return sign
        escaped = self._regex[self._place : self._place + 1]
        self._place += 1
        if escaped.lower() in _CLASSES:
            inside = _CLASSES[escaped.lower()]
            return inside if escaped.islower() else "".join(one for one in _ANY if one not in inside)
        return {"n": "\n", "t": "\t", "r": "\r"}.get(escaped, escaped)

    def _skip(self, text: str) -> bool:
        if not self._regex.startswith(text, self._place):
            return False
        self._place += len(text)
        return True
