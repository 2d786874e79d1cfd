"""Force constants predicted by random forests and tensor ridges from pair descriptors."""

from screening.random_forest.settings import RandomForestSettings
from screening.random_forest.training import train_force_constants

__all__ = ["RandomForestSettings", "train_force_constants"]
