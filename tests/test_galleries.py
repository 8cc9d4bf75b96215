"""Galleries: each picture once, whichever process dies; picked by eye."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from PIL import Image

from helpers import gallery
from helpers.errors import Mistake
from helpers.images import apart
from helpers.memory import count_that_fits
from helpers.picker import Picker
from helpers.processes import seat, take_own_card
from scripts import make_gallery

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "make_gallery.py"
SETTINGS = {
    "model": "pocket",
    "size": 128,
    "num_inference_steps": 2,
    "guidance_scale": 7.5,
}
PROMPTS = ["a castle, overgrown", "a robot, dystopian", "a rocket, abandoned"]


def plan(folder, count=7, **changes):
    return gallery.plan(folder, PROMPTS, count, **SETTINGS | changes)


class Painter:
    """In the place of a pipeline: grey pictures, as light as their seed."""

    def __init__(self, die_at=None):
        self.seeds, self.sizes, self.die_at = [], [], die_at

    def __call__(self, prompts, *, generator, width, height, **settings):
        seeds = [g.initial_seed() for g in generator]
        if self.die_at in seeds:
            raise KeyboardInterrupt
        self.seeds += seeds
        self.sizes.append(len(prompts))
        grey = [Image.new("RGB", (width, height), (s, s, s)) for s in seeds]
        return SimpleNamespace(images=grey)


# The manifest


def test_the_manifest_comes_first_and_says_all_that_makes_a_picture(tmp_path):
    rows = plan(tmp_path, first_seed=40)
    assert rows == gallery.read_manifest(tmp_path)
    assert [row["index"] for row in rows] == list(range(7))
    assert [row["seed"] for row in rows] == list(range(40, 47))
    assert [row["prompt"] for row in rows[:4]] == [*PROMPTS, PROMPTS[0]]
    assert all(row.items() >= SETTINGS.items() for row in rows)
    assert gallery.to_do(tmp_path, rows) == rows


def test_a_gallery_may_grow_and_nothing_else(tmp_path):
    few, more = plan(tmp_path, 5), plan(tmp_path, 8)
    assert more[:5] == few and gallery.read_manifest(tmp_path) == more
    assert plan(tmp_path, 5) == few and gallery.read_manifest(tmp_path) == more
    for change in ({"num_inference_steps": 3}, {"first_seed": 1}, {"model": "x"}):
        with pytest.raises(Mistake) as caught:
            plan(tmp_path, **change)
        assert caught.value.kind == "other gallery"
        assert next(iter(change)).removeprefix("first_") in str(caught.value)
    assert gallery.read_manifest(tmp_path) == more


@pytest.mark.parametrize("text", ["{", '{"index": 1}\n', "3\n", '{"index": 0}\n{"in'])
def test_a_damaged_manifest_gets_a_sentence(text, tmp_path):
    (tmp_path / gallery.MANIFEST).write_text(text)
    with pytest.raises(Mistake) as caught:
        plan(tmp_path)
    assert caught.value.kind == "damaged"


@pytest.mark.parametrize(("prompts", "count"), [([], 3), (["a frog"], 0)])
def test_an_empty_gallery_gets_a_sentence(prompts, count, tmp_path):
    with pytest.raises(Mistake):
        gallery.plan(tmp_path, prompts, count, **SETTINGS)
    assert not list(tmp_path.iterdir())


# What is to do


def test_only_a_whole_picture_of_its_row_counts(tmp_path):
    rows = plan(tmp_path)
    list(gallery.make(Painter(), tmp_path, rows))
    assert gallery.to_do(tmp_path, rows) == []
    whole = gallery.path_of(tmp_path, rows[1]).read_bytes()
    gallery.path_of(tmp_path, rows[0]).unlink()
    gallery.path_of(tmp_path, rows[1]).write_bytes(whole[:-20])  # a copy cut short
    gallery.path_of(tmp_path, rows[2]).write_bytes(whole)  # of another seed
    gallery.path_of(tmp_path, rows[3]).write_bytes(b"")
    Image.new("RGB", (8, 8)).save(gallery.path_of(tmp_path, rows[4]))
    assert [row["index"] for row in gallery.to_do(tmp_path, rows)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
def test_shares_are_all_of_it_and_nobody_has_anothers(processes, tmp_path):
    rows = plan(tmp_path)
    shares = [gallery.to_do(tmp_path, rows, i, processes) for i in range(processes)]
    every = [row["index"] for share in shares for row in share]
    assert sorted(every) == list(range(7))
    (made,) = gallery.make(Painter(), tmp_path, rows[:1])
    later = [gallery.to_do(tmp_path, rows, i, processes) for i in range(processes)]
    shares[0].remove(made)
    assert later == shares, "what others have made must not move a share"


def test_the_one_who_started_them_says_which_is_which(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert seat() == (0, 1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert seat() == (1, 3)


@pytest.mark.parametrize(
    ("cards", "before", "local", "after"),
    [
        (2, None, "1", "1"),
        (2, "3,5", "1", "5"),
        (2, None, "2", "0"),
        (1, None, "1", None),
        (0, None, "1", None),
        (2, None, None, None),
    ],
)
def test_each_process_sees_its_own_card(cards, before, local, after, monkeypatch):
    """And where processes outnumber the cards, they share."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: cards)
    for name, value in {"CUDA_VISIBLE_DEVICES": before, "LOCAL_RANK": local}.items():
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)
    take_own_card()
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == after


# Making them


def test_stopped_it_goes_on_without_loss_or_doubles(tmp_path):
    rows = plan(tmp_path)
    first, second = Painter(die_at=4), Painter()
    with pytest.raises(KeyboardInterrupt):
        list(gallery.make(first, tmp_path, rows, batch_size=2))
    assert first.seeds == [0, 1, 2, 3]
    made = list(gallery.make(second, tmp_path, rows, batch_size=2))
    assert second.seeds == [4, 5, 6] and made == rows[4:]
    assert second.sizes == [2, 1]
    diary = gallery.read_diary(tmp_path)
    assert [entry["index"] for entry in diary] == list(range(7))


def test_it_looks_again_just_before_it_draws(tmp_path):
    """So that who was started twice by accident hardly makes one twice."""
    rows, one, other = plan(tmp_path), Painter(), Painter()
    for _ in gallery.make(one, tmp_path, rows):
        list(gallery.make(other, tmp_path, rows))
    assert sorted(one.seeds + other.seeds) == list(range(7))


def test_what_is_half_written_goes_once_all_is_there(tmp_path):
    rows = plan(tmp_path)
    half = tmp_path / "0003.4711.part"
    half.write_bytes(b"half")
    gallery.sweep(tmp_path)
    assert half.exists(), "somebody may be writing it"
    list(gallery.make(Painter(), tmp_path, rows))
    gallery.sweep(tmp_path)
    assert not half.exists()


@pytest.mark.parametrize(
    ("free", "sharing", "count"), [(1e12, 1, 8), (1e12, 10**9, 1), (0, 1, 1)]
)
def test_the_batch_is_what_has_room(free, sharing, count, pipe, monkeypatch):
    memory = SimpleNamespace(available=free, total=1e12)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    assert count_that_fits(pipe, 128, 8, sharing) == count


def test_half_the_memory_holds_half_as_many(pipe, monkeypatch):
    def at(free):
        memory = SimpleNamespace(available=free, total=1e12)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
        return count_that_fits(pipe, 512, 64)

    enough = 2 * 26 * 64 * 64 * 64 * 4 * 8 * 4 / 0.8  # for 8 and for 16: U-Net's part
    assert 1 < at(enough / 2) < at(enough) < 64


# Several processes


def start(folder, processes):
    """The script, by torchrun, in a group of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), str(SCRIPT), str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )


@pytest.mark.seconds(35)
def test_one_of_two_is_killed_and_nothing_is_lost_or_made_twice(tmp_path, pipe):
    rows = plan(tmp_path / "two", 12)
    first = start(tmp_path / "two", 2)
    while not (begun := gallery.read_diary(tmp_path / "two")):
        assert first.poll() is None, "it ended without a picture"
        time.sleep(0.01)
    os.kill(begun[0]["pid"], signal.SIGKILL)
    first.communicate(timeout=60)
    assert first.returncode, "a death is told"
    left = gallery.to_do(tmp_path / "two", rows)
    assert 0 < len(left) < 12

    second = start(tmp_path / "two", 2)
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and b"1 of 2" in said
    made = [entry["index"] for entry in gallery.read_diary(tmp_path / "two")]
    assert len(made) == len(set(made))
    assert len(list((tmp_path / "two").glob("*.png"))) == 12
    assert not list((tmp_path / "two").glob("*.part"))

    plan(tmp_path / "one", 12)
    list(gallery.make(pipe, tmp_path / "one", rows))
    for row in rows:
        paths = [gallery.path_of(tmp_path / name, row) for name in ("one", "two")]
        assert apart(*map(Image.open, paths)) == 0, row


@pytest.mark.seconds(40)
def test_ray_makes_the_same_though_a_worker_dies(tmp_path, pipe):
    pytest.importorskip("ray")
    rows = plan(tmp_path, 12)
    list(gallery.make(pipe, tmp_path, rows[2:4], process=9))
    script = SCRIPT.with_name("make_gallery_on_ray.py")
    ray = subprocess.Popen([sys.executable, script, tmp_path])
    while len(begun := gallery.read_diary(tmp_path)) < 3:
        assert ray.poll() is None, "it ended without a picture"
        time.sleep(0.01)
    os.kill(begun[2]["pid"], signal.SIGKILL)
    assert ray.wait(timeout=200) == 0
    assert gallery.to_do(tmp_path, rows) == []
    diary = gallery.read_diary(tmp_path)
    made = [entry["index"] for entry in diary]
    assert made[:2] == [2, 3] and sorted(made) == sorted(set(made))
    assert len({entry["pid"] for entry in diary[2:]}) >= 2
    for row in rows:
        (again,) = gallery.draw(pipe, [row])
        assert apart(again, Image.open(gallery.path_of(tmp_path, row))) == 0


# The script's sentences


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "no gallery in"),
        (["--prompt", "a frog", "--model", "pocked"], "pocked"),
        (["--prompt", "a frog", "--model", "pocket", "--count", "0"], "at least one"),
        (["--prompt", "a frog", "--model", "pocket", "--steps", "0"], "take 25"),
    ],
)
def test_what_cannot_be_done_gets_one_sentence(
    arguments, word, tmp_path, monkeypatch, capsys, offline
):
    monkeypatch.setattr(sys, "argv", ["make_gallery.py", str(tmp_path), *arguments])
    assert make_gallery.main() == 2
    said = capsys.readouterr()
    assert word in said.err and said.err.count("\n") == 1
    assert not list(tmp_path.glob("*.png"))


def test_a_folder_of_other_settings_gets_one_sentence(tmp_path, monkeypatch, capsys):
    rows = plan(tmp_path)
    typed = [str(tmp_path), "--prompt", PROMPTS[0], "--model", "pocket"]
    monkeypatch.setattr(sys, "argv", ["make_gallery.py", *typed])
    assert make_gallery.main() == 2
    said = capsys.readouterr().err
    assert "another folder" in said and said.count("\n") == 1
    assert gallery.read_manifest(tmp_path) == rows


# By eye


@pytest.fixture
def some(tmp_path):
    rows = plan(tmp_path, 3)
    list(gallery.make(Painter(), tmp_path, rows))
    return [gallery.path_of(tmp_path, row) for row in rows]


def test_keep_and_bin_are_kept_at_once(some, tmp_path):
    file = tmp_path / "picked.json"
    picker = Picker(some, ["one", "two", "three"], file)
    picker.keep.click()
    picker.bin.click()
    assert picker.kept == some[:1]
    assert json.loads(file.read_text()) == {"0000.png": "keep", "0001.png": "bin"}
    again = Picker(some, ["one", "two", "three"], file)
    assert again.kept == some[:1]
    again.keep.click()
    assert again.kept == [some[0], some[2]] and again.keep.disabled
    again.keep.click()  # past the end: nothing


def test_one_can_go_back_and_think_again(some, tmp_path):
    picker = Picker(some, ["one", "two", "three"], tmp_path / "picked.json")
    picker.keep.click()
    picker.back.click()
    picker.bin.click()
    assert picker.kept == []


def test_zoom_shows_it_larger(some, tmp_path):
    picker = Picker(some, ["one", "two", "three"], tmp_path / "picked.json")
    shown = picker.children[-1]
    before = len(shown.value), int(shown.width)
    picker.zoom.value = True
    assert int(shown.width) == 2 * before[1] and len(shown.value) > before[0]
