"""The frame around each command: options, errors, exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from async_migrations.cli.answer import Answer, Code, Failure, failure
from async_migrations.cli.options import said, shared_options, with_default_directory
from async_migrations.cli.settings import read_settings
from async_migrations.cli.streams import stdout_aside, tell, unwritten
from async_migrations.errors import ConfigurationError, MigrationsError, masked, of_cancelled

if TYPE_CHECKING:
    from async_migrations.cli.process import StoppedError
    from async_migrations.cli.project import Project
    from async_migrations.cli.terminal import Progress

SIGINT = 2


class Command(click.Command):
    """A command whose callback takes a Project and its own parameters, and returns an Answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += shared_options(of_group=False)
        self.epilog = "Options of every command, such as --database-url and --json: async-migrations --help"

    def invoke(self, ctx: click.Context) -> NoReturn:
        """Run the command; whatever happens becomes an Answer."""
        flags = _said_along(ctx)
        shared = {each.name for each in shared_options(of_group=False)}
        own = {name: value for name, value in ctx.params.items() if name not in shared}
        # See https://no-color.org; None lets the terminal decide.
        ctx.color = False if os.environ.get("NO_COLOR") else None
        as_json = bool(flags.get("as_json"))
        callback: Callable[..., Answer] = self.callback or _nothing
        answer = _answered(lambda project: callback(project, **own), flags, as_json=as_json)
        answer.show(as_json=as_json)
        ctx.exit(answer.code)


class Topic(click.Group):
    """A group of commands inside the program; options of every command may stand before its command too."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += shared_options(of_group=False)


class Program(click.Group):
    """The group of commands."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += shared_options(of_group=True)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """List the commands in the order in which a project meets them."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command's name."""
        return super().parse_args(ctx, with_default_directory(args))

    def main(self, args: Sequence[str] | None = None, *rest: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the program; with `--json` a mistake in the command line is a document too."""
        given = list(sys.argv[1:] if args is None else args)
        run = partial(super().main, given, *rest, **{**extra, "standalone_mode": False})
        if not standalone_mode:
            return run()
        try:
            code = _code(run, as_json="--json" in given)
            sys.stdout.flush()
        except (OSError, UnicodeError) as error:
            code = unwritten(error)
        sys.exit(code)


def _code(run: Callable[[], int], *, as_json: bool) -> int:
    try:
        return run()
    except click.Abort:
        return Code.SIGNAL + SIGINT
    except click.ClickException as error:
        if as_json:
            document = {"error": {"type": "UsageError", "message": masked(error.format_message())}}
            click.echo(json.dumps(document, indent=2))
        shown = io.StringIO()
        error.show(shown)
        tell(masked(shown.getvalue().rstrip("\n")))
        return error.exit_code


def _said_along(ctx: click.Context | None) -> dict[str, Any]:
    """Return the shared options that were given, what stands nearer to the command before the rest."""
    return {} if ctx is None else {**_said_along(ctx.parent), **said(ctx)}


def _answered(work: Callable[[Project], Answer], flags: dict[str, Any], *, as_json: bool) -> Answer:
    from async_migrations.cli.process import StoppedError, interruptible
    from async_migrations.cli.terminal import logging_to_stderr

    level = logging.DEBUG if flags.get("verbose") else logging.WARNING if flags.get("quiet") else logging.INFO
    with logging_to_stderr(level) as progress, stdout_aside() if as_json else contextlib.nullcontext():
        try:
            with interruptible(), _project(flags, progress) as project:
                return work(project)
        except ConfigurationError as error:
            return failure(error, str(error), Code.USAGE)
        except MigrationsError as error:
            return failure(error, str(error))
        except (KeyboardInterrupt, click.Abort):
            return _stopped(StoppedError(SIGINT), progress)
        except StoppedError as error:
            return _stopped(error, progress)
        except (click.exceptions.Exit, click.ClickException):
            raise  # click's own way to say what is wrong with the command line
        except Exception as error:
            return _bug(error, verbose=bool(flags.get("verbose")))


@contextlib.contextmanager
def _project(flags: dict[str, Any], progress: Progress) -> Iterator[Project]:
    from async_migrations.cli.project import Project, importing_from

    called_from = _current_directory()
    with _inside(Path(flags["project"])) if "project" in flags else contextlib.nullcontext():
        here = Path.cwd()
        settings = read_settings(here, flags, os.environ)
        with importing_from(here):
            yield Project(settings, progress, _embedded(here, flags), called_from, asks=_can_ask(flags))


def _current_directory() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigurationError(
            f"The current directory cannot be read: {error.strerror}. It was removed, perhaps: change to another."
        ) from None


@contextlib.contextmanager
def _inside(directory: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(directory)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # closed to us, or gone in the meantime
            os.chdir(before)


def _can_ask(flags: dict[str, Any]) -> bool:
    """Whether somebody reads our questions and answers them: neither a program, nor a robot, nor a pipe."""
    people = not flags.get("as_json") and os.environ.get("CI", "").lower() in {"", "0", "false"}
    return people and all(each is not None and each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr))


def _embedded(project: Path, flags: dict[str, Any]) -> Path | None:
    given = flags.get("embedded")
    if given is None:
        return None
    if "database_url" in flags:
        raise ConfigurationError("--embedded and --database-url name two databases: give one of them.")
    from async_migrations.cli.embedded import default_directory

    return Path(given) if given else default_directory(project)


def _stopped(error: StoppedError, progress: Progress) -> Failure:
    done = f"Done before: {', '.join(progress.done)} (stays so)." if progress.done else "Nothing was done before."
    cancelled = of_cancelled(progress.at_work, unsure=progress.unsure)
    text = f"Stopped by {error.number.name}.{cancelled} {done} The same command goes on from there."
    facts = {
        "signal": error.number.name,
        "done": progress.done,
        "at_work": progress.at_work,
        "unsure": progress.unsure,
    }
    return Failure({"error": {"type": "Stopped", "message": text, **facts}}, text, Code.SIGNAL + error.number)


def _bug(error: Exception, *, verbose: bool) -> Failure:
    words = masked(traceback.format_exception_only(error)[-1].strip())
    text = f"Something failed that nobody thought of: {words}. This may be a bug in async-migrations."
    if verbose:
        text += "\n" + masked("".join(traceback.format_exception(error)))
    else:
        text += " The option -v shows where."
    return failure(error, text)


def _nothing(_: Project) -> Answer:
    return Answer({})
