"""Reading and comparing schemas."""
