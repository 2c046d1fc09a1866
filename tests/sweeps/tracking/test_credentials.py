"""No user, password or token of a tracking address is printed or stored, whether the tracker answers or fails."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from resnet_tl.address import parse
from sweeps.tracking.credentials import PASSWORD, TOKEN, USER, hand_over, one_line
from tests.conftest import write_images
from tests.sweeps.tracking.server import Server, serve

STUDY = """
study:
  {name: small, question: "Which?", method: grid, seeds: [0], space: {lr: {values: [1e-3, 1e-2]}}, figures: [curves]}
trial: {backbone: resnet18, weights: none, freeze: all, optimizer: sgd, epochs: 1, batch_size: 8}
data: {source: image_folder, root: images, size: 32}
run: {cache: cache, workers: 1TRACKED}
"""

Start = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    write_images(tmp_path / "images")

    def call(*words: str, module: str = "sweeps.run", **environment: str) -> "subprocess.CompletedProcess[bytes]":
        if not (tmp_path / "small.yaml").exists():
            (tmp_path / "small.yaml").write_text(STUDY.replace("TRACKED", ""))
        return subprocess.run(
            [sys.executable, "-m", module, *words],
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=300,
            env=os.environ | environment,
        )

    return call


def forms(secret: str) -> set[bytes]:
    return {secret.encode(), quote(secret, safe="").encode(), quote(secret).encode()}


def require_hidden(secrets: list[str], done: "subprocess.CompletedProcess[bytes]", folder: Path) -> None:
    """Looks through all that was printed, every file and every name of a file."""
    texts = {"output": done.stdout, "errors": done.stderr}
    for path in folder.rglob("*"):
        texts[f"name of {path}"] = os.fsencode(path)
        if path.is_file() and path.name != "small.yaml":
            texts[str(path)] = path.read_bytes()
    for secret in secrets:
        found = [name for name, text in texts.items() if any(form in text for form in forms(secret))]
        assert not found, f"{secret} is in {found}"


LOGINS = {
    "plain": ("bobby77:hunter2pass", "bobby77:hunter2pass", ["hunter2pass", "bobby77"]),
    "encoded": ("bobby77:p%40ss%2Fw%3Ard%25", "bobby77:p@ss/w:rd%", ["p@ss/w:rd%", "bobby77"]),
    "colons": ("bobby77:se:cret:pw", "bobby77:se:cret:pw", ["se:cret:pw"]),
    "user": ("onlyauser99", "", ["onlyauser99"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("status", [200, 403])
def test_a_study_hides_the_login_of_a_tracker_that_answers_and_of_one_that_refuses(
    login: str, status: int, start: Start, tmp_path: Path
) -> None:
    given, expected, secrets = LOGINS[login]
    with serve((tmp_path / "served").as_uri(), status) as server:
        address = f"http://{given}@{server.place}"
        for words in (["run.dry_run=true"], [], []):  # planned, done, and started again
            done = start("study=small.yaml", f"run.tracking_uri={address}", *words)
            assert done.returncode == 0, done.stderr
            require_hidden(secrets, done, tmp_path)
        told = start("study=small", f"run.tracking_uri={address}", "figures=all", module="sweeps.report")
        assert told.returncode == 0, told.stderr
        require_hidden(secrets, told, tmp_path)
        assert expected in server.logins
        if status == 200:
            seeds = [run for run in server.runs.values() if {"key": "kind", "value": "seed run"} in run["data"]["tags"]]
            assert [run["info"]["status"] for run in seeds] == ["FINISHED", "FINISHED"]
            assert b"MLflow lacks" not in done.stdout
        else:
            assert b"results are kept in the ledger" in done.stdout
            assert b"MLflow lacks 2 of the seed runs that have ended" in done.stdout


@pytest.mark.slow
def test_a_login_in_a_study_file_and_secrets_of_the_environment_are_hidden_too(start: Start, tmp_path: Path) -> None:
    with serve((tmp_path / "served").as_uri(), 401) as server:
        tracked = f", tracking_uri: 'http://bobby77:hunter2pass@{server.place}'"
        (tmp_path / "small.yaml").write_text(STUDY.replace("TRACKED", tracked))
        done = start("study=small.yaml", MLFLOW_TRACKING_URI="http://other:otherpass1@127.0.0.1:9")
        assert done.returncode == 0, done.stderr
        require_hidden(["hunter2pass", "bobby77", "otherpass1"], done, tmp_path)
        (tmp_path / "small.yaml").write_text(STUDY.replace("TRACKED", f", tracking_uri: 'http://{server.place}'"))
        done = start("study=small.yaml", **{TOKEN: "tok3n-of-mine"})
        assert done.returncode == 0, done.stderr
        assert server.logins == {"bobby77:hunter2pass", "tok3n-of-mine"}
        require_hidden(["hunter2pass", "tok3n-of-mine"], done, tmp_path)


@pytest.mark.slow
def test_an_unreachable_tracker_and_refused_requests_show_no_login(start: Start, tmp_path: Path) -> None:
    word = "run.tracking_uri=http://bobby77:hunter2pass@127.0.0.1:9"
    done = start("study=small.yaml", word)
    assert done.returncode == 0, done.stderr
    assert b"MLflow at http://127.0.0.1:9 fails" in done.stdout
    require_hidden(["hunter2pass", "bobby77"], done, tmp_path)
    for wrong in (
        [word, "trial.lr=nan"],
        [word, word],
        [word.replace("hunter2pass", "hunter2pass/#")],
        ["run.tracking_uri=bobby77:hunter2pass@127.0.0.1:9"],
        [word.replace("run.", "")],
        [f"[{word}"],
        [f"trial.weights={word.partition('=')[2]}"],
    ):
        done = start("study=small.yaml", *wrong)
        assert done.returncode == 2, (wrong, done.stdout)
        require_hidden(["hunter2pass", "bobby77"], done, tmp_path)


class TestHandingOver:
    @pytest.fixture(autouse=True)
    def environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (USER, PASSWORD, TOKEN):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    def test_a_servers_login_goes_to_the_environment_decoded(self) -> None:
        hand_over(parse("https://bob:p%40ss@host:5000/path", "x"))
        assert (os.environ[USER], os.environ[PASSWORD]) == ("bob", "p@ss")

    def test_a_user_alone_is_completed_by_the_password_of_the_environment(self) -> None:
        os.environ[PASSWORD] = "of the environment"
        hand_over(parse("https://bob@host", "x"))
        assert (os.environ[USER], os.environ[PASSWORD]) == ("bob", "of the environment")

    def test_a_database_keeps_its_own(self) -> None:
        hand_over(parse("postgresql://bob:pass@host/db", "x"))
        hand_over(None)
        assert USER not in os.environ

    def test_an_error_is_one_line_without_secrets(self) -> None:
        os.environ[PASSWORD], os.environ[TOKEN] = "p@ss/word", "tok3n"
        os.environ[USER] = "someone"
        error = OSError("\n no: someone, p@ss/word, p%40ss%2Fword, tok3n at http://bob:p@h?api_key=xyz.\nmore")
        assert one_line(error) == "no: …, …, …, … at http://h?api_key=…"
        assert one_line(OSError()) == "OSError"


@pytest.mark.slow
def test_a_tracker_that_was_away_gets_the_rest_at_the_next_start(start: Start, tmp_path: Path) -> None:
    assert start("study=small.yaml").returncode == 0
    with serve((tmp_path / "served").as_uri()) as server:
        # what our own database has is not what this one has
        done = start("study=small.yaml", f"run.tracking_uri=http://{server.place}")
        assert done.returncode == 0, done.stderr
        assert kinds(server) == {"trial": 2, "seed run": 2, "report": 1}
        server.runs.clear()
        server.experiments.clear()
        start("study=small.yaml", f"run.tracking_uri=http://{server.place}")
        assert kinds(server) == {"trial": 2, "seed run": 2, "report": 1}


def kinds(server: Server) -> dict[str, int]:
    found = [t["value"] for run in server.runs.values() for t in run["data"]["tags"] if t["key"] == "kind"]
    return {kind: found.count(kind) for kind in dict.fromkeys(sorted(found, reverse=True))}


def test_what_is_shown_of_an_address_is_all_but_its_secrets() -> None:
    address = parse("postgresql+psycopg://bob:pa%3Ass@host:5432/db?sslpassword=xyz&mode=a", "x")
    assert address.shown == "postgresql+psycopg://host:5432/db?sslpassword=…&mode=a"
    assert address.full == "postgresql+psycopg://bob:pa%3Ass@host:5432/db?sslpassword=xyz&mode=a"
    assert "pa" not in repr(dataclasses.replace(address, scheme="x"))
