"""Vibrational entropy that is linear in descriptors of the surroundings of atoms."""
