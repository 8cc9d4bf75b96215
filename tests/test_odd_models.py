"""Odd names, folders and files, tried by machine: a pipeline, or a ``Mistake``."""

import json
import shutil

import pytest
from devices import CPU
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.catalogue import CATALOGUE, POCKET, Model
from helpers.errors import Mistake
from helpers.models import choose, describe, load

pytestmark = [pytest.mark.usefixtures("offline"), pytest.mark.seconds(20)]
CALM = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def some(count):
    return settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=CALM,
    )


def loads(name) -> str | None:
    """The kind of mistake that loading it is, or None."""
    try:
        pipe = load(str(name))
    except Mistake as mistake:
        assert "\n" not in str(mistake) and len(str(mistake)) < 400
        return mistake.kind
    assert pipe.unet is not None
    return None


paths = st.sampled_from(
    ["..", "../..", "/", "~", "~nobody/x", "C:\\x", "\\\\a\\b", "http://[", "a//b"]
    + ["https://huggingface.co/a/b/tree/c", "pocket/model", "notebooks", "README.md"]
    + ["a/b@", "@", "@@/a", "a/b@../../c", "\ud800", "\0", "a\0b", "🦊/🦊", "x" * 9999]
    + ["a/b@" + "x" * 9999, "pocket/model/unet", "tests/test_hub.py", "*", "[a-"]
)


@some(400)
@given(st.lists(st.one_of(st.text(max_size=20), paths), max_size=3).map("".join))
def test_an_odd_name_is_a_model_or_a_mistake(name):
    """Named only: what would be fetched is not read."""
    try:
        model, _ = choose(name, CPU)
    except Mistake as mistake:
        assert "\n" not in str(mistake) and len(str(mistake)) < 800
    else:
        assert isinstance(model, Model)
        if model.id != CATALOGUE["pocket"].id:
            assert loads(name) == "offline"


scraps = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
    ),
    max_leaves=6,
)
FILES = {
    file: json.loads((POCKET / file).read_text())
    for file in (
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "vae/config.json",
        "text_encoder/config.json",
        "tokenizer/tokenizer_config.json",
    )
}


@st.composite
def damaged(draw):
    """A file of settings, and what is in it instead."""
    file = draw(st.sampled_from([*FILES, *FILES, "tokenizer/tokenizer.json"]))
    how = draw(
        st.sampled_from(["value", "value", "gone", "all", "bytes", "cut", "no file"])
    )
    whole = (POCKET / file).read_bytes()
    if how == "no file":
        return file, None
    if how in ("value", "gone") and file in FILES:
        content = dict(FILES[file])
        key = draw(st.sampled_from(sorted(content)))
        content.pop(key)
        if how == "value":
            content[key] = draw(scraps)
        return file, json.dumps(content).encode()
    if how == "all":
        return file, json.dumps(draw(scraps)).encode()
    if how == "cut":
        return file, whole[: draw(st.integers(0, len(whole)))]
    return file, draw(st.binary(max_size=40))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return shutil.copytree(POCKET, tmp_path_factory.mktemp("odd") / "model")


@some(60)
@given(damaged())
def test_an_odd_file_of_settings_is_a_pipeline_or_a_mistake(folder, case):
    file, content = case
    whole = (folder / file).read_bytes()
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    try:
        loads(folder)
    finally:
        (folder / file).write_bytes(whole)


@some(25)
@given(st.data())
def test_odd_weights_are_a_pipeline_or_a_mistake(folder, data):
    """Cut off, or with other bytes in the first part, which says what is where."""
    parts = ["unet/diffusion_pytorch_", "vae/diffusion_pytorch_", "text_encoder/"]
    file = folder / (data.draw(st.sampled_from(parts)) + "model.safetensors")
    whole = file.read_bytes()
    head = 8 + int.from_bytes(whole[:8], "little")
    if data.draw(st.booleans()):
        content = whole[: data.draw(st.integers(0, len(whole) - 1))]
    else:
        content = bytearray(whole)
        for place in data.draw(st.lists(st.integers(0, head), min_size=1, max_size=3)):
            content[place] = data.draw(st.integers(0, 255))
    file.write_bytes(content)
    try:
        loads(folder)
    finally:
        file.write_bytes(whole)


def test_whole_again_it_loads(folder):
    """What the tests above found wrong was what they had put there."""
    assert loads(folder) is None
    assert describe(load(str(folder))).address == str(folder)
