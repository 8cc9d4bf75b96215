"""The hub and its faults: the real client against a hub on this machine.

It serves the pocket model under the ids of real ones, and in its repositories called
``fault/...`` something goes wrong. Each learner's sentence is checked, and that what
was there before still is.
"""

import functools
import io
import json
import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import safetensors.torch
import torch

from helpers.models import POCKET

ROOT = Path(__file__).resolve().parents[1]
REVISION = "0" * 40
GOOD = {
    "somebody/pocket",
    "somebody/img2img",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "latent-consistency/lcm-lora-sdv1-5",
    "stabilityai/sdxl-turbo",
}
HALVES = {"stable-diffusion-v1-5/stable-diffusion-v1-5", "stabilityai/sdxl-turbo"}
UNET = "unet/diffusion_pytorch_model.safetensors"


@functools.cache
def files_of(repository: str) -> dict[str, bytes]:
    """What a repository holds: the pocket model, in the form that its id has."""
    files = {
        path.relative_to(POCKET).as_posix(): path.read_bytes()
        for path in sorted(POCKET.rglob("*"))
        if path.is_file()
    }
    if repository in HALVES:
        files = {
            name.replace(".safetensors", ".fp16.safetensors"): body
            for name, body in files.items()
        }
        files["unet/diffusion_pytorch_model.non_ema.safetensors"] = b"x" * 10**6
    if repository == "fault/both":
        halves = [name for name in files if name.endswith(".safetensors")]
        for name in halves:
            files[name.replace(".safetensors", ".fp16.safetensors")] = files[name]
    if repository == "somebody/img2img":
        index = json.loads(files["model_index.json"])
        index["_class_name"] = "StableDiffusionImg2ImgPipeline"
        files["model_index.json"] = json.dumps(index).encode()
    if repository == "fault/halves":  # of one part only pickled
        name = "text_encoder/model.safetensors"
        files[UNET.replace(".s", ".fp16.s")] = files[UNET]
        files[UNET.replace(".s", ".fp16.s").replace("unet", "vae")] = files[
            UNET.replace("unet", "vae")
        ]
        files[name.replace("model.safetensors", "pytorch_model.fp16.bin")] = b"x"
    if repository == "fault/flux":
        index = json.loads(files["model_index.json"]) | {"_class_name": "FluxPipeline"}
        files["model_index.json"] = json.dumps(index).encode()
    if repository == "fault/part":
        files["vae/diffusion_pytorch_model.bin"] = files.pop(
            UNET.replace("unet", "vae")
        )
    if repository == "latent-consistency/lcm-lora-sdv1-5":
        lora = Path(os.environ["LORA"]) / "pytorch_lora_weights.safetensors"
        files = {lora.name: lora.read_bytes()}
    if repository == "stabilityai/sdxl-turbo":
        index = json.loads(files["model_index.json"])
        index["_class_name"] = "StableDiffusionXLPipeline"
        files["model_index.json"] = json.dumps(index).encode()
    if repository == "fault/pickle":
        files = {
            name.replace("model.safetensors", "model.bin"): body
            for name, body in files.items()
        }
    if repository == "fault/trusted":
        names = {"/model.safetensors": "/pytorch_model.bin", ".safetensors": ".bin"}
        for name in [name for name in files if name.endswith(".safetensors")]:
            pickled = io.BytesIO()
            torch.save(safetensors.torch.load(files.pop(name)), pickled)
            for old, new in names.items():
                name = name.replace(old, new)
            files[name] = pickled.getvalue()
    if repository == "fault/corrupt":
        files[UNET] = b"x" * len(files[UNET])
    if repository == "fault/truncated":
        files[UNET] = files[UNET][: len(files[UNET]) // 2]
    if repository == "fault/empty":
        files = {"README.md": b"nothing here"}
    return files


class Hub(BaseHTTPRequestHandler):
    """The few answers of https://huggingface.co that loading a model needs."""

    protocol_version = "HTTP/1.1"
    down = False
    busy = False
    cut: ClassVar = set()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in ("/down", "/busy"):
            setattr(Hub, path[1:], not getattr(Hub, path[1:]))
            return self.answer(200, b"")
        if self.busy:
            return self.answer(429, b"")
        if self.down:
            return self.answer(503, b"")
        if "bad" in self.headers.get("Authorization", ""):
            why = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return self.answer(401, b"", why)
        api = path.startswith("/api/models/")
        repository = "/".join(path.removeprefix("/api/models").split("/")[1:3])
        if repository not in GOOD and not repository.startswith("fault/"):
            return self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
        if repository == "fault/404":
            return self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        if repository == "fault/403":
            return self.answer(403, b"")
        if repository == "fault/429":
            return self.answer(429, b"")
        if "no-such-branch" in path:
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        files = files_of(repository)
        if not api:
            return self.give(repository, path.split("/", 5)[5], files)
        about: object = {
            "id": repository,
            "sha": REVISION,
            "siblings": [{"rfilename": n, "size": len(b)} for n, b in files.items()],
        }
        if "/tree/" in path:
            one = {"type": "file", "oid": REVISION}
            about = [one | {"path": n, "size": len(b)} for n, b in files.items()]
        if repository == "fault/huge":
            for file in about["siblings"]:
                file["size"] *= 10**9
        self.answer(200, json.dumps(about).encode())

    def give(self, repository: str, name: str, files: dict[str, bytes]) -> None:
        if repository == "fault/gated" and name != "README.md":
            return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        if name not in files:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        body, large = files[name], name.endswith((".safetensors", ".bin"))
        headers = {"ETag": f'"{abs(hash(body)):x}"'}
        breaks = repository in ("fault/cut", "fault/stall")
        if repository == "fault/once" and large and self.command == "GET":
            breaks = name not in Hub.cut
            Hub.cut.add(name)
        if breaks and large and self.command == "GET":
            self.answer(200, body, headers, head=True)
            self.wfile.write(body[:1000])
            self.wfile.flush()
            if repository == "fault/stall":
                time.sleep(3)
            self.close_connection = True
            return None
        return self.answer(200, body, headers)

    def answer(self, status, body, headers=None, head=False) -> None:
        self.send_response(status)
        headers = {"X-Repo-Commit": REVISION, "Content-Length": len(body)} | (
            headers or {}
        )
        for key, value in headers.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET" and not head:
            self.wfile.write(body)

    def log_message(self, *args):
        pass


LEARNER = """\
import json, os, resource, shutil, signal, sys, urllib.request
from dataclasses import replace
from pathlib import Path

import torch
from huggingface_hub import constants
from PIL import Image

from helpers import hub, images, models
from helpers.device import Device
from helpers.finetune import Training
from helpers.forms import Mistake

said = {}
t4 = Device("cuda", "Tesla T4", 14.7, torch.float16)


def attempt(case, name, **how):
    global pipe
    try:
        pipe = models.load(name, **how)
        said[case] = models.describe(pipe).name
    except Mistake as mistake:
        said[case] = str(mistake)
        assert not any(p.is_meta for p in pipe.unet.parameters()), "it lost a model"


picture = images.save(Image.new("RGB", (8, 8)), sys.argv[2] + "/hippo.png", seed=1)
row = torch.nn.Parameter(torch.zeros(3))
path = sys.argv[2] + "/row.pt"
training = Training({"row": row}, path, steps=3, learning_rate=1.0)
for _ in training:
    training.learn(row.square().sum() + row.sum())
made = [file.read_bytes() for file in (picture, training.path)]

said["hub"] = hub.hub_answers(), models.choose("auto", t4)[0].name
attempt("typed id", "somebody/pocket")
attempt("img2img", "somebody/img2img", dissect=True)
said["as"] = type(pipe).__name__
attempt("real id", "stable-diffusion-v1-5")
attempt("few steps", "lcm-lora")
said["sampler"] = type(pipe.scheduler).__name__, models.describe(pipe).steps
size = {"width": 128, "height": 128, "generator": torch.Generator().manual_seed(0)}
image = pipe("a frog", num_inference_steps=4, guidance_scale=1.0, **size).images[0]
said["spread"] = image.convert("L").getextrema()
attempt("cut once", "fault/once")
attempt("half", "fault/both")
half = models.Model("half", "fault/both", variant="fp16")
said["which half"] = hub.is_cached(half), hub.is_cached(replace(half, variant=None))
attempt("halves", "fault/halves")
attempt("pickle allowed", "fault/trusted", allow_pickle=True)
downloads = Path(constants.HF_HUB_CACHE)
(trusted,) = downloads.glob("models--fault--trusted/snapshots/*")
for case, folder in {"own": models.POCKET, "own pickle": trusted}.items():
    shutil.copytree(folder, f"{sys.argv[2]}/{case}")
attempt("own pickle", sys.argv[2] + "/own pickle")
more = Path(sys.argv[2], "own", "vae_decoder")  # as beside SDXL
more.mkdir()
for file in ("config.json", "openvino_model.bin"):
    (more / file).write_text("{}")
attempt("own", sys.argv[2] + "/own")
own = Path(sys.argv[2], "own", "unet", "diffusion_pytorch_model.safetensors")
own.write_bytes(own.read_bytes()[:1000])
attempt("own damaged", sys.argv[2] + "/own")
own.unlink()
attempt("own missing", sys.argv[2] + "/own")
shutil.rmtree(sys.argv[2] + "/own/scheduler")
attempt("own half", sys.argv[2] + "/own")
if "HASTE" not in os.environ:  # the client waits long for these
    attempt("429", "fault/429")
    attempt("stall", "fault/stall")
for fault in "404 403 gated corrupt truncated empty pickle part flux".split():
    attempt(fault, f"fault/{fault}")
attempt("gone", "somebody/nothing")
attempt("revision", "somebody/pocket@no-such-branch")
attempt("huge", "fault/huge")
attempt("cut", "fault/cut")
attempt("other kind", "sdxl-turbo", dissect=True)
os.environ["HF_TOKEN"] = "hf_bad"
attempt("token", "fault/fine")
del os.environ["HF_TOKEN"]

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing on gives an error
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, limits[1]))
attempt("full disk", "fault/fine")
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
attempt("after a full disk", "fault/fine")

chosen = models._choose_for
models._choose_for = lambda device: (models.Model("cut", "fault/cut"), "a card")
attempt("auto", "auto")
models._choose_for = chosen

urllib.request.urlopen(sys.argv[1] + "/busy")
attempt("busy", "stable-diffusion-v1-5")
urllib.request.urlopen(sys.argv[1] + "/busy")
urllib.request.urlopen(sys.argv[1] + "/down")
said["hub down"] = hub.hub_answers(), models.choose("auto", t4)[0].name
attempt("cached", "somebody/pocket")
attempt("real id cached", "stable-diffusion-v1-5")
attempt("pickle cached", "fault/trusted", allow_pickle=True)
attempt("not cached", "stabilityai/sd-turbo")
attempt("half cached", "fault/cut")
said["made before"] = made == [f.read_bytes() for f in (picture, training.path)]
print("SAID", json.dumps(said))
"""


def listen(python: str | Path, home: Path, **environment: str):
    """What a learner hears, by fault; and all that was printed."""
    lora(home)
    os.environ["LORA"] = str(home)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    own = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    own |= {"HF_HUB_DOWNLOAD_TIMEOUT": "1", "HF_HUB_ETAG_TIMEOUT": "1"}
    own |= {"PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1"}
    result = subprocess.run(
        [python, "-c", LEARNER, address, str(home)],
        env=os.environ | environment | own,
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    Hub.down = Hub.busy = False
    Hub.cut.clear()
    assert result.returncode == 0, result.stderr[-3000:]
    output, _, said = result.stdout.partition("SAID ")
    return json.loads(said), output, result.stderr


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    return listen(sys.executable, tmp_path_factory.mktemp("home"))


def lora(folder: Path) -> None:
    """A LoRA for the pocket model, which changes little."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel
    from peft import LoraConfig, get_peft_model_state_dict

    unet = UNet2DConditionModel.from_pretrained(POCKET, subfolder="unet")
    torch.manual_seed(0)
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    thin = get_peft_model_state_dict(unet)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=thin)


TAKE_ONE = ": check the spelling, or take a name from the list."
SENTENCES = {  # fault: the parts of what the learner reads
    "gone": ("The hub has no public model “somebody/nothing”" + TAKE_ONE,),
    "404": ("The hub has no public model “fault/404”" + TAKE_ONE,),
    "403": ("token on this machine may not read “fault/403”", "hf auth logout"),
    "429": ("the hub answers 429", "run this cell again", "or take pocket"),
    "gated": ("after a form", "https://huggingface.co/fault/gated", "log in, or take"),
    "revision": ("no revision “no-such-branch”", "leave “@no-such-branch” away"),
    "token": ("does not accept the token", "hf auth logout", "need none"),
    "cut": ("broke off", "run this cell again", "what is whole stays", "take pocket"),
    "stall": ("broke off", "Timeout", "run this cell again", "take pocket"),
    "corrupt": (UNET, "damaged: connect and run this cell again, or take pocket"),
    "truncated": (UNET, "damaged: connect and run this cell again, or take pocket"),
    "empty": ("“fault/empty” is not in the form that diffusers reads", "take a name"),
    "pickle": ("only pickle files", "run any program", "allow_pickle=True"),
    "part": ("only pickle files for vae,", "run any program", "allow_pickle=True"),
    "flux": ("“fault/flux” is a FluxPipeline", "1, 2 and XL", "a name from the list"),
    "own pickle": (
        "pickle files for text_encoder, unet, vae,",
        "run any program",
        "allow_pickle",
    ),
    "own damaged": (UNET, "of “own” is damaged: copy it again, or take pocket"),
    "own missing": ("The unet of “own” has no weights: copy it again, or take",),
    "own half": ("“own” has no scheduler: copy it again, or",),
    "huge": ("“fault/huge” is", "the disk has room for", "or take pocket"),
    "full disk": ("The disk is full", "run this cell again", "or take pocket"),
    "other kind": ("takes the model apart", "StableDiffusionXLPipeline", "v1-5 or"),
    "not cached": ("hub does not answer", "2.6 GB", "take pocket, or connect"),
    "half cached": ("hub does not answer", "take pocket, or connect"),
}


@pytest.mark.parametrize("fault", SENTENCES)
def test_a_fault_gets_one_sentence_that_names_the_fix(heard, fault):
    check(heard[0][fault], SENTENCES[fault])


def check(sentence: str, parts: tuple[str, ...]) -> None:
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 250


def test_no_fault_costs_a_picture_or_a_checkpoint(heard):
    assert heard[0]["made before"] is True


def test_models_come_from_the_hub(heard):
    said, output, errors = heard
    assert said["hub"] == [True, "stable-diffusion-v1-5"]
    assert said["typed id"] == "somebody/pocket"
    assert said["real id"] == "stable-diffusion-v1-5"
    assert (said["img2img"], said["as"]) == (
        "somebody/img2img",
        "StableDiffusionPipeline",
    )
    assert "Downloading stable-diffusion-v1-5: 23 MB, once." in output
    assert "Fetching" in errors, "there is no progress bar"
    assert "[transformers]" not in errors


def test_a_folder_of_ones_own_is_loaded(heard):
    assert heard[0]["own"] == "own"


def test_of_a_typed_model_the_half_is_fetched(heard):
    """Where there is one: SDXL in float32 would fill Colab's memory."""
    assert heard[0]["half"] == "fault/both"
    assert heard[0]["which half"] == [True, False]
    assert heard[0]["halves"] == "fault/halves"


def test_a_few_step_model_brings_its_scheduler_and_guidance(heard):
    said = heard[0]
    assert said["few steps"] == "lcm-lora"
    assert said["sampler"] == ["LCMScheduler", 4]
    low, high = said["spread"]
    assert high - low > 100, "no picture"


def test_a_download_goes_on_after_it_was_cut(heard):
    said, _, errors = heard
    assert said["cut once"] == "fault/once"
    assert "resume" in errors


def test_it_is_fetched_again_when_the_disk_has_room(heard):
    assert heard[0]["after a full disk"] == "fault/fine"


def test_auto_takes_the_pocket_model_where_the_other_breaks_off(heard):
    said, output, _ = heard
    assert said["auto"] == "pocket"
    assert "Why: the other one could not be had." in output


def test_without_the_hub_it_is_what_was_downloaded_before(heard):
    said = heard[0]
    assert said["hub down"] == [False, "stable-diffusion-v1-5"]
    assert said["cached"] == "somebody/pocket"
    assert said["real id cached"] == "stable-diffusion-v1-5"


def test_a_busy_hub_is_no_obstacle_to_what_was_downloaded_before(heard):
    assert heard[0]["busy"] == "stable-diffusion-v1-5"


def test_pickle_files_are_read_where_that_is_asked_for(heard):
    said, output, _ = heard
    assert said["pickle allowed"] == said["pickle cached"] == "fault/trusted"
    assert "Downloading fault/trusted: 23 MB, once." in output
