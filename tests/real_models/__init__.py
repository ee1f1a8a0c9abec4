"""Models of well-known packages, which a comparison has to be silent about."""
