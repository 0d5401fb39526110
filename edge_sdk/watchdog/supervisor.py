"""Ring 3: a small parent that watches the application's signs of life, starts it again when it froze, died or grew, and gives up loudly.

It imports neither numpy nor pydantic: ``edge_sdk.watchdog.main`` runs it in a fresh interpreter, with a plan that was checked before.
"""

from __future__ import annotations

import signal
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING

from edge_sdk.backoff import waits_s
from edge_sdk.errors import ConfigError, EdgeSdkError, WatchdogError
from edge_sdk.refusal import refusal
from edge_sdk.watchdog import processes, pulse
from edge_sdk.watchdog.environment import Environment
from edge_sdk.watchdog.events import S_NS, Events
from edge_sdk.watchdog.guard import Guard
from edge_sdk.watchdog.ledger import Ledger
from edge_sdk.watchdog.life import Ending, Life, in_words
from edge_sdk.watchdog.notify import Notifier
from edge_sdk.watchdog.plan import Plan
from edge_sdk.watchdog.relay import Relay
from edge_sdk.watchdog.reload import Check
from edge_sdk.watchdog.scales import Scales

if TYPE_CHECKING:
    from edge_sdk.watchdog.hardware import HardwareWatchdog

LAST_GASP = "gave-up.json"
_SAVE_S, _STATUS_S = 60.0, 30.0
_STARTING_S = 0.1  # how often to look for the first beat
_WRITING_S = 0.3  # how long the end waits for the disk
_OUR_WISH = {"recycled", "reloaded", "stopped"}


class Supervisor:
    """Looks after one application.

    Args:
        plan: what and how.
        events: where it sleeps.
        notifier: systemd's ear.
        relay: standard error.
        hardware: the hardware watchdog, or None.

    Raises:
        ConfigError: if another supervisor looks after this application.
    """

    def __init__(
        self, plan: Plan, events: Events, notifier: Notifier, relay: Relay, hardware: HardwareWatchdog | None
    ) -> None:
        self._plan, self._events, self._notifier, self._relay = plan, events, notifier, relay
        self._hardware = hardware
        self._previous: Plan | None = None  # until the new one has proved itself
        self._check: Check | None = None
        self._check_again = False
        self._page = pulse.Page(plan.frozen_s)
        self._ledger = Ledger(plan.name, Path(plan.state_dir), self._page, events, relay.say)
        if notifier.watchdog_s is not None:
            events.every(notifier.watchdog_s, notifier.alive)
        if hardware is not None:
            events.every(hardware.timeout_s / 4, self._feed)
        self._ledger.open()
        self._ever_alive, self._starts = False, 0
        self._scales = Scales(events, relay.say)
        self._crashes_in_a_row, self._waits = 0, waits_s()
        self._has_terminal = processes.has_terminal()
        self._environment = Environment(self._page)
        processes.adopt_orphans()
        self._guard = Guard(f"{pulse.VARIABLE}={self._page.path}", events, relay.say)
        events.every(_SAVE_S, self._ledger.save)
        events.every(_STATUS_S, lambda: notifier.status(self._status()))

    def run(self) -> int:
        """Look after it until it is done, is told to end, or is given up; the exit code.

        Raises:
            EdgeSdkError: if the application cannot be started the first time.
        """
        code = None
        while code is None:
            code = self._what_next(*self._live())
        self._finish()
        return code

    def _live(self) -> tuple[Ending, Life | None]:
        """One life from its start to its end, after which nothing of it runs."""
        try:
            number = self._ledger.counted["starts"] + 1
            environment = self._environment.of(self._plan, number, self._starts + 1)
            life = Life(self._plan, self._page, environment, self._events, self._relay)
        except OSError as exc:
            message = f"it cannot be started: {refusal(exc)}"
            if not self._ever_alive:
                raise EdgeSdkError(f"the application: {message}") from exc
            return Ending("crash", message), None
        self._ledger.counted["starts"] += 1
        self._starts += 1
        ending = self._watch(life)
        if ending.kind == "frozen":
            life.hear_last_words()
        elif ending.kind in _OUR_WISH:
            life.tell_to_end(ending.number)
        self._left_behind(life.end())
        if lost := self._ledger.settle():
            self._relay.say(f"samples in flight, lost: {lost}")
        self._ledger.life_ended(ending.kind, ending.message, life.lived_s)
        self._ledger.save()
        return ending, life

    def _watch(self, life: Life) -> Ending:
        """Until it is over, or has to be."""
        while True:
            due_ns = life.due_ns()
            self._events.wait(due_ns if life.alive else min(due_ns, monotonic_ns() + int(_STARTING_S * S_NS)))
            if not life.alive and life.has_beaten():
                self._came_alive(life)
            if life.code is not None:
                return Ending("crash" if life.code else "done", in_words(life.code))
            ending = self._wish() or self._checked()
            if ending is not None:
                return ending
            if too_large := self._scales.too_large(life, self._plan):
                return Ending("recycled", too_large)
            if life.overdue():
                return Ending("frozen", life.frozen_words())

    def _came_alive(self, life: Life) -> None:
        if self._ever_alive:
            self._relay.say(f"the application is alive, {life.lived_s:.1f} s after its start")
        life.alive = self._ever_alive = True
        self._previous = None
        self._notifier.ready(self._status())

    def _left_behind(self, pids: set[int]) -> None:
        if pids:
            self._ledger.counted["abandoned"] += len(pids)
            which = ", ".join(map(str, sorted(pids)))
            self._relay.say(
                f"SIGKILL does not end process {which}: in an uninterruptible kernel call, or another user's; it is left behind, and its "
                "devices may be lost"
            )

    # What then.

    def _what_next(self, ending: Ending, life: Life | None) -> int | None:
        """The exit code, or None to start it again."""
        code = life.code if life is not None else None
        if ending.kind in {"done", "stopped"}:
            return 128 + ending.number if ending.kind == "stopped" else 0
        if ending.kind in _OUR_WISH:
            return self._stop_code()
        if self._previous is not None:
            self._relay.say(f"the new app.toml does not start ({ending.message}); back to the one before")
            self._ledger.counted["reload_refused"] += 1
            self._use(self._previous)
            self._previous = None
            return None
        final = not self._ever_alive or (self._plan.own and code == ConfigError.exit_code)
        if ending.kind == "crash" and code is not None and final:
            return _exit_code(code)
        return self._crashed(ending, life)

    def _crashed(self, ending: Ending, life: Life | None) -> int | None:
        if life is not None and life.alive and life.lived_s >= self._plan.healthy_s:
            self._crashes_in_a_row, self._waits = 0, waits_s()
        self._crashes_in_a_row += 1
        if self._crashes_in_a_row >= self._plan.crash_limit:
            return self._given_up(ending, life)
        wait_s = next(self._waits)
        what = "is frozen" if ending.kind == "frozen" else "died"
        self._relay.say(f"the application {what}: {ending.message}; it is started again in {wait_s:.1f} s")
        self._notifier.status(f"starting again: {ending.message}")
        self._events.wait_while(lambda: not self._told_to_stop(), wait_s)
        return self._stop_code()

    def _given_up(self, ending: Ending, life: Life | None) -> int:
        """Say it as loudly as can be. The hardware watchdog stays armed: it resets the board unless somebody takes over in time."""
        reason = f"{self._crashes_in_a_row} crashes in a row, the last one: {ending.message}"
        last_lines = self._relay.last_lines()
        table = {
            "reason": reason,
            "memory_mb": self._scales.memory_mb,
            "last_lines": last_lines,
            **self._ledger.as_table(),
        }
        path = self._ledger.report(LAST_GASP, table)
        lives = [f"{each['kind']} after {each['lived_s']} s: {each['message']}" for each in self._ledger.lives[-5:]]
        where = f"report: {path}" if path else "the report could not be written"
        self._relay.say("\n  ".join([f"giving up: {reason}", *lives, f"counted: {self._totals()}", where]))
        self._notifier.stopping(f"gave up: {reason}")
        self._close_hardware(disarm=False)
        return (_exit_code(life.code) if life is not None and life.code is not None else 0) or 1

    def _finish(self) -> None:
        self._guard.end()
        if self._check is not None:
            self._check.kill()
        self._events.wait_while(lambda: self._ledger.writing, _WRITING_S)
        self._close_hardware(disarm=True)

    def _close_hardware(self, *, disarm: bool) -> None:
        hardware, self._hardware = self._hardware, None
        if hardware is not None:
            said = hardware.close(disarm=disarm)
            if "stays armed" in said:
                self._relay.say(said)

    # Wishes from outside.

    def _told_to_stop(self) -> bool:
        return any(number != signal.SIGHUP for number in self._events.signals)

    def _stop_code(self) -> int | None:
        """The exit code, if somebody wants the end."""
        return 128 + self._events.signals[-1] if self._told_to_stop() else None

    def _wish(self) -> Ending | None:
        if not self._events.signals:
            return None
        number = self._events.signals.pop(0)
        if number == signal.SIGHUP and self._has_terminal == processes.has_terminal():
            self._reload()
            return None
        self._notifier.stopping("told to end")
        return Ending("stopped", number.name, number)

    def _reload(self) -> None:
        self._check_again = self._check is not None
        if self._check_again:
            return  # the file may be another one since the check that runs has read it
        self._notifier.reloading()
        try:
            self._check = Check(self._plan.check, self._events)
        except OSError as exc:
            self._go_on(f"app.toml could not be checked: {exc.strerror}")

    def _checked(self) -> Ending | None:
        """What came of the check, if it is over."""
        if self._check is None or not self._check.over:
            return None
        check, self._check = self._check, None
        plan = check.plan()
        if self._check_again:
            self._reload()
            return None
        if plan is None:
            self._go_on(f"app.toml is no good now ({in_words(check.code or 0)}, its message stands above)")
            return None
        kept = [
            name for name in ("device", "timeout_s", "state_dir") if getattr(plan, name) != getattr(self._plan, name)
        ]
        if kept:
            self._relay.say(f"{', '.join(kept)}: changed, which takes a new start of the supervisor")
        self._previous = self._previous or self._plan
        self._use(plan)
        self._relay.say("app.toml is good; the application starts anew with it")
        return Ending("reloaded", "app.toml was read again")

    def _use(self, plan: Plan) -> None:
        self._plan = plan
        self._page.set_budget(plan.frozen_s)

    def _go_on(self, reason: str) -> None:
        self._relay.say(f"{reason}; the application goes on with the one before")
        self._ledger.counted["reload_refused"] += 1
        self._notifier.ready(self._status())

    # What is done now and then.

    def _feed(self) -> None:
        if self._hardware is not None:
            try:
                self._hardware.feed()
            except WatchdogError as exc:
                if not self._ledger.counted["not_fed"]:
                    self._relay.say(str(exc))
                self._ledger.counted["not_fed"] += 1

    def _status(self) -> str:
        counted = self._ledger.counted
        return f"{self._totals()}; {counted['starts']} starts, {counted['crash']} crashes, {counted['frozen']} times frozen"

    def _totals(self) -> str:
        totals = self._ledger.totals()
        return ", ".join(f"{totals[name]} {name.replace('_', ' ')}" for name in totals if name != "in_flight")


def _exit_code(code: int) -> int:
    return code if code >= 0 else 128 - code
