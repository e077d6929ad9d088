"""``make run``: the whole engine on one machine, one process to start and to stop.

Starts the embedded PostgreSQL (unless ``DATABASE_URL`` names one), the exchange simulator, migrations, static files and
first data, and then keeps web, task clusters, ticker and streams running. A child that dies is started again, alone.

Every child leads a session of its own and gets signals by its pid alone: a signal to a whole group would cut tasks off
in the middle. Children end when this process is killed, and whatever survives even that carries a mark in its
environment by which the next start finds and kills it. This process has one thread, so that it may run code between
fork and exec, and it never waits without passing on what its children write.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "execution_project.settings")

import psutil
from django.conf import settings

from execution_project.postgres import EmbeddedPostgres
from execution_project.processes import MARK, die_with_parent, kill_marked, kill_session

DATABASE = "execution"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""Pause before a dead child is started again, doubling while it keeps dying."""
STEADY_S = 60.0
"""A child that lived this long starts with the first pause again."""
START_PATIENCE_S = 60.0
STOP_PATIENCE_S = {"web": 15.0, "ticker": 25.0, "streams": 25.0, "watchdog": 5.0, "simulator": 10.0, "demo": 2.0}
CLUSTER_STOP_SLACK_S = 15.0
SAME_SIGNAL_S = 1.0
COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)


class CannotStart(Exception):
    """Says what is wrong and what to do."""


class Child:
    """One program that is kept running, or run once."""

    def __init__(
        self, name: str, command: Sequence[str], *, stop_patience_s: float, once: bool = False, owner: bool = False
    ) -> None:
        """``owner``: it uses the database as its owner, which only migrations may."""
        self.name = name
        self.command = command
        self.stop_patience_s = stop_patience_s
        self.once = once
        self.owner = owner
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.start_at = 0.0
        self.pause = FIRST_PAUSE_S
        self.unfinished_line = b""


class Console:
    """Prefixes each line with the name of who wrote it; a reader that went away stops nothing."""

    def __init__(self) -> None:
        self._colours: dict[str, int] = {}
        self._broken = False

    def say(self, text: str, name: str = "engine") -> None:
        """Print ``text`` line by line."""
        for line in text.splitlines() or [""]:
            self._write(f"{self._prefix(name)} {line}\n")

    def plain(self, text: str) -> None:
        """Print without a prefix."""
        self._write(text.rstrip("\n") + "\n")

    def _prefix(self, name: str) -> str:
        padded = f"{name:<22}|"
        if not sys.stdout.isatty() or "NO_COLOR" in os.environ:
            return padded
        colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
        return f"\x1b[{colour}m{padded}\x1b[0m"

    def _write(self, text: str) -> None:
        if self._broken:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            self._broken = True


class Supervisor:
    """Starts, watches and stops everything; ``run`` returns the exit code."""

    def __init__(self, without: Iterable[str] = ()) -> None:
        """``without``: parts to leave out: web, ticker, streams, watchdog, simulator, seed, static, demo, a queue."""
        # Seeds, demo orders and a simulated exchange have no place beside real money.
        self._without = set(without) | ({"simulator", "seed", "demo"} if settings.EXEC_ENV == "production" else set())
        self._data_dir = Path(settings.EXEC_DATA_DIR).resolve()
        self._run_dir = self._data_dir / "run"
        self._url_file = self._run_dir / "database-url"
        self._mark = str(self._data_dir)
        self._console = Console()
        self._selector = selectors.DefaultSelector()
        self._children: list[Child] = []
        self._postgres: EmbeddedPostgres | None = None
        self._lock: IO[str] | None = None
        self._signals = 0
        self._signalled_at = -SAME_SIGNAL_S

    def run(self) -> int:
        """Until SIGINT, SIGTERM or SIGHUP; a second one kills hard."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        try:
            self._take_lock()
            self._clear_leftovers()
            self._check_ports()
            self._start()
            while not self._signals:
                self._keep_running()
                self._pump(0.2)
        except CannotStart as error:
            self._console.say(f"Cannot start: {error}")
            return 1
        except _Interrupted:
            pass
        finally:
            self._stop()
        return 0

    # ------------------------------------------------------------------------------------------------------- start

    def _take_lock(self) -> None:
        self._run_dir.mkdir(parents=True, exist_ok=True)
        self._run_dir.chmod(0o700)
        lock = (self._run_dir / "supervisor.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise CannotStart(
                f"the engine already runs on {self._data_dir} (process {lock.read().strip() or 'unknown'})."
                " Stop it first, or set EXEC_DATA_DIR and other ports for a second one."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _clear_leftovers(self) -> None:
        if killed := kill_marked(self._mark):
            self._console.say(f"Killed {killed} processes that an earlier run left behind.")
        self._url_file.unlink(missing_ok=True)

    def _check_ports(self) -> None:
        for host, port, variable, part in (
            (settings.EXEC_HOST, settings.EXEC_PORT, "EXEC_PORT", "web"),
            ("127.0.0.1", settings.EXEC_SIMULATOR_PORT, "EXEC_SIMULATOR_PORT", "simulator"),
        ):
            if part in self._without:
                continue
            if port == 0:
                raise CannotStart(f"{variable} is 0; {part} needs a real port.")
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise CannotStart(
                        f"{part} cannot listen on {host}:{port} ({error.strerror})."
                        f" End what uses that port, or choose another: {variable}={port + 1} make run"
                    ) from None

    def _start(self) -> None:
        self._start_postgres()
        if "simulator" not in self._without:
            port = str(settings.EXEC_SIMULATOR_PORT)
            folder = str(self._data_dir / "simulator")
            simulator = self._add("simulator", "-m", "exchanges.simulator", "--port", port, "--data-dir", folder)
            self._await_port(simulator, "127.0.0.1", settings.EXEC_SIMULATOR_PORT)
        self._run_step("migrate", "manage.py", "migrate", "--verbosity", "0", owner=True)
        if "static" not in self._without:
            self._run_step("static", "manage.py", "collectstatic", "--noinput", "--verbosity", "0")
        if "seed" not in self._without:
            self._run_step("seed", "manage.py", "seed")
        for queue, values in settings.EXEC_QUEUES.items():
            if queue not in self._without:
                self._add(
                    queue, "manage.py", "run_cluster", queue, stop_patience_s=values["timeout"] + CLUSTER_STOP_SLACK_S
                )
        if "ticker" not in self._without:
            self._add("ticker", "manage.py", "run_ticker")
        if "streams" not in self._without:
            self._add("streams", "manage.py", "run_streams")
        if settings.EXEC_EMERGENCY_KIT and "watchdog" not in self._without:
            try:
                self._run_step("kit", "manage.py", "export_emergency_kit", settings.EXEC_EMERGENCY_KIT)
            except CannotStart as error:
                self._console.say(f"The emergency kit was NOT written anew, an older one counts: {error}")
            self._add("watchdog", "manage.py", "watchdog", "--kit", settings.EXEC_EMERGENCY_KIT)
        if "web" not in self._without:
            self._await_port(self._add("web", *self._web_command()), settings.EXEC_HOST, settings.EXEC_PORT)
        self._welcome()
        if settings.EXEC_DEMO and "demo" not in self._without:
            self._add("demo", "manage.py", "place_demo_orders", once=True)

    def _start_postgres(self) -> None:
        if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"):
            self._console.say("Using the database of DATABASE_URL.")
            return
        self._console.say(f"Starting PostgreSQL in {self._data_dir / 'postgres'}")
        self._postgres = EmbeddedPostgres(self._data_dir / "postgres")
        self._postgres.start()
        self._postgres.ensure_database(DATABASE)
        descriptor = os.open(self._url_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self._postgres.url(DATABASE) + "\n")

    def _web_command(self) -> list[str]:
        host = f"[{settings.EXEC_HOST}]" if ":" in settings.EXEC_HOST else settings.EXEC_HOST
        return [
            *("-m", "gunicorn", "execution_project.wsgi"),
            *("--bind", f"{host}:{settings.EXEC_PORT}"),
            *("--worker-class", "gthread"),
            *("--workers", str(settings.EXEC_WEB_WORKERS)),
            *("--threads", str(settings.EXEC_WEB_THREADS)),
            *("--graceful-timeout", "10"),
            *("--log-level", "warning"),
            "--no-control-socket",
        ]

    def _run_step(self, name: str, *command: str, owner: bool = False) -> None:
        """Run a program to its end; the start fails with it."""
        step = Child(name, command, stop_patience_s=5.0, once=True, owner=owner)
        self._children.append(step)
        self._launch(step)
        while step.process is not None and step.process.poll() is None:
            self._pump(0.1)
            self._heed_signals()
        code = step.process.returncode if step.process else 1
        self._children.remove(step)
        self._drain(step)
        if code != 0:
            raise CannotStart(f"the step '{name}' failed with exit code {code}; its output is above.")

    def _await_port(self, child: Child, host: str, port: int) -> None:
        deadline = time.monotonic() + START_PATIENCE_S
        while True:
            self._heed_signals()
            if child.process is None or child.process.poll() is not None:
                self._drain(child)
                raise CannotStart(f"{child.name} ended at its start; its output is above.")
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                if probe.connect_ex((host, port)) == 0:
                    return
            if time.monotonic() > deadline:
                raise CannotStart(f"{child.name} does not listen on {host}:{port} after {START_PATIENCE_S:.0f} s.")
            self._pump(0.1)

    def _welcome(self) -> None:
        self._console.say(f"Running at http://{settings.EXEC_HOST}:{settings.EXEC_PORT}/admin/ , Ctrl-C stops it.")
        welcome = self._run_dir / "welcome.txt"
        if welcome.is_file():
            self._console.plain(welcome.read_text(encoding="utf-8"))

    # ---------------------------------------------------------------------------------------------------- children

    def _add(self, name: str, *command: str, stop_patience_s: float | None = None, once: bool = False) -> Child:
        child = Child(
            name,
            command,
            stop_patience_s=STOP_PATIENCE_S[name] if stop_patience_s is None else stop_patience_s,
            once=once,
        )
        self._children.append(child)
        self._launch(child)
        return child

    def _launch(self, child: Child) -> None:
        parent = os.getpid()
        environment = {**os.environ, MARK: self._mark, "PYTHONUNBUFFERED": "1"}
        if child.owner:
            environment["EXEC_DATABASE_ROLE"] = ""
        child.process = subprocess.Popen(
            [sys.executable, *child.command],
            cwd=settings.BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(signal.SIGTERM, parent),
        )
        child.started_at = time.monotonic()
        assert child.process.stdout is not None  # noqa: S101  asked for above
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _keep_running(self) -> None:
        """Start again what died."""
        now = time.monotonic()
        if self._postgres is not None and not self._postgres.is_running():
            self._console.say("PostgreSQL died and is started again.")
            try:
                self._postgres.start()
            except (OSError, subprocess.SubprocessError, psutil.Error) as error:
                self._console.say(f"PostgreSQL did not start and is tried again: {error}")
        for child in list(self._children):
            if child.process is None:
                if now >= child.start_at:
                    self._launch(child)
                continue
            code = child.process.poll()
            if code is None:
                continue
            self._drain(child)
            kill_session(child.process.pid)
            child.process = None
            if child.once:
                self._children.remove(child)
                continue
            if now - child.started_at > STEADY_S:
                child.pause = FIRST_PAUSE_S
            child.start_at = now + child.pause
            self._console.say(f"{child.name} ended with exit code {code}; starting it again in {child.pause:.1f} s.")
            child.pause = min(child.pause * 2, LONGEST_PAUSE_S)

    def _pump(self, timeout: float) -> None:
        """Pass on what the children write, for at most ``timeout`` seconds if they are silent."""
        for key, _ in self._selector.select(timeout):
            self._pass_on(key.data)

    def _pass_on(self, child: Child) -> bool:
        """One read; False when there is nothing (more) to read."""
        assert child.process is not None and child.process.stdout is not None  # noqa: S101  registered while it runs
        try:
            data = os.read(child.process.stdout.fileno(), 65536)
        except BlockingIOError:
            return False
        *lines, child.unfinished_line = (child.unfinished_line + data).split(b"\n")
        for line in lines:
            self._console.say(line.decode("utf-8", "replace").rstrip("\r"), child.name)
        if not data:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()
        return bool(data)

    def _drain(self, child: Child) -> None:
        """Read what a dead child has left; its grandchildren may hold the pipe open."""
        if child.process is None or child.process.stdout is None:
            return
        while not child.process.stdout.closed and self._pass_on(child):
            pass
        if not child.process.stdout.closed:
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()
        if child.unfinished_line:
            self._console.say(child.unfinished_line.decode("utf-8", "replace"), child.name)
            child.unfinished_line = b""

    # -------------------------------------------------------------------------------------------------------- stop

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """One Ctrl-C may arrive twice, from the terminal and from the program that started this one."""
        if time.monotonic() > self._signalled_at + SAME_SIGNAL_S:
            self._signals += 1
            self._signalled_at = time.monotonic()

    def _heed_signals(self) -> None:
        if self._signals:
            raise _Interrupted

    def _stop(self) -> None:
        """Web first, so that nothing new comes in; then those who work; the simulator; the database last."""
        if self._lock is None:
            return
        if self._children:
            self._console.say("Stopping; running tasks are finished first, a second Ctrl-C kills them.")
        web = [child for child in self._children if child.name in ("web", "demo")]
        simulator = [child for child in self._children if child.name == "simulator"]
        workers = [child for child in self._children if child not in web and child not in simulator]
        for group in (web, workers, simulator):
            self._stop_group(group)
        kill_marked(self._mark)
        if self._postgres is not None:
            self._postgres.stop("fast" if self._signals < 2 else "immediate")
            self._url_file.unlink(missing_ok=True)
        self._console.say("Stopped.")

    def _stop_group(self, group: list[Child]) -> None:
        for child in group:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        started = time.monotonic()
        while self._signals < 2:
            waiting = [
                child
                for child in group
                if child.process is not None
                and child.process.poll() is None
                and time.monotonic() < started + child.stop_patience_s
            ]
            if not waiting:
                break
            self._pump(0.1)
        for child in group:
            if child.process is None:
                continue
            if child.process.poll() is None and self._signals < 2:
                self._console.say(f"{child.name} did not end in time and is killed.")
            kill_session(child.process.pid)
            child.process.wait()
            self._drain(child)
            child.process = None


class _Interrupted(Exception):
    """A signal came during the start."""


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Run the whole engine on this machine.")
    parser.add_argument("--without", action="append", default=[], metavar="PART", help="leave a part out (repeatable)")
    return Supervisor(parser.parse_args().without).run()


if __name__ == "__main__":
    sys.exit(main())
