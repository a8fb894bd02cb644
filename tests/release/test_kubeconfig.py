"""Which cluster, and as whom; what cannot be is told in a sentence that says what to mend."""

import json
import ssl
import subprocess
from pathlib import Path

import pytest
import yaml

from k8s.cluster import Cluster, connect
from k8s.errors import Refused, Unreachable
from tests.release.api_server import Json, Shelf, kubeconfig


def test_without_a_configuration_there_is_no_cluster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    nowhere = f"{tmp_path}/nowhere"
    place = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(place, nowhere)
    with pytest.raises(Unreachable, match="No cluster"):
        connect()


@pytest.mark.parametrize("text", ["", "[]", "contexts: 7\ncurrent-context: x"])
def test_a_configuration_that_is_none_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    (tmp_path / "config").write_text(text)
    place = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(place, str(tmp_path / "config"))
    with pytest.raises(
        Unreachable, match=r"^No cluster is configured \(.+\); look at KUBECONFIG\.$"
    ):
        connect()


def written(shelf: Shelf, folder: Path, cluster: Json, user: Json) -> None:
    """The shelf's kubeconfig, otherwise."""
    path = kubeconfig(shelf, folder)
    whole = yaml.safe_load(path.read_text())
    whole["clusters"][0]["cluster"] |= cluster
    whole["users"][0]["user"] |= user
    path.write_text(yaml.safe_dump(whole))


def test_a_certificate_that_was_cut_is_told_in_a_sentence(shelf: Shelf, tmp_path: Path) -> None:
    cut = {"server": "https://localhost", "certificate-authority-data": "LS0tL"}
    written(shelf, tmp_path, cut, {})
    with pytest.raises(Unreachable, match=r"^No cluster is configured \(.+\); look at KUBECONFIG"):
        connect()


def test_a_context_whose_namespace_is_empty_means_the_default_one(
    shelf: Shelf, tmp_path: Path
) -> None:
    path = kubeconfig(shelf, tmp_path)
    whole = yaml.safe_load(path.read_text())
    whole["contexts"][0]["context"]["namespace"] = None
    path.write_text(yaml.safe_dump(whole))
    assert connect().namespace == "default"


def test_a_misspelt_configuration_is_told_with_its_file_and_line(
    shelf: Shelf, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("contexts: []\nclusters: {[\n")
    with pytest.raises(Unreachable, match=f"{path}, line 3: "):
        connect()


@pytest.mark.parametrize(
    ("command", "told"), [("aws-nope", "aws-nope"), ("false", "process returned 1")]
)
def test_a_program_that_gives_no_credentials_is_told_and_nobody_goes_on_without(
    shelf: Shelf, tmp_path: Path, command: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    version = "client.authentication.k8s.io/v1"
    started = {"apiVersion": version, "command": command, "interactiveMode": "Never"}
    written(shelf, tmp_path, {}, {"exec": started})
    with pytest.raises(Unreachable, match=f"Nothing to sign in with: .*{told}"):
        connect()
    assert capsys.readouterr().err == ""


@pytest.fixture
def secret_door(shelf: Shelf, tmp_path: Path) -> str:
    """The shelf's address with TLS, whose certificate nobody knows."""
    certificate = tmp_path / "own.pem"
    curve = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
    files = ("-keyout", str(certificate), "-out", str(tmp_path / "certificate"))
    name = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", *curve, "-nodes", *name, *files],
        check=True,
        capture_output=True,
    )
    with certificate.open("a") as file:
        file.write((tmp_path / "certificate").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    shelf.socket = context.wrap_socket(shelf.socket, server_side=True)
    return f"https://127.0.0.1:{shelf.server_address[1]}"


def test_a_certificate_that_is_not_to_be_trusted_is_told_as_such(
    secret_door: str, shelf: Shelf, tmp_path: Path
) -> None:
    written(shelf, tmp_path, {"server": secret_door}, {})
    with pytest.raises(Unreachable, match=r"refused \(self.signed certificate\): compare"):
        Cluster(connect()).road("glm")


def test_a_certificate_of_another_host_is_told_without_a_word_on_whom_to_trust(
    secret_door: str, shelf: Shelf, tmp_path: Path
) -> None:
    trusted = {"server": secret_door.replace("127.0.0.1", "localhost")}
    trusted |= {"certificate-authority": str(tmp_path / "certificate")}
    written(shelf, tmp_path, trusted, {})
    with pytest.raises(Unreachable, match=r"certificate is refused \(Hostname mismatch.*\)\.$"):
        Cluster(connect()).road("glm")


def test_who_has_said_that_any_certificate_will_do_is_not_warned_at_every_call(
    secret_door: str, shelf: Shelf, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    written(shelf, tmp_path, {"server": secret_door, "insecure-skip-tls-verify": True}, {})
    assert Cluster(connect()).road("glm") is not None
    assert not list(recwarn)


def test_a_context_that_there_is_not_is_told_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    known = [{"name": each, "context": {"cluster": "c", "user": "u"}} for each in ("here", "there")]
    text = {
        "contexts": known,
        "current-context": "here",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "config").write_text(json.dumps(text))
    place = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(place, str(tmp_path / "config"))
    with pytest.raises(Refused, match=r"^No context nope in .*; there is here, there\.$"):
        connect("nope")
    assert connect("there").namespace == "default"
