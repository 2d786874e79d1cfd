"""Which compositions a training can do without, its elements being learned from others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["dispensable", "elements_by_group"]


def dispensable(
    names: Sequence[str],
    elements: Mapping[str, frozenset[int]],
    known: frozenset[int] = frozenset(),
) -> Iterator[str]:
    """Yield compositions that can all be held out and leave every element in others.

    Parameters
    ----------
    names
        Those that may be held out, in the order in which they are tried.
    elements
        Atomic numbers of every composition, of those that stay too.
    known
        Atomic numbers that nobody has to keep: they were learned before.

    Examples
    --------
    >>> elements = {"NaCl": frozenset({11, 17}), "KCl": frozenset({17, 19}), "Na": frozenset({11})}
    >>> list(dispensable(["NaCl", "KCl", "Na"], elements))
    ['NaCl']
    >>> list(dispensable(["KCl", "Na"], elements, known=frozenset({19})))
    ['KCl', 'Na']
    """
    left = Counter(one for own in elements.values() for one in own)
    for name in names:
        if all(left[one] > 1 for one in elements[name] - known):
            left.subtract(elements[name])
            yield name


def elements_by_group(
    members: Iterable[tuple[str, Iterable[int]]],
) -> dict[str, frozenset[int]]:
    """Collect atomic numbers by composition, of members that name theirs and have some.

    Examples
    --------
    >>> found = elements_by_group([("NaCl", [11, 17, 11]), ("NaCl", [17])])
    >>> {name: sorted(own) for name, own in found.items()}
    {'NaCl': [11, 17]}
    """
    found: dict[str, frozenset[int]] = {}
    for name, numbers in members:
        found[name] = found.get(name, frozenset()) | frozenset(numbers)
    return found
