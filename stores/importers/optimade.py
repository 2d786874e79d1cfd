"""Structures of OPTIMADE databases, over HTTPS or from a stored response."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import Request, urlopen

from screening.errors import (
    DisorderedError,
    NotPeriodicError,
    ParseError,
    ScreeningError,
    ServiceUnavailableError,
    TooLargeError,
)
from stores.importers.records import (
    Block,
    Parsed,
    ReadLimits,
    cartesian_structure,
    checked_element,
    finite_array,
)
from stores.importers.structure_json import load_json

__all__ = ["fetch_optimade", "is_optimade", "structures_of_response"]

_FIELDS = (
    "lattice_vectors,cartesian_site_positions,species,species_at_sites,"
    "dimension_types,chemical_formula_reduced,structure_features"
)
_MAX_RESPONSE_BYTES = 50_000_000
_MAX_PAGES = 10_000


def is_optimade(data: Any) -> bool:
    """Whether loaded JSON is a response of an OPTIMADE ``/structures`` endpoint."""
    entries = data.get("data") if isinstance(data, Mapping) else None
    entries = [entries] if isinstance(entries, Mapping) else entries
    return isinstance(entries, list) and any(
        isinstance(entry, Mapping) and entry.get("type") == "structures" for entry in entries
    )


def structures_of_response(data: Mapping[str, Any], limits: ReadLimits) -> Iterator[Block]:
    """Convert every entry of a response; a broken one does not stop those after it."""
    entries = data.get("data")
    for entry in entries if isinstance(entries, list) else [entries]:
        name = str(entry.get("id", "")) if isinstance(entry, Mapping) else ""
        try:
            yield name, _parsed(entry, limits)
        except ScreeningError as error:
            yield name, error
        except Exception as error:  # noqa: BLE001 - a malformed entry, and this one only
            yield name, ParseError(f"{type(error).__name__}: {error}")


def _parsed(entry: Any, limits: ReadLimits) -> Parsed:
    """One entry's crystal."""
    attributes = entry.get("attributes") if isinstance(entry, Mapping) else None
    if not isinstance(attributes, Mapping):
        raise ParseError("the entry has no attributes")
    if list(attributes.get("dimension_types") or [1, 1, 1]) != [1, 1, 1]:
        raise NotPeriodicError(f"dimension_types is {attributes['dimension_types']}")
    names = attributes.get("species_at_sites")
    if not isinstance(names, list) or not names:
        raise ParseError("species_at_sites is missing")
    if len(names) > limits.structure.max_atoms:
        raise TooLargeError(f"{len(names)} atoms, more than {limits.structure.max_atoms}")
    elements = _elements(attributes.get("species"))
    symbols = [checked_element(elements.get(str(n), str(n)), "species_at_sites") for n in names]
    lattice = finite_array(attributes.get("lattice_vectors"), (3, 3), "lattice_vectors")
    positions = finite_array(
        attributes.get("cartesian_site_positions"), (len(names), 3), "cartesian_site_positions"
    )
    structure = cartesian_structure(lattice, symbols, positions)
    return Parsed(structure, label=str(entry.get("id") or "") or None)


def _elements(species: Any) -> dict[str, str]:
    """Element of every species that is one."""
    if not isinstance(species, list):
        return {}
    found = {}
    for item in species:
        if not isinstance(item, Mapping):
            raise ParseError("species is malformed")
        symbols = item.get("chemical_symbols")
        concentration = item.get("concentration", [1.0])
        if symbols is None or len(symbols) != 1 or concentration != [1.0] or item.get("attached"):
            raise DisorderedError(f"species {str(item.get('name'))[:20]!r} is no single element")
        found[str(item.get("name"))] = str(symbols[0])
    return found


def fetch_optimade(
    base_url: str,
    query: str,
    limits: ReadLimits,
    *,
    page_size: int = 100,
    get: Callable[[str], Any] | None = None,
) -> Iterator[Block]:
    """Ask an OPTIMADE provider, page by page, as far as the result is consumed.

    Parameters
    ----------
    base_url
        The provider's versioned address, such as ``https://optimade.materialsproject.org/v1``.
    query
        A filter such as ``elements HAS ALL "Ti","O" AND nelements=2``.
    limits
        What may be read.
    page_size
        Entries per request.
    get
        Returns the loaded JSON of an address; the network by default.

    Yields
    ------
    Block
        Named by the provider's id.

    Raises
    ------
    ServiceUnavailableError
        If the provider cannot be reached or answers with an error.
    """
    fetch = get or _get_json
    parameters = {"filter": query, "response_fields": _FIELDS, "page_limit": str(page_size)}
    url: str | None = f"{base_url.rstrip('/')}/structures?{urlencode(parameters)}"
    origin = urlsplit(base_url)
    for _ in range(_MAX_PAGES):
        if url is None:
            return
        page = fetch(url)
        if not isinstance(page, Mapping):
            raise ServiceUnavailableError("the answer is no OPTIMADE response", subject=base_url)
        yield from structures_of_response({"data": page.get("data") or []}, limits)
        url = _next_page(page, url)
        if url is not None and urlsplit(url)[:2] != origin[:2]:
            raise ServiceUnavailableError("the next page is on another server", subject=base_url)


def _next_page(page: Mapping[str, Any], url: str) -> str | None:
    """Address of the next page, a string or an object with ``href``."""
    links = page.get("links")
    following = links.get("next") if isinstance(links, Mapping) else None
    if isinstance(following, Mapping):
        following = following.get("href")
    return urljoin(url, following) if isinstance(following, str) and following else None


def _get_json(url: str) -> Any:
    """Answer of a server as plain JSON."""
    if urlsplit(url).scheme not in {"https", "http"}:
        raise ServiceUnavailableError("not an http address", subject=url[:200])
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - checked above
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - checked above
            data = answer.read(_MAX_RESPONSE_BYTES + 1)
    except HTTPError as error:
        raise ServiceUnavailableError(f"the provider answers {error.code}", subject=url) from error
    except (URLError, OSError) as error:
        raise ServiceUnavailableError(
            f"the provider cannot be reached: {error}",
            subject=url,
            hint="Check the network, or import files",
        ) from error
    if len(data) > _MAX_RESPONSE_BYTES:
        raise TooLargeError("the answer is too large", subject=url, hint="Use smaller pages")
    try:
        return load_json(data.decode("utf-8"))
    except (ScreeningError, ValueError) as error:
        raise ServiceUnavailableError(f"the answer is no JSON: {error}", subject=url) from error
