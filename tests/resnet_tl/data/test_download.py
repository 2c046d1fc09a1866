import datetime
import errno
import ipaddress
import random
import ssl
from pathlib import Path

import pytest

from resnet_tl.address import parse
from resnet_tl.data.download import RETRIES, download
from resnet_tl.errors import DataError
from tests.resnet_tl.data.file_server import Served, serving

CONTENT = random.Random(0).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.data.download.PAUSE_S", 0.0)


def fetch(served: Served, path: Path, login: str = "") -> None:
    download(parse(served.url.replace("://", f"://{login}@") if login else served.url, "data.url"), path)


def test_a_connection_that_is_cut_goes_on_where_it_was(tmp_path: Path) -> None:
    with serving(Served(CONTENT, cut_after=[1_000_000, 500_000])) as served:
        fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert [asked.get("Range") for asked in served.asked] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_later_start_goes_on_too(tmp_path: Path) -> None:
    with serving(Served(CONTENT, cut_after=[1_000_000] + [0] * (RETRIES + 1))) as served:
        with pytest.raises(DataError, match=r"cut after 1,000,000 of 3,000,000 bytes. 1,000,000 bytes .* are kept"):
            fetch(served, tmp_path / "a")
        served.asked.clear()
        fetch(served, tmp_path / "a")
        assert [asked.get("Range") for asked in served.asked] == ["bytes=1000000-"]
        fetch(served, tmp_path / "a")  # all of it is there
        assert len(served.asked) == 2
    assert (tmp_path / "a").read_bytes() == CONTENT


@pytest.mark.parametrize("how", [{"ranges": False}, {"tag": None}, {"tag": 'W/"weak"'}])
def test_a_server_that_cannot_go_on_begins_anew(tmp_path: Path, how: dict[str, object]) -> None:
    with serving(Served(CONTENT, cut_after=[1_000_000], **how)) as served:  # type: ignore[arg-type]
        fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_nothing_is_put_together_of_two_versions(tmp_path: Path) -> None:
    with serving(Served(CONTENT, cut_after=[1_000_000] + [0] * (RETRIES + 1))) as served:
        with pytest.raises(DataError):
            fetch(served, tmp_path / "a")
        served.content, served.tag = CONTENT[::-1], '"two"'
        fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT[::-1]


def test_a_file_that_got_shorter_comes_anew(tmp_path: Path) -> None:
    with serving(Served(CONTENT)) as served:
        fetch(served, tmp_path / "a")
        served.content = CONTENT[:100]  # with the tag of before
        fetch(served, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT[:100]


@pytest.mark.parametrize("status", [401, 404, 500])
def test_refusals_are_told_without_the_login(tmp_path: Path, status: int) -> None:
    with serving(Served(b"", status=status)) as served, pytest.raises(DataError, match=f"answers {status}") as caught:
        fetch(served, tmp_path / "a", "me:geheim")
    assert "geheim" not in str(caught.value)


def test_a_login_is_told_to_its_host_alone(tmp_path: Path) -> None:
    with serving(Served(CONTENT)) as other, serving(Served(b"", to=other.url)) as served:
        fetch(served, tmp_path / "a", "me:geheim")
    assert "Authorization" in served.asked[0]
    assert "Authorization" not in other.asked[0]
    assert (tmp_path / "a").read_bytes() == CONTENT
    with serving(Served(CONTENT, login="me:ge:heim@x")) as served:
        fetch(served, tmp_path / "b", "me:ge%3Aheim%40x")


def test_a_host_that_is_not_there_is_told(tmp_path: Path) -> None:
    with serving(Served(b"")) as served:
        pass
    with pytest.raises(DataError, match="cannot be had: .*refused"):
        fetch(served, tmp_path / "a")


def test_a_certificate_that_is_not_trusted_is_refused(tmp_path: Path) -> None:
    with serving(Served(CONTENT), _own_certificate(tmp_path)) as served:
        with pytest.raises(DataError, match=r"certificate is trusted here.*self.signed certificate.*SSL_CERT_FILE"):
            fetch(served, tmp_path / "a")
        assert not (tmp_path / "a").exists()


def test_a_full_disk_is_no_broken_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("resnet_tl.data.download._copy", full)
    with serving(Served(CONTENT)) as served, pytest.raises(OSError, match="No space left on device") as caught:
        fetch(served, tmp_path / "a")
    assert caught.value.filename == str(tmp_path / "a")
    assert len(served.asked) == 1


def _own_certificate(folder: Path) -> ssl.SSLContext:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    own = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (folder / "own.pem").write_bytes(own.public_bytes(pem) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "own.pem")
    return context


def test_a_server_that_never_gets_further_ends_the_download(tmp_path: Path) -> None:
    cuts = [1_000_000 if number % 2 else 500_000 for number in range(20 * RETRIES)]
    with (
        serving(Served(CONTENT, cut_after=cuts, ranges=False)) as served,
        pytest.raises(DataError, match="was cut after"),
    ):
        fetch(served, tmp_path / "a")
    assert len(served.asked) <= 2 * RETRIES + 4
