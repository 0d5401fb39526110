"""``edge-sdk service``."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from edge_sdk.app import read_app
from edge_sdk.cli.supervise import default_state_dir, name_of
from edge_sdk.cli.table import facts, heading, table
from edge_sdk.errors import ConfigError, OutputError, ServiceError
from edge_sdk.watchdog.ledger import FILE
from edge_sdk.watchdog.state import StateError, Table, unpack, write_whole
from edge_sdk.watchdog.unit import MARK, Unit

_SYSTEM_UNITS, SYSTEM_STATES = Path("/etc/systemd/system"), Path("/var/lib/edge-sdk")
_DEVICE_GROUPS = ("video", "render", "audio", "dialout", "i2c", "spi", "gpio", "plugdev", "input", "iio")
_SHOWN = ("ActiveState", "SubState", "Result", "MainPID", "NRestarts", "ActiveEnterTimestamp", "StatusText")
_SYSTEMCTL_S = 330  # a start waits for the first sign of life

_app = click.argument("path", type=click.Path(path_type=Path), metavar="APP.toml")
_user = click.option("--user", "of_user", is_flag=True, help="A unit of your own user's manager, not of the system.")


@click.group()
def service() -> None:
    """Have systemd start an application at boot, and watch its supervisor.

    \b
    edge-sdk service install app.toml
    edge-sdk service status app.toml
    edge-sdk service remove app.toml
    """


@service.command()
@_app
@_user
@click.option("--run-as", metavar="USER", help="Whose rights the application has; default the manager's own user.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit, and change nothing.")
def install(path: Path, of_user: bool, run_as: str | None, only_print: bool) -> None:
    """Write the unit of an app.toml, enable it and start it; where it is there already, renew it.

    \b
    sudo edge-sdk service install app.toml --run-as camera
    edge-sdk service install app.toml --user
    edge-sdk service install app.toml --print
    """
    if run_as is not None and of_user:
        raise ConfigError("--run-as is for units of the system; with --user it is your own user")
    place = _Place.of(path, of_user)
    text = _unit(path, of_user, run_as).text()
    if only_print:
        click.echo(text, nl=False)
        return
    place.check()
    if place.unit.exists() and not place.is_ours():
        raise OutputError(
            f"{place.unit} is not from edge-sdk; remove it, or give the application another name: [app] name"
        )
    place.unit.parent.mkdir(parents=True, exist_ok=True)
    write_whole(place.unit, text.encode())
    place.systemctl("daemon-reload")
    place.systemctl("enable", place.unit.name)
    place.systemctl("restart", place.unit.name)
    click.echo(f"{place.unit}: enabled and running; see edge-sdk service status {path}{' --user' if of_user else ''}")
    if of_user:
        click.echo("It runs while you are logged in; for always: loginctl enable-linger")


@service.command()
@_app
@_user
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(path: Path, of_user: bool, as_json: bool) -> None:
    """Show what systemd says of it, and what its supervisor has counted.

    \b
    edge-sdk service status app.toml
    edge-sdk service status app.toml --json
    """
    place = _Place.of(path, of_user)
    manager, state, why = place.shown(), *place.state()
    if as_json:
        found = {"unit": str(place.unit), "installed": place.unit.exists(), "systemd": manager, "state": state}
        click.echo(json.dumps({**found, "state_file": str(place.state_dir / FILE), "state_error": why}, indent=2))
        return
    lines = [str(place.unit) if place.unit.exists() else f"{place.unit} is not installed"]
    lines += facts(manager.items() if manager else [("systemd", "does not answer here")])
    lines += heading(f"state ({place.state_dir / FILE})")
    lines += [f"  {why}"] if state is None else _state_lines(state)
    click.echo("\n".join(lines))


@service.command()
@_app
@_user
@click.option("--purge", is_flag=True, help="Delete its state too.")
def remove(path: Path, of_user: bool, purge: bool) -> None:
    """Stop it, disable it and delete its unit; its state is kept unless you say --purge.

    \b
    sudo edge-sdk service remove app.toml
    """
    place = _Place.of(path, of_user)
    if not place.unit.exists():
        raise OutputError(f"{place.unit} is not there; nothing to remove")
    if not place.is_ours():
        raise OutputError(f"{place.unit} is not from edge-sdk; it is left alone")
    place.check()
    place.systemctl("disable", "--now", place.unit.name)
    place.unit.unlink()
    place.systemctl("daemon-reload")
    if purge:
        shutil.rmtree(place.state_dir, ignore_errors=False) if place.state_dir.exists() else None
    kept = "" if purge or not place.state_dir.exists() else f"; its state is kept in {place.state_dir}"
    click.echo(f"{place.unit}: removed{kept}")


@dataclass(frozen=True)
class _Place:
    """Where an application's unit and state are, and who manages it."""

    unit: Path
    state_dir: Path
    of_user: bool

    @classmethod
    def of(cls, path: Path, of_user: bool) -> _Place:
        app = read_app(path)
        name = name_of(path, app)
        config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        units = config / "systemd" / "user" if of_user else _SYSTEM_UNITS
        if app.supervisor.state_dir is not None:
            state_dir = path.absolute().parent / app.supervisor.state_dir
        else:
            state_dir = default_state_dir(name) if of_user else SYSTEM_STATES / name
        return cls(units / f"edge-sdk-{name}.service", state_dir, of_user)

    def is_ours(self) -> bool:
        return self.unit.read_text("utf-8", "replace").startswith(MARK)

    def check(self) -> None:
        """Raise if nothing can be changed here."""
        if not self.of_user and os.geteuid() != 0:
            raise ServiceError(
                "units of the system are root's: run it with sudo, or take a unit of your own with --user"
            )
        found = self._ask("is-system-running")
        if found in {"", "offline", "unknown"}:
            which = "your user's systemd" if self.of_user else "systemd"
            raise ServiceError(
                f"{which} does not run here (it says {found or 'nothing'}), as in most containers; nothing was changed. Start "
                "edge-sdk run by what manages services here, or look at the unit with --print"
            )

    def systemctl(self, *words: str) -> None:
        done = self._run(*words)
        if done.returncode:
            raise ServiceError(f"systemctl {' '.join(words)} failed: {done.stderr.strip() or done.stdout.strip()}")

    def shown(self) -> dict[str, str] | None:
        """What systemd says of the unit; None if it does not answer."""
        said = self._ask("show", self.unit.name, *(f"--property={name}" for name in _SHOWN))
        pairs = (line.partition("=") for line in said.splitlines())
        return {name: value for name, _, value in pairs if value} or None

    def state(self) -> tuple[Table | None, str | None]:
        """The supervisor's, or why there is none."""
        try:
            return unpack((self.state_dir / FILE).read_bytes()), None
        except FileNotFoundError:
            return None, "none yet"
        except OSError as exc:
            return None, f"cannot be read: {exc.strerror}"
        except StateError as exc:
            return None, f"cannot be used: {exc}"

    def _ask(self, *words: str) -> str:
        return self._run(*words).stdout.strip()

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["systemctl", *(["--user"] if self.of_user else []), *words]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SYSTEMCTL_S)
        except FileNotFoundError:
            return subprocess.CompletedProcess(command, 127, "", "there is no systemctl on this system")
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 1, "", f"no answer within {_SYSTEMCTL_S} s")


def _unit(path: Path, of_user: bool, run_as: str | None) -> Unit:
    app = read_app(path)
    if run_as is not None:
        try:
            pwd.getpwnam(run_as)
        except KeyError as exc:
            raise ConfigError(
                f"there is no user {run_as!r} on this system; make it first: sudo useradd --system {run_as}"
            ) from exc
    script = Path(sys.argv[0]).absolute()
    command = [str(script)] if script.name == "edge-sdk" else [sys.executable, "-m", "edge_sdk.cli"]
    return Unit(
        name=name_of(path, app),
        command=(*command, "run", str(path.absolute())),
        folder=path.absolute().parent,
        start_s=app.supervisor.start_s,
        user=run_as,
        groups=[name for name in _DEVICE_GROUPS if _is_group(name)] if run_as else (),
        of_user=of_user,
        state_dir=app.supervisor.state_dir,
    )


def _is_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True


def _state_lines(state: Table) -> list[str]:
    lines: list[str] = []
    if isinstance(counted := state.get("counted"), dict):
        lines += facts((str(name), str(count)) for name, count in counted.items())
    if loops := _tables(state.get("loops")):
        names = list(loops[0])
        lines += heading("loops")
        lines += table(names, [[str(loop.get(name, "")) for name in names] for loop in loops], right=names)
    if lives := _tables(state.get("lives")):
        lines += heading("the last ends")
        keys = ("kind", "lived_s", "message")
        lines += table(["kind", "after s", "why"], [[str(life.get(key, "")) for key in keys] for life in lives[-5:]])
    return lines


def _tables(value: object) -> list[Table]:
    """The tables of a list in a state that may have come from anywhere."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
