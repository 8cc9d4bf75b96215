"""What the notebooks claim about pictures, judged over many seeds.

The judge was trained on renders of the pocket model's world and on nothing else; see
pocket/README.md for how often it is right.
"""

import random
from functools import cache

import numpy as np
import torch
from diffusers import AutoPipelineForImage2Image
from PIL import Image
from test_notebooks import FOLDER, ROOT, own_run

from pocket import world
from pocket.classifier import BACKGROUNDS, judge, load_classifier
from pocket.evaluate import generate, load_pipeline, recognised, score

judge_once = cache(load_classifier)
pipeline = cache(load_pipeline)


def share_right(part: str, **settings) -> float:
    """How often a part of the prompt is there, in 48 pairs never trained on."""
    rng = random.Random(1)
    specs = [world.sample(rng, held_out=True, pairs=1.0) for _ in range(48)]
    prompts = [world.caption(spec, rng, plain=True) for spec in specs]
    made = generate(pipeline(), prompts, range(48), **settings)
    return np.nanmean(score(judge(judge_once(), made), specs)[part])


def test_guidance_makes_it_listen():
    """Notebook 02: at 7.5 both subjects are there far more often than at 1.1."""
    weak = share_right("both of two", guidance_scale=1.1)
    assert share_right("both of two", guidance_scale=7.5) > weak + 0.15


def test_a_negative_prompt_removes_what_it_names():
    """Notebook 03: backgrounds that were blue unasked are not, in the same seeds."""
    names = list(world.SUBJECTS)[:48]
    prompts = [f"a photograph of a {name}" for name in names]
    blue = BACKGROUNDS.index("blue")

    def how_blue(negative_prompt: str) -> float:
        made = generate(pipeline(), prompts, range(48), negative_prompt=negative_prompt)
        return judge(judge_once(), made)["background"][:, blue].exp().sum().item()

    assert how_blue("blue") < 0.5 * how_blue("")


def test_low_strength_keeps_the_layout():
    """Notebook 04: where a picture was light it stays light at 0.3, less so at 0.9."""
    pipe = AutoPipelineForImage2Image.from_pipe(pipeline())
    prompts = [f"a photograph of a {name} in the city" for name in world.SUBJECTS][:12]
    starts = [Image.fromarray(a) for a in generate(pipeline(), prompts, range(12))]

    def compare(strength: float) -> tuple[float, float]:
        kept, changed = [], []
        for seed, start in enumerate(starts):
            (made,) = pipe(
                "a castle in the city",
                image=start,
                strength=strength,
                generator=torch.Generator().manual_seed(seed),
            ).images
            small = [np.asarray(i.convert("L").resize((8, 8))) for i in (start, made)]
            kept.append(np.corrcoef(*(x.ravel().astype(float) for x in small))[0, 1])
            pixels = [np.asarray(i).astype(float) for i in (start, made)]
            changed.append(np.abs(pixels[0] - pixels[1]).mean())
        return np.mean(kept), np.mean(changed)

    (kept_low, changed_low), (kept_high, changed_high) = compare(0.3), compare(0.9)
    assert kept_low > kept_high + 0.05  # 0.78 and 0.63 when this was written
    assert changed_low < 0.85 * changed_high  # 32 and 48


def test_a_new_word_means_what_its_pictures_show():
    """Notebook 05: `<tiny>` wears his hat where he was never shown, others do not."""
    assert own_run(FOLDER / "05_textual_inversion.ipynb").error is None
    pipe = load_pipeline()
    assert recognised(pipe, "teddy", "teddy", worn="hat") < 0.1, "the word it began as"
    pipe.load_textual_inversion(str(ROOT / "out" / "05_tiny.safetensors"))
    assert recognised(pipe, "teddy", "<tiny>", worn="hat") >= 0.7


def test_dreambooth_learns_the_one_and_keeps_the_kind():
    """Notebook 06: `sks castle` becomes a moai, and `castle` stays a castle."""
    assert own_run(FOLDER / "06_dreambooth.ipynb").error is None
    pipe = load_pipeline()
    assert recognised(pipe, "moai", "sks castle") < 0.1
    castles = recognised(pipe, "castle", "castle")
    saved = ROOT / "out" / "06_moai"
    pipe.unet.load_lora_adapter(saved, prefix="unet", use_safetensors=True)
    assert recognised(pipe, "moai", "sks castle") >= 0.85
    assert recognised(pipe, "castle", "castle") >= castles - 0.05
