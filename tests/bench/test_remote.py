"""Measuring over ssh, by a server on loopback that runs commands as a board would."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from quick import QUICK

from onnxforge.bench import Configuration, remote, wheel
from onnxforge.bench.jobs import Job
from onnxforge.errors import BenchmarkError

asyncssh = pytest.importorskip("asyncssh", reason="the extra `remote` is not installed")

# Of asyncssh's own, when a connection ends before its queues are read.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine 'Queue.join'")


class Board:
    """An ssh server with a home of its own, for a user with a key, in a thread."""

    def __init__(self, home: Path, host_key: Any, user_key: Any) -> None:
        self.home = home
        self.commands: list[str] = []
        self.port = 0
        self._keys = (host_key, user_key)
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=[self._serve()])
        self._thread.start()
        self._is_listening.wait(60)

    async def _serve(self) -> None:
        host_key, user_key = self._keys
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        public = user_key.export_public_key().decode()
        server = await asyncssh.listen(
            *("127.0.0.1", 0),
            server_host_keys=[host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(public),
            process_factory=self._run,
            sftp_factory=lambda channel: asyncssh.SFTPServer(channel, chroot=str(self.home)),
        )
        self.port = server.sockets[0].getsockname()[1]
        self._is_listening.set()
        await self._end.wait()
        server.close()
        await server.wait_closed()

    async def _run(self, process: Any) -> None:
        self.commands.append(process.command)
        child = await asyncio.create_subprocess_shell(
            process.command,
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        # Not by `redirect`, which may still have something to pass on when the channel is closed.
        feeding = asyncio.create_task(self._feed(process, child))
        await asyncio.gather(
            self._pass_on(child.stdout, process.stdout), self._pass_on(child.stderr, process.stderr)
        )
        feeding.cancel()
        process.exit(await child.wait())

    async def _feed(self, process: Any, child: Any) -> None:
        with contextlib.suppress(OSError):  # a command may end before it has read all
            async for line in process.stdin:
                child.stdin.write(line.encode())
                await child.stdin.drain()
            child.stdin.close()

    async def _pass_on(self, source: Any, sink: Any) -> None:
        while line := await source.readline():
            sink.write(line.decode())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Board]:
    """A board, and an ~/.ssh that knows it."""
    home, keys = tmp_path / "board", tmp_path / "home" / ".ssh"
    home.mkdir()
    keys.mkdir(parents=True)
    host_key, user_key = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    board = Board(home, host_key, user_key)
    user_key.write_private_key(keys / "id_ed25519")
    public = host_key.export_public_key().decode()
    (keys / "known_hosts").write_text(f"[127.0.0.1]:{board.port} {public}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield board
    board.stop()


def address(board: Board) -> str:
    return f"someone@127.0.0.1:{board.port}"


def test_models_are_measured_at_the_other_end(board: Board, convolution: Path) -> None:
    job = Job((convolution,), Configuration(), feeds={"x": np.ones((2, 3, 8, 8), np.float32)})
    first, second = remote.answers(address(board), [job], QUICK, python=sys.executable)
    assert first["machine"]["architecture"]
    (row,) = second["rows"]
    assert row["model"] == "convolution"
    assert "median" in row, row
    assert board.commands[-1].endswith("-m onnxforge.bench")


def test_what_is_there_already_is_not_sent_again(board: Board, convolution: Path) -> None:
    jobs = [Job((convolution,), Configuration())]
    list(remote.answers(address(board), jobs, QUICK, python=sys.executable))
    sent = {path: path.stat().st_mtime_ns for path in board.home.rglob("*") if path.is_file()}
    list(remote.answers(address(board), jobs, QUICK, python=sys.executable))
    assert sent == {p: p.stat().st_mtime_ns for p in board.home.rglob("*") if p.is_file()}
    assert any(path.suffix == ".whl" for path in sent)
    assert not any(path.suffix == ".part" for path in sent)


def test_what_fails_there_is_told_with_its_host(board: Board, convolution: Path) -> None:
    with pytest.raises(BenchmarkError, match=rf"{address(board)}: .*nowhere/python.* --python"):
        list(
            remote.answers(
                address(board), [Job((convolution,), Configuration())], QUICK, "/nowhere/python"
            )
        )


def test_a_host_that_does_not_answer_is_named(convolution: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"127.0.0.1:1: "):
        list(remote.answers("127.0.0.1:1", [Job((convolution,), Configuration())], QUICK))


def test_a_board_whose_key_is_not_known_is_not_trusted(board: Board, convolution: Path) -> None:
    (Path(board.home).parent / "home" / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(BenchmarkError, match=r"[Hh]ost key"):
        list(remote.answers(address(board), [Job((convolution,), Configuration())], QUICK))


def test_the_wheel_installs_and_has_its_command(tmp_path: Path) -> None:
    path = wheel.build(tmp_path)
    with ZipFile(path) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith("RECORD"))
        recorded = [line.rsplit(",", 2)[0] for line in archive.read(record).decode().splitlines()]
    assert sorted(recorded) == sorted(names)
    assert "onnxforge/bench/report.html" in names
    assert "onnxforge_passes/__init__.py" in names
    target = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(target), str(path)], check=True)
    assert (target / "bin" / "onnxforge").exists()
