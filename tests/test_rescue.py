"""A protected pipeline: what goes wrong while it draws, for real where that can be."""

import copy
import inspect
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from devices import T4
from diffusers import (
    AutoPipelineForImage2Image,
    AutoPipelineForText2Image,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessor, CLIPTextModelWithProjection

from helpers.catalogue import POCKET
from helpers.device import find_device
from helpers.errors import Mistake, is_full
from helpers.memory import apply_savings
from helpers.rescue import protect

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def plain():
    """The pocket model as the library loads it."""
    pipe = AutoPipelineForText2Image.from_pretrained(POCKET)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def pipe(plain):
    pipe = copy.copy(plain)
    return protect(pipe, apply_savings(pipe, find_device()))


def draw(pipe, count=1, **settings):
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    return pipe(
        ["a frog"] * count, num_inference_steps=2, generator=generators, **settings
    ).images


def same(some, others) -> bool:
    return all(map(np.array_equal, map(np.asarray, some), map(np.asarray, others)))


def test_it_is_the_same_pipeline(plain, pipe, tmp_path):
    assert isinstance(pipe, type(plain)) and type(pipe).__name__ == type(plain).__name__
    assert pipe.__doc__ == plain.__doc__
    assert same(draw(pipe, 2), draw(plain, 2))
    pipe.save_pretrained(tmp_path)
    plain.save_pretrained(tmp_path / "plain")
    index = [f / "model_index.json" for f in (tmp_path, tmp_path / "plain")]
    assert index[0].read_text() == index[1].read_text()
    turned = AutoPipelineForImage2Image.from_pipe(pipe)
    assert type(turned).__name__ == "StableDiffusionImg2ImgPipeline"


def test_it_looks_like_its_kind_to_who_asks(plain, pipe):
    """As Shift-Tab and ``help`` do."""
    assert inspect.signature(pipe.__call__) == inspect.signature(plain.__call__)
    assert inspect.getdoc(pipe.__call__) == inspect.getdoc(plain.__call__)
    assert type(pipe).__module__ == type(plain).__module__


def test_protected_twice_it_has_the_savings_of_the_second_time(plain, pipe):
    other = replace(pipe.savings, why="asked")
    kind = type(pipe)
    assert protect(pipe, other) is pipe
    assert type(pipe) is kind and pipe.savings is other
    assert same(draw(pipe), draw(plain))


@pytest.mark.parametrize("copied", [copy.copy, lambda p: pickle.loads(pickle.dumps(p))])
def test_copies_are_protected_too(pipe, copied, capsys):
    other = copied(pipe)
    assert type(other).__name__ == type(pipe).__name__
    fail_once(other.vae.decoder, 1)
    assert draw(other, width=256, height=256)
    assert "The memory was full." in capsys.readouterr().out


def fail_once(network: torch.nn.Module, times: int) -> list[int]:
    """Makes a network run out of memory, as CUDA says it, so many times."""
    calls: list[int] = []

    def hook(*_):
        calls.append(1)
        if len(calls) <= times:
            raise torch.cuda.OutOfMemoryError(
                "CUDA out of memory. Tried to allocate 20.00 MiB."
            )

    network.register_forward_pre_hook(hook)
    return calls


def test_out_of_memory_draws_once_more_the_same_picture(plain, pipe, capsys):
    large = {"width": 256, "height": 256}
    pipe.vae.enable_tiling()
    expected = draw(plain, **large)
    pipe.vae.disable_tiling()
    fail_once(pipe.vae.decoder, 1)
    before = pipe.savings
    assert same(draw(pipe, **large), expected)
    assert "The memory was full. Once more: " in capsys.readouterr().out
    assert not before.vae_tiling and pipe.savings.vae_tiling


def test_memory_that_stays_full_says_what_to_do_and_leaves_it_usable(pipe, capsys):
    calls = fail_once(pipe.unet, 2)
    with pytest.raises(Mistake) as caught:
        draw(pipe, width=256, height=256)
    assert caught.value.kind == "memory full"
    assert capsys.readouterr().out.count("The memory was full.") == 1
    assert draw(pipe) and len(calls) > 2
    fail_once(pipe.unet, 1)
    with pytest.raises(Mistake) as caught:
        draw(pipe)
    assert caught.value.kind == "memory full"
    assert draw(pipe)


def test_a_card_that_others_use_takes_the_next_saving(plain):
    """There is no card here, so what the library does with it is made up."""
    tried = []

    def full(device):
        tried.append("off")
        raise RuntimeError("CUDA error: out of memory")

    plain.to = full
    plain.enable_model_cpu_offload = lambda device: tried.append("model")
    assert apply_savings(plain, T4).offload == "model"
    assert set(tried) == {"off", "model"}
    with pytest.raises(Mistake) as caught:
        apply_savings(plain, T4, offload="off")
    assert caught.value.kind == "memory full"


@pytest.mark.filterwarnings("ignore:`upcast_vae`:FutureWarning")
def test_sdxl_draws_again_after_it_was_cut_short_while_it_decoded(plain):
    """Its pipeline widens the VAE to float32 while it decodes, and only then."""
    config = plain.text_encoder.config
    config.projection_dim = width = config.hidden_size
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=2 * width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=width + 6 * 8,
    )
    pipe = StableDiffusionXLPipeline(
        plain.vae,
        plain.text_encoder,
        CLIPTextModelWithProjection(config),
        plain.tokenizer,
        plain.tokenizer,
        unet,
        plain.scheduler,
    ).to(dtype=torch.float16)
    pipe.vae.register_to_config(force_upcast=True)
    pipe.set_progress_bar_config(disable=True)
    protect(pipe, apply_savings(pipe, find_device()))
    calls = fail_once(pipe.vae.decoder, 1)
    assert draw(pipe, width=256, height=256)[0].size == (256, 256)
    assert len(calls) > 1 and pipe.vae.dtype == torch.float16


@pytest.mark.parametrize(
    "words",
    [
        "CUDA out of memory. Tried to allocate 20.00 MiB.",
        "CUDA error: out of memory",
        "MPS backend out of memory (MPS allocated: 1.00 GB)",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
    ],
)
def test_full_memory_is_known_by_its_many_names(words):
    assert is_full(RuntimeError(words))
    assert not is_full(RuntimeError("The size of tensor a must match"))


def test_other_errors_come_through(pipe):
    with pytest.raises(RuntimeError, match="expected"):
        draw(pipe, latents=torch.zeros(1, 3, 16, 16))


FULL = """\
import resource
import torch
from helpers.models import load

pipe = load("pocket")
size = {"width": 1024, "height": 1024, "num_inference_steps": 1}
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 450 * 2**20,) * 2)
image = pipe("a frog", **size).images[0]
print(image.size, image.convert("L").getextrema())
"""


@pytest.mark.seconds(10)
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit of memory")
def test_a_process_that_is_really_out_of_memory_draws_in_tiles():
    result = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, cwd=ROOT
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "The memory was full. Once more: all on the device, VAE tiling" in (
        result.stdout
    )
    assert "(1024, 1024)" in result.stdout.splitlines()[-1]


def test_what_overflows_in_float16_is_drawn_again_in_float32(plain, pipe, capsys):
    """A decoder whose first numbers are as large as those of some models' are."""
    with torch.no_grad():
        plain.vae.decoder.conv_in.weight *= 5e4
        plain.vae.decoder.conv_in.bias *= 5e4
    expected = draw(plain)
    pipe.to(dtype=torch.float16)
    (picture,) = draw(pipe)
    assert "Numbers overflowed in torch.float16." in capsys.readouterr().out
    assert pipe.unet.dtype == pipe.vae.dtype == torch.float32
    apart = np.abs(np.asarray(picture, int) - np.asarray(expected[0], int))
    assert apart.mean() < 2, "the weights lost a little in float16, the picture not"


def test_a_withheld_picture_is_labelled_and_not_black(pipe, capsys):
    """A real safety checker, with concepts that everything is taken for."""
    side = {"image_size": 32, "patch_size": 16, "hidden_size": 8}
    small = {"num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = CLIPConfig(vision_config=side | small, projection_dim=8)
    checker = StableDiffusionSafetyChecker(config)
    checker.concept_embeds_weights.data.fill_(-2)
    pipe.safety_checker = checker
    pipe.feature_extractor = CLIPImageProcessor(size=32, crop_size=32)
    (picture,) = draw(pipe)
    assert "withheld picture 1 of 1" in capsys.readouterr().out
    assert picture.info["withheld"]
    assert picture.getpixel((0, 0)) == (211, 211, 211)
    assert picture.convert("L").getextrema()[0] < 50, "there is no text"


@pytest.mark.parametrize(
    ("flags", "withheld"),
    [(None, []), ([False, False], []), ([True, False, True], [1, 3])],
)
def test_of_several_pictures_only_the_withheld_are_replaced(
    plain, flags, withheld, capsys
):
    result = SimpleNamespace(images=[Image.new("RGB", (64, 64))] * 3)
    result.nsfw_content_detected = flags
    plain.__class__ = type("Drawn", (type(plain),), {"__call__": lambda _: result})
    protect(plain, apply_savings(plain, find_device()))
    images = plain().images
    assert [n for n, i in enumerate(images, 1) if i.info.get("withheld")] == withheld
    lines = capsys.readouterr().out.splitlines()
    named = zip(withheld, lines, strict=True)
    assert all(f"withheld picture {n} of 3" in line for n, line in named)


ROUNDS = """\
import shutil, sys
import psutil
from helpers.catalogue import POCKET
from helpers.models import load

other = shutil.copytree(POCKET, sys.argv[1])
used = []
for number in range(50):
    pipe = load("pocket" if number % 2 else other)
    pipe("a frog", num_inference_steps=1)
    used.append(psutil.Process().memory_info().rss)
print("USED", used[9], used[49])  # the heap has grown for two side by side
"""


@pytest.mark.seconds(25)
def test_fifty_rounds_of_load_draw_and_switch_leave_memory_as_it_was(tmp_path):
    command = [sys.executable, "-c", ROUNDS, str(tmp_path / "other")]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 0, result.stderr[-2000:]
    early, late = map(int, result.stdout.split()[-2:])
    assert abs(late - early) < 0.02 * early, f"{early:,} bytes became {late:,}"
