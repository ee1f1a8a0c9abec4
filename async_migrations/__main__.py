"""`python -m async_migrations` is `async-migrations`."""

import gc


def main() -> None:
    """Run the command line as a process of its own."""
    # Imports leave nothing to collect, and looking for it takes a fifth of a short command's time. The collector
    # runs again as soon as there is work, and what is left at the end goes with the process.
    gc.disable()
    from async_migrations.cli import main as command_line

    try:
        command_line(prog_name="async-migrations")
    finally:
        gc.freeze()


if __name__ == "__main__":
    main()
