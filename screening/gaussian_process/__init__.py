"""Force constants from the forces of a few displaced cells, by Gaussian processes."""
