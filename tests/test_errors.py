"""What is raised reaches the learner as a sentence, whoever raised it."""

import errno
import json
import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch
from IPython.core.interactiveshell import InteractiveShell

from helpers import errors
from helpers.errors import in_plain_words, speak_plainly

RUST = "__import__('safetensors').SafetensorError("  # as safetensors says it


def raised(code: str, folder) -> BaseException:
    names = {"torch": torch, "json": json, "pickle": pickle, "os": os, "d": folder}
    names |= {"safe_open": safetensors.safe_open, "zipfile": zipfile}
    names["save_file"] = safetensors.torch.save_file
    with pytest.raises(BaseException) as caught:
        exec(code, names)
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("open('/dev/full', 'w').write('x' * 10**6)", "disk full"),
        ("torch.save(torch.zeros(10**6), '/dev/full')", "disk full"),
        ("open(d / 'none.png')", "no file"),
        ("open(d)", "no file"),
        ("open('x' * 999)", "no file"),
        ("open(d / 'gone' / 'film.gif', 'wb')", "no folder"),
        ("save_file({'a': torch.zeros(1)}, d / 'gone' / 'a')", "no folder"),
        (f"raise {RUST}'Error while serializing: (os error 28)')", "disk full"),
        ("safe_open(d / 'none', 'pt')", "no file"),
        ("raise KeyboardInterrupt", "stopped"),
        ("(d / 'a').write_bytes(b'PK'); torch.load(d / 'a')", "damaged"),
        ("(d / 'a').write_bytes(b''); torch.load(d / 'a')", "damaged"),
        ("(d / 'a').write_bytes(b'x'); safe_open(d / 'a', 'pt')", "damaged"),
        ("(d / 'a').write_bytes(b'x'); zipfile.ZipFile(d / 'a')", "damaged"),
        ("json.loads('{')", "damaged"),
        ("b'\\xff'.decode()", "damaged"),
        ("torch.Generator().manual_seed(10**20)", "too many digits"),
        ("torch.zeros(2**50)", "memory full"),
        ("'x' * 2**62", "memory full"),
        ("raise ConnectionRefusedError(111, 'refused')", "offline"),
    ],
)
def test_errors_of_every_library_have_a_sentence(tmp_path, code, kind):
    said = in_plain_words(raised(code, tmp_path))
    assert said is not None and said.kind == kind
    assert str(tmp_path) not in str(said)


@pytest.mark.parametrize(
    "code", ["1 / 0", "torch.zeros(2) @ torch.zeros(3)", "{}['x']", "None.images"]
)
def test_faults_in_code_keep_the_lines_that_led_to_them(tmp_path, code):
    assert in_plain_words(raised(code, tmp_path)) is None


def test_a_cell_that_stops_shows_the_sentence_and_keeps_the_kernel(capsys):
    shell = InteractiveShell()
    speak_plainly(shell)
    result = shell.run_cell("open('/nowhere/hippo.png')")
    text = capsys.readouterr().out
    assert not result.success and isinstance(errors.last, FileNotFoundError)
    assert "“hippo.png”" in text and "/nowhere" not in text
    assert len(text.strip().splitlines()) == 1
    assert shell.run_cell("2 + 2").result == 4
    shell.run_cell("x = 1\nx / 0")
    text = capsys.readouterr().out
    assert "division by zero" in text and "Traceback" in text


@pytest.fixture
def told(capsys):
    """Runs a cell; gives the lines that a learner reads, and whether it failed."""
    shell = InteractiveShell()
    speak_plainly(shell)

    def told(cell: str) -> list[str]:
        capsys.readouterr()
        assert not shell.run_cell(cell).success
        return capsys.readouterr().out.strip().splitlines()

    return told


def test_a_cell_that_is_stopped_shows_a_sentence_and_no_reproach(told):
    (line,) = told("def f():\n    raise KeyboardInterrupt\nf()")
    assert line.startswith("Stopped: ") and isinstance(errors.last, KeyboardInterrupt)


def test_a_name_of_a_cell_that_did_not_run_is_told_with_its_line(told):
    (line,) = told("seeds = 3\nprint(prompt)")
    assert "“prompt”" in line and "line 2: print(prompt)" in line
    (line,) = told("def draw():\n    return seds\ndraw()")
    assert "line 2: return seds" in line and "“seeds”" in line


@pytest.mark.parametrize("code", ["import ast; ast.nothing()", "f = lambda: g; f.x"])
def test_other_names_that_are_not_there_are_faults_in_code(told, code):
    assert len(told(code)) > 1


def test_every_number_of_the_system_that_is_told_exists():
    said = in_plain_words(OSError(errno.EROFS, "read-only", "out"))
    assert said.kind == "read-only" and "“out”" in said.sentence
    assert in_plain_words(OSError(errno.EIO, "of another kind")) is None
