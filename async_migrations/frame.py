"""The frame: what the engine itself says before and after a migration's own work, in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from async_migrations.ledger import Ledger
from async_migrations.ledger.statements import RESTORE, Claim
from async_migrations.loading import Loaded
from async_migrations.lock import LockKey, application
from async_migrations.message import Message
from async_migrations.options import Limits
from async_migrations.script import Script
from async_migrations.session import RESET, UNLIMITED
from async_migrations.sql import quote_literal, timeout


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What is written for a migration before its turn.

    Attributes:
        migration: whose.
        claim: what its row says.
        message: the whole of it, if it is one message.
        last: whether the waiters are told when it is committed.
        prepared: whether the message leans on what the session has prepared.
    """

    migration: Loaded
    claim: Claim
    message: Message | None
    last: bool
    prepared: bool


@dataclass(slots=True)
class Frame:
    """Writes the frames of one session.

    Args:
        ledger: the ledger.
        key: the key of its lock.
        limits: the runner's.
        run_id: the run that claims rows.
        pooled: whether a pooler stands between.
        replay: the statement that gives the session back its own settings after a RESET.
        prepared: whether the session has run `prepare`.
    """

    ledger: Ledger
    key: LockKey
    limits: Limits
    run_id: str
    pooled: bool
    replay: str
    prepared: bool = False

    def prepare(self) -> str:
        """Return what prepares a direct session for its frames; through a pooler it would stay on any backend."""
        return "; ".join([*self.ledger.prepare(self._timeouts), f"PREPARE {RESTORE} AS {self.replay}"])

    def foresee(self, migration: Loaded, *, last: bool) -> Foreseen:
        """Write and hash all that can be before the migration's turn."""
        claim = self.claim(migration)
        message = None
        if isinstance(migration.body, Script) and migration.is_transactional("upgrade"):
            message = self._message(migration, migration.body, claim, last=last)
        return Foreseen(migration, claim, message, last, self.prepared)

    def claim(self, migration: Loaded) -> Claim:
        """Return what the migration's row says."""
        file = migration.file
        return Claim(file.name, migration.description, migration.checksum(), file.raw_checksum, self.run_id)

    def opening(self, claim: Claim) -> list[str]:
        """Return what opens an upgrade; the last tag tells whether the row is ours."""
        return [*self._settings(claim.name), self.ledger.claim(claim, self._timeouts, prepared=self.prepared)]

    def opening_back(self, name: str) -> list[str]:
        """Return what opens a downgrade; the last tag tells whether the row was ours."""
        return [*self._settings(name), self.ledger.release(name, self._timeouts)]

    def closing(self, name: str, duration_ms: int | None, statistics: Mapping[str, Any], *, last: bool) -> list[str]:
        """Return what closes an upgrade, before its COMMIT."""
        complete = self.ledger.complete(name, duration_ms, statistics, prepared=self.prepared)
        restore = f"{RESET}; EXECUTE {RESTORE}" if self.prepared else self.restore
        return [restore, complete, *self.told(last=last)]

    @property
    def restore(self) -> str:
        """The statements that give the session back its own settings, whatever it has lost."""
        return f"{RESET}; {self.replay}"

    def told(self, *, last: bool) -> list[str]:
        """Return what tells the waiters, if this is the last migration."""
        return [self.key.notify] if last else []

    def outside(self, name: str) -> str:
        """Return a direct session's settings for work outside a transaction; through a pooler they would leak."""
        limit = timeout(self.limits.statement_timeout)
        return f"SET application_name = {quote_literal(application(name))}; SET statement_timeout = {limit}"

    def _message(self, migration: Loaded, script: Script, claim: Claim, *, last: bool) -> Message:
        row = self.ledger.claim(claim, self._timeouts, fence=False, prepared=self.prepared)
        return Message(
            script.statements,
            script.path,
            before=[*self._settings(migration.file.name), row],
            after=[*self.closing(claim.name, None, {}, last=last), "COMMIT"],
        )

    def _settings(self, name: str) -> list[str]:
        """The settings before the claim, which may wait for another runner; a direct session has the rest."""
        deadline = timeout(self.limits.wait_deadline)
        settings = {"application_name": quote_literal(application(name)), "lock_timeout": deadline}
        if self.pooled:
            settings |= dict.fromkeys(("statement_timeout", "idle_in_transaction_session_timeout"), "0")
            settings |= {"client_min_messages": "notice", "client_connection_check_interval": "'500ms'"}
        return [*(f"SET LOCAL {key} = {value}" for key, value in settings.items()), *([UNLIMITED] * self.pooled)]

    @property
    def _timeouts(self) -> str:
        """The author's timeouts, as expressions: they begin when the claim is won."""
        limits = {"lock_timeout": self.limits.lock_timeout, "statement_timeout": self.limits.statement_timeout}
        return ", ".join(
            f"set_config('{name}', '{timeout(seconds)}', true)"
            for name, seconds in limits.items()
            if name == "lock_timeout" or seconds is not None
        )
