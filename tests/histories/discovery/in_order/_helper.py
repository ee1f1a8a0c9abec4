"""Not a migration: its name begins with an underscore."""
