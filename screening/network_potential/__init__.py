"""Network potentials trained for phonons: labelled cells, training, evaluation, corrections."""
