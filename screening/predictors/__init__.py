"""Predictors of vibrational properties behind one interface, one file per family."""
