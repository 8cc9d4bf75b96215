"""Goes through the hub of ``hub_server.py`` as a learner would; prints what is heard.

Run by itself, with the hub's address and a folder.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import torch
from devices import T4
from huggingface_hub import constants
from PIL import Image

from helpers import hub, images, models
from helpers.catalogue import DEFAULT, POCKET, Model
from helpers.errors import Mistake
from helpers.hub_words import hub_problem
from helpers.training import Training

said = {}
wait = time.sleep
time.sleep = lambda seconds: wait(seconds / 20)  # the client tries as often, but sooner


def attempt(case, name, **how):
    global pipe
    try:
        pipe = models.load(name, **how)
        said[case] = models.describe(pipe).name
    except Mistake as mistake:
        said[case] = mistake.kind, str(mistake)
        assert not any(p.is_meta for p in pipe.unet.parameters()), "it lost a model"


picture = images.save(Image.new("RGB", (8, 8)), sys.argv[2] + "/hippo.png", seed=1)
row = torch.nn.Parameter(torch.zeros(3))
path = sys.argv[2] + "/row"
training = Training({"row": row}, path, steps=3, learning_rate=1.0)
for _ in training:
    training.learn(row.square().sum() + row.sum())
made = [file.read_bytes() for file in (picture, training.path)]

said["hub"] = hub_problem(), models.choose("auto", T4)[0].name
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
half = Model("half", "fault/both", variant="fp16")
said["which half"] = hub.is_cached(half), hub.is_cached(replace(half, variant=None))
attempt("halves", "fault/halves")
attempt("half unet", "fault/half-unet")
attempt("half vae", "fault/half-vae")
attempt("pickle allowed", "fault/trusted", allow_pickle=True)
downloads = Path(constants.HF_HUB_CACHE)
(trusted,) = downloads.glob("models--fault--trusted/snapshots/*")
for case, folder in {"own": POCKET, "own pickle": trusted}.items():
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
for fault in "404 403 gated corrupt truncated empty pickle part flux ema index".split():
    attempt(fault, f"fault/{fault}")
attempt("part pickled", "fault/part", allow_pickle=True)
said["damaged kept"] = hub.is_cached(Model("corrupt", "fault/corrupt"))
attempt("gone", "somebody/nothing")
attempt("revision", "somebody/pocket@no-such-branch")
attempt("huge", "fault/huge")
attempt("cut", "fault/cut")
attempt("other kind", "sdxl-turbo", dissect=True)
os.environ["HF_TOKEN"] = "hf_bad"
attempt("token", "fault/plain")
attempt("token, but here", "somebody/pocket")
os.environ["HF_TOKEN"] = "“hf_abc”"
attempt("quoted token", "fault/fresh")
del os.environ["HF_TOKEN"]
urllib.request.urlopen(sys.argv[1] + "/moody")
attempt("moody", "somebody/pocket")
urllib.request.urlopen(sys.argv[1] + "/moody")
addresses = "lcm-lora", "stable-diffusion-v1-5", "somebody/pocket", "somebody/pocket@v2"
addresses += "CompVis/stable-diffusion-v1-4", DEFAULT.id + "@v2", sys.argv[2] + "/same"
shutil.copytree(POCKET, addresses[-1])
said["again"] = []
for address in addresses:
    first = models.describe(models.load(address))
    pipe = models.load(first.address)
    said["again"].append((first.address, models.describe(pipe) == first))

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing on gives an error
limits = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000_000, limits[1]))
attempt("full disk", "fault/fine")
resource.setrlimit(resource.RLIMIT_FSIZE, limits)
attempt("after a full disk", "fault/fine")

choose, models.choose = models.choose, lambda *_: (Model("cut", "fault/cut"), "a card")
attempt("auto", "auto")
models.choose = choose

urllib.request.urlopen(sys.argv[1] + "/busy")
attempt("busy", "stable-diffusion-v1-5")
urllib.request.urlopen(sys.argv[1] + "/busy")
urllib.request.urlopen(sys.argv[1] + "/down")
said["hub down"] = hub_problem(), models.choose("auto", T4)[0].name
attempt("cached", "somebody/pocket")
attempt("real id cached", "stable-diffusion-v1-5")
attempt("pickle cached", "fault/trusted", allow_pickle=True)
attempt("not cached", "stabilityai/sd-turbo")
attempt("half cached", "fault/cut")
said["made before"] = made == [f.read_bytes() for f in (picture, training.path)]
print("SAID", json.dumps(said))
