"""Differences -> numbered migration files."""
