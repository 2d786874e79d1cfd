"""Vibrational entropy that is linear in descriptors of the surroundings of atoms."""

from screening.linear_entropy.settings import LinearEntropySettings
from screening.linear_entropy.training import train_entropy

__all__ = ["LinearEntropySettings", "train_entropy"]
