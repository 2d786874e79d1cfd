"""Structures and numbers in, frozen results out: no database, no workflow engine, no printing."""
