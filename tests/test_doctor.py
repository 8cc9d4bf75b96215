"""The doctor: on this machine as it is, and on one that has something."""

import getpass
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import HfHubHTTPError

from helpers import doctor

ROOT = Path(__file__).resolve().parents[1]


def said(capsys) -> list[str]:
    doctor.examine()
    return capsys.readouterr().out.splitlines()


def test_a_few_lines_without_paths_or_names():
    run = [sys.executable, "-m", "helpers"]
    result = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, check=True)
    lines = result.stdout.splitlines()
    assert 8 <= len(lines) <= 12
    assert all(line.startswith(("ok  ", "!!  ")) for line in lines)
    assert str(ROOT) not in result.stdout and str(Path.home()) not in result.stdout
    assert getpass.getuser() not in result.stdout.replace(" ", "")
    assert f"torch {metadata.version('torch')}" in result.stdout


ILLS = {
    "an old package": (
        ("REQUIREMENTS", "pillow>=999\n"),
        "pip install “pillow>=999”",
    ),
    "a missing package": (
        ("REQUIREMENTS", "no-such-hippo>=1\n"),
        "no-such-hippo>=1 is missing: pip install",
    ),
    "no room on the disk": (("DOWNLOAD", 10.0**9), "are needed: delete models"),
    "no hub": (("hub_problem", lambda: "why"), "hub: not reached (why); the pocket"),
    "a token in quotes": (
        ("token_problem", lambda: "has quotes"),
        "token: there is one, and it has quotes: hf auth logout",
    ),
    "no pocket model": (("POCKET", Path("nowhere")), "missing: clone the course again"),
}


@pytest.mark.parametrize("ill", ILLS)
def test_names_what_is_wrong_and_the_fix(ill, monkeypatch, capsys, tmp_path):
    (name, value), expected = ILLS[ill]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(doctor, "hub_problem", lambda: None)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_hippo")
    monkeypatch.setattr("huggingface_hub.HfApi.whoami", lambda self: None)
    healthy = [line for line in said(capsys) if line.startswith("ok")]
    if name == "REQUIREMENTS":
        (tmp_path / "requirements.txt").write_text(value)
        value = tmp_path / "requirements.txt"
    monkeypatch.setattr(doctor, name, value)
    (complaint,) = [line for line in said(capsys) if expected in line]
    assert complaint.startswith("!!") and complaint not in healthy


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            401,
            "!!  token: there is one, and the hub does not accept it: hf auth logout",
        ),
        (429, "ok  token: there is one; the hub did not say whether it is good"),
        (None, "ok  token: there is one, and the hub accepts it"),
    ],
)
def test_only_the_hub_calls_a_token_bad(status, expected, monkeypatch, capsys):
    def whoami(self):
        if status:
            answer = SimpleNamespace(status_code=status, headers={}, request=None)
            raise HfHubHTTPError("no", response=answer)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_hippo")
    monkeypatch.setattr("huggingface_hub.HfApi.whoami", whoami)
    monkeypatch.setattr(doctor, "hub_problem", lambda: None)
    lines = said(capsys)
    assert any(line.startswith(expected) for line in lines), lines
    assert "hf_hippo" not in "".join(lines)


def test_colab_without_a_card_is_told_how_to_get_one(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    lines = said(capsys)
    assert lines[0].startswith("ok  Colab, Python 3.")
    assert any("Change runtime type > T4 GPU" in line for line in lines)
