"""CIF files, block by block.

The file is split into values here, in linear time and with line numbers; only the cell, the
symmetry and the sites are kept. What follows never sees the rest of the file, which is where
CIF readers had their holes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from screening.errors import ParseError, ScreeningError, TooLargeError
from stores.importers.cif_structure import structure_from_tags
from stores.importers.records import Block, ReadLimits

__all__ = ["CifBlock", "read_cif", "split_cif"]

_MAX_LINE = 20_000
_SPACES = re.compile(r"\s+")
_WORD = re.compile(r"\S+")


@dataclass
class CifBlock:
    """The tags of one data block: single values, or the columns of loops."""

    name: str
    line: int
    tags: dict[str, list[str]] = field(default_factory=dict)
    error: ScreeningError | None = None


def read_cif(text: str, limits: ReadLimits) -> Iterator[Block]:
    """Read every block that has a cell or sites; a broken one does not stop those after it.

    Yields
    ------
    Block
        Named as in the file.

    Raises
    ------
    ParseError
        If no block describes a crystal.
    """
    found = False
    for block in split_cif(text):
        if block.error is None and not any(
            tag.startswith(("_cell_length", "_atom_site_fract")) for tag in block.tags
        ):
            continue
        found = True
        try:
            if block.error is not None:
                raise block.error
            yield block.name, structure_from_tags(block.tags, block.name, limits)
        except ScreeningError as error:
            yield block.name, error
    if not found:
        raise ParseError("no block with a cell and atoms")


@dataclass(frozen=True)
class _Token:
    """One value or keyword, where it stands, and whether it was quoted."""

    text: str
    line: int
    quoted: bool = False

    def is_tag(self) -> bool:
        return not self.quoted and self.text.startswith("_")

    def is_loop(self) -> bool:
        return not self.quoted and self.text.lower() == "loop_"

    def starts_block(self) -> bool:
        return not self.quoted and self.text.lower().startswith(("data_", "global_"))

    def is_value(self) -> bool:
        return not (self.is_tag() or self.is_loop() or self.starts_block())


def split_cif(text: str) -> list[CifBlock]:
    """Split a file into blocks of tags.

    Returns
    -------
    list of CifBlock
        A block that cannot be read carries its error; the next one starts afresh.

    Raises
    ------
    ParseError
        If nothing in the file starts a block.
    """
    chunks = _chunks(text)
    if not chunks:
        raise ParseError("no data block", hint="A CIF starts with data_ and a name")
    blocks = []
    for name, line, lines in chunks:
        block = CifBlock(name, line)
        try:
            _fill(block, list(_tokens(lines, line)))
        except ScreeningError as error:
            block.error = error
        blocks.append(block)
    return blocks


def _chunks(text: str) -> list[tuple[str, int, list[str]]]:
    """Lines of each block: its name, the number of its first line, the lines after the name."""
    chunks: list[tuple[str, int, list[str]]] = []
    in_text = False
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith(";"):
            in_text = not in_text
        if not in_text and line.lower().startswith("data_"):
            name, _, rest = line[5:].partition(" ")
            chunks.append((name.strip(), number, [rest]))
        elif chunks:
            chunks[-1][2].append(line)
    return chunks


def _tokens(lines: list[str], first: int) -> Iterator[_Token]:
    """Values and keywords in the order of the file, in one pass."""
    text_lines: list[str] | None = None
    for number, line in enumerate(lines, start=first):
        if len(line) > _MAX_LINE:
            raise TooLargeError(f"line {number} has {len(line)} characters")
        rest = line
        if line.startswith(";"):
            if text_lines is None:
                text_lines = [line[1:]]
                continue
            yield _Token("\n".join(text_lines), number, quoted=True)
            text_lines, rest = None, line[1:]
        if text_lines is not None:
            text_lines.append(line)
            continue
        yield from _line_tokens(rest, number)
    if text_lines is not None:
        raise ParseError(f"the text before line {first + len(lines)} is not closed by a semicolon")


def _line_tokens(line: str, number: int) -> Iterator[_Token]:
    """Values of one line outside a text field."""
    position = 0
    while True:
        space = _SPACES.match(line, position)
        position = space.end() if space else position
        if position >= len(line) or line[position] == "#":
            return
        quote = line[position]
        if quote in "'\"":
            end = _closing_quote(line, position + 1, quote)
            if end < 0:
                raise ParseError(f"line {number}: a quote is not closed")
            yield _Token(line[position + 1 : end], number, quoted=True)
            position = end + 1
            continue
        word = _WORD.match(line, position)
        assert word is not None
        yield _Token(word.group(), number)
        position = word.end()


def _closing_quote(line: str, start: int, quote: str) -> int:
    """Index of the quote before a space or the end of the line, or -1."""
    end = line.find(quote, start)
    while end >= 0 and end + 1 < len(line) and not line[end + 1].isspace():
        end = line.find(quote, end + 1)
    return end


def _fill(block: CifBlock, tokens: list[_Token]) -> None:
    """Sort tokens into single values and columns."""
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if token.is_loop():
            index = _loop(block, tokens, index + 1)
        elif token.is_tag():
            if index + 1 >= len(tokens) or not tokens[index + 1].is_value():
                raise ParseError(f"line {token.line}: {token.text[:60]} has no value")
            _set(block, token, [tokens[index + 1].text])
            index += 2
        else:
            raise ParseError(f"line {token.line}: {token.text[:60]!r} belongs to no tag")


def _loop(block: CifBlock, tokens: list[_Token], index: int) -> int:
    """Read one loop; returns the index after it."""
    start = index
    while index < len(tokens) and tokens[index].is_tag():
        index += 1
    names = tokens[start:index]
    first = index
    while index < len(tokens) and tokens[index].is_value():
        index += 1
    values = [token.text for token in tokens[first:index]]
    if not names or len(values) % len(names):
        line = tokens[min(start, len(tokens) - 1)].line if tokens else block.line
        raise ParseError(f"line {line}: a loop of {len(names)} columns has {len(values)} values")
    for column, name in enumerate(names):
        _set(block, name, values[column :: len(names)])
    return index


def _set(block: CifBlock, token: _Token, values: list[str]) -> None:
    """Keep a tag that appears once."""
    tag = token.text.lower().replace(".", "_")
    if block.tags.get(tag, values) != values:
        raise ParseError(f"line {token.line}: {tag[:60]} is given twice")
    block.tags[tag] = values
