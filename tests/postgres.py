"""A PostgreSQL server for tests, from the programs that a distribution brings."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import psycopg

USER, PASSWORD = "ledgerowner", "s3cret/pass@word"


class PostgresServer:
    """Runs on this machine's own address alone, and loses its data when it is removed.

    Args:
        programs: folder of `initdb` and `pg_ctl`.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="sweeps-postgres-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        (self.folder / "password").write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (self.folder, self.folder / "password"):
                shutil.chown(path, "postgres")
        self.run(
            "initdb", "-U", USER, "--pwfile", str(self.folder / "password"), "-A", "scram-sha-256", "-N", "-E", "UTF8",
            # words in the order of a dictionary, unlike SQLite
            "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as stream:
            stream.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nunix_socket_directories = '{self.folder}'\n"
                "fsync = off\nfull_page_writes = off\nshared_buffers = 16MB\n"
            )
        self.start()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def run(self, program: str, *words: str) -> None:
        """Runs one of PostgreSQL's programs, which refuse to be run by root."""
        before = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        words = (*before, str(self._programs / program), "-D", str(self.data), *words)
        # its server inherits the output, so that nobody may wait for its end
        with (self.folder / "output").open("a+") as output:
            done = subprocess.run(words, stdout=output, stderr=output, check=False, cwd=self.folder)
            output.seek(0)
            assert done.returncode == 0, output.read()

    def start(self) -> None:
        self.run("pg_ctl", "-w", "start", "-l", str(self.folder / "log"))

    def stop(self) -> None:
        """As a crash does: whoever is connected is cut off."""
        self.run("pg_ctl", "-w", "stop", "-m", "immediate")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def address(self, database: str, user: str = USER, password: str = "s3cret%2Fpass%40word") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs one statement as the owner of all."""
        with psycopg.connect(self.address(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_database(self, name: str) -> str:
        self.execute(f"CREATE DATABASE {name}")
        return self.address(name)


def start_server() -> PostgresServer | str:
    """A server, or why there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    places = [*([Path(on_path).parent] if on_path else []), *sorted(found, key=lambda place: -int(place.parent.name))]
    if not places:
        return "no PostgreSQL server is installed here (Debian: apt install postgresql)"
    if os.geteuid() == 0 and "postgres" not in {entry.pw_name for entry in pwd.getpwall()}:
        return "PostgreSQL refuses to be run by root, and there is no user postgres"
    return PostgresServer(places[0])
