"""Force constants predicted by random forests and tensor ridges from pair descriptors."""
