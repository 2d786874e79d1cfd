"""Phonon densities of states predicted by graph networks from the structure."""
