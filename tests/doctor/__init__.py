"""The doctor: each misconfiguration made for real, named, mended by what was printed, and green after that."""
