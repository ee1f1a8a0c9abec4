"""`python -m async_migrations` is `async-migrations`."""

from async_migrations.cli import main

if __name__ == "__main__":
    main(prog_name="async-migrations")
