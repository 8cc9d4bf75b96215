"""A hub on this machine, with its faults, for the real client to meet.

It serves the pocket model under the ids of real ones, and in its repositories called
``fault/...`` something goes wrong. ``hub_visit.py`` goes through them all.
"""

import functools
import io
import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import safetensors.torch
import torch

from helpers.catalogue import DEFAULT, POCKET

ROOT = Path(__file__).resolve().parents[1]
REVISION = "0" * 40
GOOD = {
    "somebody/pocket",
    "somebody/img2img",
    "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "CompVis/stable-diffusion-v1-4",
    "latent-consistency/lcm-lora-sdv1-5",
    "stabilityai/sdxl-turbo",
}
HALVES = GOOD - {"somebody/pocket", "somebody/img2img"}
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
    if repository == "fault/half-unet":
        files[UNET.replace(".s", ".fp16.s")] = files.pop(UNET)
    if repository == "fault/half-vae":
        vae = UNET.replace("unet", "vae")
        files[vae.replace(".s", ".fp16.s")] = files.pop(vae)
    if repository == "fault/ema":  # neither full nor half
        files[UNET.replace(".s", ".ema.s")] = files.pop(UNET)
    if repository == "fault/index":
        files["model_index.json"] = b"[]"
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
        pickled = io.BytesIO()
        tensors = safetensors.torch.load(files.pop(UNET.replace("unet", "vae")))
        torch.save(tensors, pickled)
        files["vae/diffusion_pytorch_model.bin"] = pickled.getvalue()
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
    moody = False  # answers, but lists no repository except the one asked for first
    cut: ClassVar = set()

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path in ("/down", "/busy", "/moody"):
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
        if self.moody and api and repository != DEFAULT.id:
            return self.answer(503, b"")
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
        [python, str(ROOT / "tests" / "hub_visit.py"), address, str(home)],
        env=os.environ | environment | own,
        capture_output=True,
        text=True,
        check=False,
    )
    server.shutdown()
    Hub.down = Hub.busy = Hub.moody = False
    Hub.cut.clear()
    assert result.returncode == 0, result.stderr[-3000:]
    output, _, said = result.stdout.partition("SAID ")
    return json.loads(said), output, result.stderr


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
SENTENCES = {  # fault: its kind, and parts of what the learner reads
    "gone": (
        "not public",
        "The hub has no public model “somebody/nothing”" + TAKE_ONE,
    ),
    "404": (
        "not public",
        "The hub has no public model “fault/404”" + TAKE_ONE,
    ),
    "403": (
        "forbidden",
        "token on this machine may not read “fault/403”",
        "hf auth logout",
    ),
    "429": (
        "broken off",
        "the hub answers 429",
        "run this cell again",
        "or take pocket",
    ),
    "gated": (
        "gated",
        "after a form",
        "https://huggingface.co/fault/gated",
        "log in, or take",
    ),
    "revision": (
        "no revision",
        "no revision “no-such-branch”",
        "leave “@no-such-branch” away",
    ),
    "ema": ("no whole set", "no whole set of weights of “fault/ema”", "take a name"),
    "index": ("damaged", "model_index.json of “fault/index”", "run this cell again"),
    "cut": (
        "broken off",
        "broke off",
        "run this cell again",
        "what is whole stays",
        "take pocket",
    ),
    "stall": (
        "broken off",
        "broke off",
        "no answer in time",
        "run this cell again",
        "take pocket",
    ),
    "corrupt": (
        "damaged",
        UNET,
        "damaged: connect and run this cell again, or take pocket",
    ),
    "truncated": (
        "damaged",
        UNET,
        "damaged: connect and run this cell again, or take pocket",
    ),
    "empty": (
        "not diffusers",
        "“fault/empty” is not in the form that diffusers reads",
        "take a name",
    ),
    "pickle": ("pickle", "only pickle files", "run any program", "allow_pickle=True"),
    "part": (
        "pickle",
        "only pickle files for vae,",
        "run any program",
        "allow_pickle=True",
    ),
    "flux": (
        "wrong kind",
        "“fault/flux” is a FluxPipeline",
        "1, 2 and XL",
        "a name from the list",
    ),
    "own pickle": (
        "pickle",
        "pickle files for text_encoder, unet, vae,",
        "run any program",
        "allow_pickle",
    ),
    "own damaged": (
        "damaged",
        UNET,
        "of “own” is damaged: copy it again, or take pocket",
    ),
    "own missing": (
        "incomplete",
        "The unet of “own” has no weights: copy it again, or take",
    ),
    "own half": (
        "incomplete",
        "“own” has no scheduler: copy it again, or",
    ),
    "huge": ("too large", "“fault/huge” is", "the disk has room for", "or take pocket"),
    "full disk": (
        "disk full",
        "The disk is full",
        "run this cell again",
        "or take pocket",
    ),
    "other kind": (
        "wrong kind",
        "takes the model apart",
        "StableDiffusionXLPipeline",
        "v1-5 or",
    ),
    "not cached": (
        "offline",
        "hub cannot be reached (it answers 503)",
        "2.6 GB",
        "take pocket, or mend that",
    ),
    "half cached": ("offline", "hub cannot be reached (it answers 503)", "take pocket"),
}


def check(heard: list[str], expected: tuple[str, ...]) -> None:
    """Of a fault: the kind and the sentence, which is one and names what helps."""
    (kind, sentence), (right, *parts) = heard, expected
    assert kind == right, sentence
    assert all(part in sentence for part in parts), sentence
    assert "\n" not in sentence and sentence.endswith(".") and len(sentence) < 250
