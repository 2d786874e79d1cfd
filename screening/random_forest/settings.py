"""Settings of models that predict force constants from descriptors of pairs of atoms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from math import inf, isfinite
from typing import Any, Literal, get_args

from screening.errors import SettingError

__all__ = [
    "ANEW",
    "INTERVAL_TEMPERATURES_K",
    "MOST_TENSORS",
    "Emphasis",
    "OnSite",
    "RandomForestSettings",
    "Variant",
]

ANEW = "Export the model again from where it was trained, or train it anew"
"""What to do about a model whose numbers are not whole."""

INTERVAL_TEMPERATURES_K = (300.0, 1000.0)
"""Where predictions state intervals."""

MOST_TENSORS = 2000
"""Of all pairs of elements together: a fit takes the cube of their number in time, its square in
memory."""

Variant = Literal["auto", "rf_component", "rf_multi", "rf_frame", "tensor_ridge"]
OnSite = Literal["sum_rule", "model"]
Emphasis = Literal["soft_modes", "components"]

_LEAST_FOLDS = 2
_AT_LEAST = (  # a number, the other one that bounds it, and by how many it must be more
    ("n_trees", "n_members", 0),
    ("n_folds", "n_inner_folds", 1),
    ("n_folds", "n_members", 1),
    ("min_structures", "n_folds", 0),
)
_LONGEST_ANGSTROM = 50.0  # neighbours beyond would fill the memory
_CHOICES: dict[str, tuple[str, ...]] = {
    "variant": get_args(Variant),
    "on_site": get_args(OnSite),
    "emphasis": get_args(Emphasis),
    "images": ("smooth", "block"),
    "repair_order": ("project_then_clip", "clip_then_project"),
}


@dataclass(frozen=True)
class RandomForestSettings:
    """How force constants are learned, and what is calibrated.

    Attributes
    ----------
    variant
        ``rf_component``: the published reading, each component of a block a row of its own.
        ``rf_multi``: all components at once. ``rf_frame``: a forest in the frame of the
        descriptor's eigenvectors. ``tensor_ridge``: linear in tensors that turn with the
        crystal. ``auto``: for every pair of elements the better of the last two, found on folds
        within the training set. The last three predict the same for a turned crystal.
    radii_angstrom
        Widths in Å of the Gaussians that forests see.
    cutoff_angstrom
        Radius in Å of the sphere they are summed over.
    images
        ``smooth``: all images within the sphere. ``block``: the published block of cells, whose
        result depends on which image of an atom a file lists.
    three_body, environment
        Whether the ridge sees paths over third atoms, and products of its tensors with
        coordination numbers. Paths grow with the cube of the number of elements: None takes
        them where all tensors together are at most `MOST_TENSORS`, which is up to four elements.
    bond_cutoff_angstrom, three_body_cutoff_angstrom
        Reach in Å of the tensors of bonds and of each bond of a path.
    emphasis
        What the ridge's squares and the choices weigh: ``soft_modes`` measures a Hessian's error
        in units of the Hessian itself, as entropies do; ``components`` all components alike.
    soft_mode_floor
        Eigenvalues below this fraction of their mean weigh no more than at it.
    ridge_strengths
        Penalties, as fractions of the mean eigenvalue of the normal matrix, to choose among.
    on_site
        Blocks on the diagonal from the acoustic sum rule or by a model of their own.
    correct_spectrum
        Whether frequencies are corrected by what held-out structures say on average.
    repair_order
        See `screening.hessians.repair_hessian`.
    n_trees, max_features, n_jobs
        Trees of a forest, share of the features that a split sees, and processes, which change no
        number and are not stored.
    n_folds, n_inner_folds
        Folds for scores and calibration, and within them for choices; by structure. Of more than
        ten pairs of elements there are two inner ones whatever is asked for.
    n_members
        Parts of the trees, or fits without a part of the structures, that show the spread.
    seed
        Of folds and forests.
    temperatures_k
        Where intervals are calibrated, in K; `INTERVAL_TEMPERATURES_K` are among them.
    coverage
        Probability that a calibrated interval holds the truth.
    duplicate_threshold
        Distance of fingerprints below which of two structures one is left out.
    min_structures
        Least number of different structures.

    Raises
    ------
    SettingError
        If a value is unknown or out of range.

    Examples
    --------
    >>> settings = RandomForestSettings(n_trees=50)
    >>> RandomForestSettings.from_dict(settings.as_dict()) == settings
    True
    """

    variant: Variant = "auto"
    radii_angstrom: tuple[float, ...] = (*(1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0, 20.0),)
    cutoff_angstrom: float = 8.0
    images: Literal["smooth", "block"] = "smooth"
    three_body: bool | None = None
    environment: bool = False
    bond_cutoff_angstrom: float = 6.0
    three_body_cutoff_angstrom: float = 5.0
    emphasis: Emphasis = "soft_modes"
    soft_mode_floor: float = 0.04
    ridge_strengths: tuple[float, ...] = (1e-3, 1e-2, 3e-2)
    on_site: OnSite = "sum_rule"
    correct_spectrum: bool = True
    repair_order: Literal["project_then_clip", "clip_then_project"] = "project_then_clip"
    n_trees: int = 100
    max_features: float = 0.4
    n_jobs: int = 2
    n_folds: int = 10
    n_inner_folds: int = 3
    n_members: int = 4
    seed: int = 0
    temperatures_k: tuple[float, ...] = (
        0.0,
        50.0,
        100.0,
        200.0,
        300.0,
        500.0,
        700.0,
        1000.0,
        1500.0,
    )
    coverage: float = 0.9
    duplicate_threshold: float = 0.35
    min_structures: int = 10

    def __post_init__(self) -> None:
        for name in ("radii_angstrom", "ridge_strengths", "temperatures_k"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise SettingError(
                    f"{getattr(self, name)!r} is not known",
                    subject=name,
                    hint=f"Choose one of {', '.join(known)}",
                )
        self._check_numbers()
        self._check_counts()
        if self.on_site == "model" and not self.variant.startswith("rf_"):
            raise SettingError(
                f"{self.variant} has no model of blocks on the diagonal",
                subject="on_site",
                hint="Take the sum rule, or one of the forests",
            )

    def _check_numbers(self) -> None:
        ranges = {
            "cutoff_angstrom": (0.0, _LONGEST_ANGSTROM),
            "bond_cutoff_angstrom": (2.0, _LONGEST_ANGSTROM),
            "three_body_cutoff_angstrom": (2.0, _LONGEST_ANGSTROM),
            "soft_mode_floor": (0.0, inf),
            "max_features": (0.0, 1.0),
            "coverage": (0.0, 1.0),
            "duplicate_threshold": (-1.0, inf),
        }
        for name, (low, high) in ranges.items():
            value = float(getattr(self, name))
            at_most = name == "max_features" and value == high
            if not ((isfinite(value) and low < value < high) or at_most):
                raise SettingError(
                    f"{value} is not between {low:g} and {high:g}",
                    subject=name,
                    hint="Give a number inside of this range",
                )
        for name in ("radii_angstrom", "ridge_strengths"):
            values = getattr(self, name)
            if not values or not all(isfinite(x) and x > 0.0 for x in values):
                raise SettingError(
                    f"{values} are not positive numbers", subject=name, hint="Give at least one"
                )
        kelvin = self.temperatures_k
        if not all(0.0 <= x < inf for x in kelvin) or list(kelvin) != sorted(set(kelvin)):
            raise SettingError(
                f"{kelvin} K are not ascending temperatures",
                subject="temperatures_k",
                hint="Give numbers from zero on, ascending",
            )
        missing = sorted(set(INTERVAL_TEMPERATURES_K) - set(self.temperatures_k))
        if missing:
            raise SettingError(
                f"{missing} K are not among the temperatures",
                subject="temperatures_k",
                hint="Predictions state intervals there: add them",
            )

    def _check_counts(self) -> None:
        least = {
            "n_trees": 1,
            "n_jobs": 1,
            "n_folds": _LEAST_FOLDS,
            "n_inner_folds": _LEAST_FOLDS,
            "n_members": _LEAST_FOLDS,
            "seed": 0,
            "min_structures": 1,
        }
        for name, low in least.items():
            if type(getattr(self, name)) is not int or getattr(self, name) < low:
                raise SettingError(
                    f"{getattr(self, name)} is no whole number from {low} on",
                    subject=name,
                    hint=f"Give at least {low}",
                )
        for name, other, more in _AT_LEAST:
            value, bound = getattr(self, name), getattr(self, other)
            if value < bound + more:
                raise SettingError(
                    f"{value} is too few for the {bound} of {other}: {bound + more} are needed",
                    subject=name,
                    hint=f"Give at least {bound + more} for {name}, or less for {other}",
                )

    @classmethod
    def published(cls, **changes: Any) -> RandomForestSettings:
        """Return the published settings: 30 radii, a block of cells, 100 full trees."""
        given: dict[str, Any] = {
            "variant": "rf_component",
            "radii_angstrom": tuple(float(radius) for radius in range(1, 31)),
            "images": "block",
            "on_site": "model",
            "repair_order": "clip_then_project",
            "max_features": 1.0,
            "correct_spectrum": False,
        }
        return cls(**(given | changes))

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON: all that can change a number, so without the processes."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if name != "n_jobs"
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RandomForestSettings:
        """Rebuild settings; what is not given has its default.

        Raises
        ------
        SettingError
            If a setting is unknown or out of range.
        """
        known = [entry.name for entry in fields(cls)]
        for name in values:
            if name not in known:
                raise SettingError(
                    "unknown setting", subject=name, hint=f"Choose among {', '.join(known)}"
                )
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"settings cannot be read: {error}",
                subject="settings",
                hint="Give plain numbers, texts and lists as `as_dict` writes them",
            ) from error
