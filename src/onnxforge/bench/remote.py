"""Measuring on another machine by ssh, which needs there nothing but Python 3.11.

What is taken there is this library as a wheel and the models.  Files are named after their
contents, so that what is there already is not sent again.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import tempfile
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict
from hashlib import file_digest, sha256
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from onnxforge.bench import wheel
from onnxforge.bench.configuration import Settings
from onnxforge.bench.jobs import Answer, Job
from onnxforge.errors import BenchmarkError

if TYPE_CHECKING:
    import asyncssh

_CACHE = ".cache/onnxforge/bench"


def answers(
    host: str, todo: Sequence[Job], settings: Settings, python: str | None = None
) -> Iterator[Answer]:
    """Run the jobs on *host*, written USER@HOST:PORT, of which all but the host may be left out.

    Keys and host names are those of ~/.ssh.  With *python*, the path of one there that has the
    libraries we need, nothing is installed; otherwise a virtual environment is made, once, beside
    the models in ~/.cache/onnxforge.

    Raises `BenchmarkError`, naming the host, if it cannot be reached or something fails there.
    """
    try:
        import asyncssh
    except ImportError as error:
        raise BenchmarkError(
            "ssh is spoken by asyncssh: pip install 'onnxforge[remote]'"
        ) from error
    stream = _answers(host, todo, settings, python)

    async def following() -> Answer | None:
        return await anext(stream, None)

    with asyncio.Runner() as runner:
        try:
            while (answer := runner.run(following())) is not None:
                yield answer
        except (asyncssh.Error, OSError) as error:
            raise BenchmarkError(f"{host}: {error}") from error
        finally:
            runner.run(stream.aclose())


async def _answers(
    host: str, todo: Sequence[Job], settings: Settings, python: str | None
) -> AsyncGenerator[Answer, None]:
    import asyncssh

    user, _, address = host.rpartition("@")
    name, _, port = address.partition(":")
    options: dict[str, Any] = {"username": user} if user else {}
    if port:
        options["port"] = int(port)
    async with asyncssh.connect(name, **options) as connection:
        board = _Board(host, connection)
        command = await board.install(python)
        request = {
            "settings": asdict(settings),
            "jobs": [await board.ship(job) for job in todo],
        }
        async with connection.create_process(command) as process:
            process.stdin.write(f"{json.dumps(request)}\n")
            process.stdin.write_eof()
            async for line in process.stdout:
                if not line:  # the end, if nothing else was left to read
                    break
                answer = json.loads(line)
                if "error" in answer:
                    raise BenchmarkError(f"{host}: {answer['error']}")
                yield answer
            status = await process.wait()
            if status.exit_status:
                said = str(status.stderr or "").strip().split("\n")[-1]
                raise BenchmarkError(f"{host}: ended with status {status.exit_status}: {said}")


class _Board:
    """What is done at the other end before anything is measured."""

    def __init__(self, host: str, connection: asyncssh.SSHClientConnection) -> None:
        self._host = host
        self._connection = connection

    async def install(self, python: str | None) -> str:
        """Have this library there; the command that starts it."""
        with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
            file = wheel.build(Path(folder))
            place = PurePosixPath(_CACHE, _digest(file))
            await self._put([(str(place / file.name), file)])
        there = shlex.quote(str(place / file.name))
        if python is not None:
            own, library = shlex.quote(python), place / "lib"
            await self._run(f"test -e {library} || {own} -m zipfile -e {there} {library}")
            return f"PYTHONPATH={library} {own} -P -m onnxforge.bench"
        ready = place / "ready"
        await self._run(
            f"test -e {ready} || {{ python3 -m venv --system-site-packages {place}/env && "
            f"{place}/env/bin/python -m pip install -q {there} && touch {ready}; }}"
        )
        return f"{place}/env/bin/python -P -m onnxforge.bench"

    async def ship(self, job: Job) -> dict[str, Any]:
        """Have a job's files there; the job as the other end reads it."""
        with tempfile.TemporaryDirectory(prefix="onnxforge-") as folder:
            files = [*job.files(), *job.write_feeds(Path(folder))]
            digests = sorted(f"{name} {_digest(path)}" for name, path in files)
            place = PurePosixPath(_CACHE, "models", _hash("\n".join(digests)))
            await self._put([(str(place / name), path) for name, path in files])
        return {**job.packed(), "folder": str(place)}

    async def _put(self, files: Sequence[tuple[str, Path]]) -> None:
        async with self._connection.start_sftp_client() as sftp:
            for there, here in files:
                if await sftp.exists(there):
                    continue
                await sftp.makedirs(str(PurePosixPath(there).parent), exist_ok=True)
                # Under its own name only when it is complete: a later try would trust it.
                await sftp.put(str(here), f"{there}.part")
                await sftp.posix_rename(f"{there}.part", there)

    async def _run(self, command: str) -> None:
        done = await self._connection.run(command, check=False)
        if done.exit_status:
            said = str(done.stderr or done.stdout or "").strip().split("\n")[-1]
            said = said or f"{command} ended with status {done.exit_status}"
            raise BenchmarkError(
                f"{self._host}: {said}; Debian has what is missing in python3-venv, or name by "
                "--python one that has onnxruntime"
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()[:16]


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
