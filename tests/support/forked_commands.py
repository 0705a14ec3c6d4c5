"""The command line without its start: each command runs in a fork of one process that has imported everything."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["forked_commands"]

# What stands for the command on the PATH. It hands over its arguments, folder, environment and streams.
STUB = """#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({socket!r})
    call = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(connection, [call], [0, 1, 2])
    sys.exit(int(connection.recv(8) or b"1"))
"""
MOST_BYTES = 200_000


@contextmanager
def forked_commands(folder: Path) -> Iterator[Path]:
    """A folder for the PATH with `groq-fallback-mcp` in it, which works until the block ends."""
    address = folder / "socket"
    stub = folder / "groq-fallback-mcp"
    stub.write_text(STUB.format(python=sys.executable, socket=str(address)), encoding="utf-8")
    stub.chmod(0o755)
    with subprocess.Popen([sys.executable, __file__, str(address)], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        try:
            yield folder
        finally:
            server.terminate()


def serve(address: str) -> None:
    """Answer calls of the stub until the process is ended."""
    package = importlib.import_module("groq_fallback_mcp")
    for module in pkgutil.walk_packages(package.__path__, "groq_fallback_mcp."):
        # speech and text models take seconds, and no document needs them
        if ".providers.local" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    # nobody waits for the children
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            call, streams, *_ = socket.recv_fds(connection, MOST_BYTES, 3)
            if os.fork() == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                connection.send(str(run(call, streams)).encode())
                os._exit(0)
            connection.close()
            for stream in streams:
                os.close(stream)


def run(call: bytes, streams: list[int]) -> int:
    """Be the command, and return its exit code."""
    arguments, folder, environment = json.loads(call)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["groq-fallback-mcp", *arguments]
    try:
        importlib.import_module("groq_fallback_mcp.cli.app").main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter would
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
