"""Which of the names in files name a crystal."""

from __future__ import annotations

import re

from pymatgen.core import Composition

__all__ = ["meaningful_label"]

_FORMULA = re.compile(r"(?:[A-Z][a-z]?(?:\d{1,6}(?:\.\d{1,6})?)?[\s_]*){1,100}")
_GENERIC = re.compile(
    r"(?:image|structure|frame|phase|vesta[ _]phase|block|crystal|cell|unit ?cell|poscar|contcar"
    r"|unknown|untitled|unnamed|none|i|x)?[ _-]?\d{0,3}"
    r"|(?:generated|created|written|made) (?:by|with|from) .*",
    re.IGNORECASE,
)


def meaningful_label(text: str | None, formula: str) -> str | None:
    """Return a name, or None where programs wrote the formula or a word without a meaning.

    Parameters
    ----------
    text
        Name of a block, or a comment.
    formula
        Reduced formula of the crystal.

    Examples
    --------
    >>> meaningful_label("anatase", "TiO2")
    'anatase'
    >>> [meaningful_label(text, "TiO2") for text in ("Ti4 O8", "Ti O", "image0", None)]
    [None, None, None, None]
    """
    words = " ".join((text or "").split())
    return None if _GENERIC.fullmatch(words) or _is_formula(words, formula) else words


def _is_formula(text: str, formula: str) -> bool:
    """Whether a text is the formula in any notation, or lists its elements as ASE does."""
    if not _FORMULA.fullmatch(text):
        return False
    try:
        named, own = Composition(text.replace("_", " ")), Composition(formula)
    except (KeyError, ValueError):
        return False
    lists_elements = not any(char.isdigit() for char in text) and named.elements == own.elements
    return named.reduced_formula == own.reduced_formula or (" " in text and lists_elements)
