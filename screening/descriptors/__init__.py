"""Numbers that describe the surroundings of atoms, the same however the crystal is turned."""
