"""Which trained model a user means."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from flows.trained import METHODS, TrainedMethod, is_trained, method_of, trained_method
from screening.errors import NotFoundError, SettingError
from screening.shipped_models import INSTALLED, read_shipped, shipped_name
from screening.trained_model import METHOD_PREFIXES, model_name
from stores.connect import Database
from stores.documents.model import version_of

if TYPE_CHECKING:
    from screening.trained_model import TrainedModel

__all__ = ["find_model", "model_named"]

_MOST_LISTED = 10


def find_model(database: Database, method: str, text: str | None) -> TrainedModel:
    """Return the model that a user means: a stored one, a file, one that is installed.

    A stored model goes before a file of the same name, which may lie in any folder, and both
    before the model of this name that is installed with the project.

    Parameters
    ----------
    database
        Where stored models are.
    method
        Name of the method, which the model must belong to.
    text
        ``NAME``, ``NAME@VERSION`` or a file; ``phonoscreen`` or its name for the one that is
        installed; None for the only one of the method, or where none is stored the installed one.

    Raises
    ------
    NotFoundError
        If there is no such model, or none of the method.
    SettingError
        If there are several and none is named, the model is of another method, or the name begins
        with that of no method.
    """
    from stores.model_files import read_model
    from stores.models import list_models, load_model

    wanted = trained_method(method)
    _check_method(text or "")
    known = list_models(database)
    installed = shipped_name(wanted.name, INSTALLED)
    own = {one.name for one in known if one.provenance.method == wanted.method}
    if text is None and not own and installed is not None:
        return read_shipped(wanted.name, installed)  # not a file that happens to have its name
    name = _only_one(own, wanted) if text is None else text
    whole = name if is_trained(name) else f"{wanted.name}:{name}"
    is_stored = any(whole in {one.name, one.model_id} for one in known)
    shipped = shipped_name(wanted.name, whole.partition(":")[2])
    if not is_stored and Path(name).is_file():
        model = read_model(Path(name))
    elif not is_stored and shipped is not None:
        model = read_shipped(wanted.name, shipped)
    else:
        model = load_model(database, whole)
    if model.method != wanted.method:
        raise SettingError(
            f"is a model of {method_of(model).name}, not of {wanted.name}",
            subject=name,
            hint=f"Use --method {method_of(model).name}",
        )
    return model


def model_named(
    database: Database, name: str, command: str = "models show {}"
) -> tuple[str, TrainedModel]:
    """Return a stored or installed model by its name, with or without its method, and its key.

    Parameters
    ----------
    database
        Where it is.
    name
        ``NAME``, with or without ``METHOD:`` before and ``@VERSION`` after it.
    command
        What was asked of ``phonoscreen``, with braces for the name: the advice where models of
        several methods have this name.

    Raises
    ------
    NotFoundError
        If there is none.
    SettingError
        If models of several methods have this name, or it begins with that of no method.
    """
    from stores.models import list_models, load_model, no_such_model

    _check_method(name)
    known = list_models(database)
    names = {text for one in known for text in (one.name, one.model_id)}
    is_whole = name.partition(":")[0] in METHOD_PREFIXES
    asked = [name] if is_whole else [f"{prefix}:{name}" for prefix in METHOD_PREFIXES]
    installed = {one: file for one in asked if (file := _installed(one)) is not None}
    fitting = [name] if is_whole else sorted({*names, *installed}.intersection(asked))
    if len(fitting) > 1:
        commands = " or ".join(f"phonoscreen {command.format(quote(one))}" for one in fitting)
        raise SettingError(
            f"models of {len(fitting)} methods have this name", subject=name, hint=f"Use {commands}"
        )
    if not fitting:
        raise no_such_model(name, known)
    chosen = fitting[0]
    if chosen in installed and chosen not in names:
        model = read_shipped(chosen.partition(":")[0], installed[chosen])
    else:
        model = load_model(database, chosen)
    return f"{model_name(model.method, model.name)}@{version_of(model.digest)}", model


def _installed(text: str) -> str | None:
    """Name of the installed model that a method and a name mean."""
    method, _, name = text.partition(":")
    return shipped_name(method, name)


def _check_method(text: str) -> None:
    """Refuse a name that begins like that of a method and is none's; a file may hold a colon."""
    method, colon, name = text.partition(":")
    if colon and method not in METHOD_PREFIXES and not Path(text).is_file():
        raise SettingError(
            f"no models are trained by a method {method!r}",
            subject=text,
            hint=f"Write {' or '.join(f'{one}:{name}' for one in METHODS)}, or the name alone",
        )


def _only_one(names: set[str], method: TrainedMethod) -> str:
    """Return the name of the only stored model of a method, whose newest version counts."""
    if not names:
        raise NotFoundError(
            f"no model of {method.name} is stored",
            subject="--model",
            hint=f"Train one: phonoscreen train {method.name}, or give a file",
        )
    if len(names) > 1:
        listed = ", ".join(sorted(names)[:_MOST_LISTED])
        raise SettingError(
            f"{len(names)} models of {method.name} are stored: {listed}",
            subject="--model",
            hint="Name one of them",
        )
    return next(iter(names))
