"""Exercises of notebook 07, the denoising loop."""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image

from helpers.exercises.engine import NOTHING, ask, compare, exercise, predictions
from helpers.images import apart
from helpers.schedulers import to_ddim


@exercise(
    """Two lines: x_0 is `(latents - (1 - alpha_bar).sqrt() * noise_pred)` over
    `alpha_bar.sqrt()`; then mix it with `noise_pred` again, by `alpha_bar_next`.""",
    """
    def ddim_step(latents, noise_pred, alpha_bar, alpha_bar_next):
        clean = (latents - (1 - alpha_bar).sqrt() * noise_pred) / alpha_bar.sqrt()
        return alpha_bar_next.sqrt() * clean + (1 - alpha_bar_next).sqrt() * noise_pred
    """,
)
def ddim_step(answer: Any) -> str | None:
    """A step of DDIM without fresh noise: equation 12 of arXiv:2010.02502."""
    latents, noise_pred = predictions()
    now, later = torch.tensor(0.3), torch.tensor(0.6)
    got = ask(answer, latents, noise_pred, now, later)
    clean = (latents - (1 - now).sqrt() * noise_pred) / now.sqrt()
    right = later.sqrt() * clean + (1 - later).sqrt() * noise_pred
    mistakes = {
        "that is x_0, the whole way; the step goes only to the next t.": clean,
        "alpha_bar is a share of power: take its square root before you multiply.": (
            later * clean + (1 - later) * noise_pred
        ),
        "you put back the noise of where you are; it should be that of the next t.": (
            later.sqrt() * clean + (1 - now).sqrt() * noise_pred
        ),
    }
    rule = "where alpha_bar_next is alpha_bar, the latents should stay as they are."
    return compare(got, right, mistakes, rule)


@exercise(
    "The two shares of section 4: the picture's is the square root of alpha_bar.",
    """
    def add_noise(clean, noise, alpha_bar):
        return alpha_bar.sqrt() * clean + (1 - alpha_bar).sqrt() * noise""",
)
def add_noise(answer: Any) -> str | None:
    """The forward process in one go: equation 4 of arXiv:2006.11239."""
    clean, noise = predictions()
    share = torch.tensor(0.7)
    got = ask(answer, clean, noise, share)
    right = share.sqrt() * clean + (1 - share).sqrt() * noise
    mistakes = {
        "alpha_bar is a share of power: take the square root of each share.": (
            share * clean + (1 - share) * noise
        ),
        "the picture fades as the noise comes: scale it, too.": (
            clean + (1 - share).sqrt() * noise
        ),
        "picture and noise are swapped.": (
            share.sqrt() * noise + (1 - share).sqrt() * clean
        ),
    }
    rule = "at alpha_bar 1 it should be the clean latents, at 0 the noise."
    return compare(got, right, mistakes, rule)


# What people write instead of a line of the loop, and what to say of it.
SLIPS = (
    (
        "halves",
        "the halves are swapped: guidance walks from the empty prompt to yours.",
    ),
    ("side", "guidance sets out from the empty prompt: begin at noise_pred_uncond."),
    ("unguided", "that is the picture without guidance: take guidance_scale into it."),
    (
        "scale",
        "divide the latents by vae.config.scaling_factor before they are decoded.",
    ),
    ("last", "after the last step comes t = 0, and alphas_cumprod[0] is not quite 1."),
    (
        "below",
        "in the last step `t - stride` is below 0, and Python takes such an index from "
        "the end of the table: go to alphas_cumprod[0] there.",
    ),
    ("offset", "your timesteps lie one too low: the last one is t = 1, not 0."),
    ("top", "your timesteps are counted from 999 down: count them from 1 up."),
    ("climb", "your steps climb: the loop begins at the largest t."),
    ("padding", "the prompt is not padded: the U-Net was trained with rows of 77."),
    ("static", "the static is another: draw it on the CPU, in the U-Net's dtype."),
)


@exercise(
    """Before the loop: the embeddings of the empty prompt and of yours, static from a
    generator with the seed, and the timesteps, `[stride * i + 1 for i in
    reversed(range(n))]`. In the loop: the U-Net for each of the two embeddings, the
    guidance line, your step from `alphas_cumprod[t]` to `alphas_cumprod[t - stride]`,
    in the last round to `alphas_cumprod[0]`. After it: `decode`.""",
    """
    @torch.no_grad()
    def my_draw(prompt, seed, num_inference_steps, guidance_scale):
        text_embeddings = text_encoder(tokenize(prompt).to(device))[0]
        uncond_embeddings = text_encoder(tokenize("").to(device))[0]
        generator = torch.Generator("cpu").manual_seed(seed)
        latents = torch.randn(shape, generator=generator, dtype=dtype).to(device)
        stride = 1000 // num_inference_steps
        for i in reversed(range(num_inference_steps)):
            t = stride * i + 1
            noise_pred_text = unet(latents, t, text_embeddings).sample
            noise_pred_uncond = unet(latents, t, uncond_embeddings).sample
            difference = noise_pred_text - noise_pred_uncond
            noise_pred = noise_pred_uncond + guidance_scale * difference
            alpha_bar = alphas_cumprod[t]
            alpha_bar_next = alphas_cumprod[max(t - stride, 0)]
            clean = (latents - (1 - alpha_bar).sqrt() * noise_pred) / alpha_bar.sqrt()
            latents = alpha_bar_next.sqrt() * clean
            latents = latents + (1 - alpha_bar_next).sqrt() * noise_pred
        return decode(latents)
    """,
)
def my_draw(answer: Any, pipe: Any) -> str | None:
    """The whole loop, against the pipeline's own under DDIM (arXiv:2010.02502)."""
    asked = {"prompt": "a photo of a frog", "seed": 5}
    asked |= {"num_inference_steps": 4, "guidance_scale": 5.0}
    others = {"prompt": "a photo of a castle", "seed": 6}
    others |= {"num_inference_steps": 5, "guidance_scale": 9.0}
    try:
        got = answer(*asked.values())
    except TypeError as error:
        if str(error) != "'NoneType' object is not callable":
            raise
        return "it calls what is not written yet: is `ddim_step`, of exercise 2?"
    if not isinstance(got, Image.Image):
        return NOTHING if got is None else "return a picture: `decode` the latents."
    right = _decode(pipe, _theirs(pipe, **asked))
    if got.size != right.size:
        return f"your picture has {got.size} pixels, and the model's {right.size}."
    limit = 1 if pipe.device.type == "cpu" else 8  # a card rounds otherwise
    distance = apart(got, right)
    if distance <= limit:
        return None
    slips = {
        said: apart(got, by_hand(pipe, **asked, slip=slip)) for slip, said in SLIPS
    }
    nearest = min(slips, key=slips.get)
    if slips[nearest] <= limit:
        return nearest
    for name in others:
        other = answer(*(asked | {name: others[name]}).values())
        if apart(got, other) <= limit:
            return f"it draws the same whatever `{name}` is: take it into account."
    return (
        f"it is up to {distance} of 255 away from the pipeline's. Print what each line "
        "makes beside what sections 2 to 8 make, for the same prompt and seed."
    )


def _decode(pipe: Any, latents: torch.Tensor) -> Image.Image:
    with torch.no_grad():
        pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return pipe.image_processor.postprocess(pixels)[0]


def _theirs(
    pipe: Any, prompt: str, seed: int, num_inference_steps: int, guidance_scale: float
) -> torch.Tensor:
    """The pipeline's latents under plain DDIM, (1, 4, height / 8, width / 8)."""
    before = pipe.scheduler
    spacing = {"timestep_spacing": "leading", "steps_offset": 1}
    pipe.scheduler = to_ddim(before, **spacing, set_alpha_to_one=False)
    try:
        return pipe(
            prompt,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            generator=torch.Generator("cpu").manual_seed(seed),
            output_type="latent",
        ).images
    finally:
        pipe.scheduler = before


@torch.no_grad()
def by_hand(
    pipe: Any,
    prompt: str,
    seed: int,
    num_inference_steps: int,
    guidance_scale: float,
    slip: str = "",
) -> Image.Image:
    """The loop in plain lines, with one of the ``SLIPS`` in it."""
    unet, dtype, device = pipe.unet, pipe.unet.dtype, pipe.device
    padding = {"padding": "do_not_pad" if slip == "padding" else "max_length"}
    rows = []
    for text in ("", prompt):
        ids = pipe.tokenizer(text, return_tensors="pt", **padding).input_ids
        rows.append(pipe.text_encoder(ids.to(device))[0])
    shape = (
        1,
        unet.config.in_channels,
        unet.config.sample_size,
        unet.config.sample_size,
    )
    generator = torch.Generator("cpu").manual_seed(seed)
    other = torch.float32 if dtype == torch.float16 else torch.float64
    kind = other if slip == "static" else dtype
    latents = torch.randn(shape, generator=generator, dtype=kind).to(device, dtype)

    table = pipe.scheduler.alphas_cumprod.cpu()
    stride = 1000 // num_inference_steps
    rounds = range(1000 // stride)
    for i in rounds if slip == "climb" else reversed(rounds):
        t = stride * i + (slip != "offset")
        if slip == "top":
            t = 999 - stride * (rounds[-1] - i)
        uncond, text = (unet(latents, t, embeddings).sample for embeddings in rows)
        if slip == "halves":
            uncond, text = text, uncond
        scale = 1.0 if slip == "unguided" else guidance_scale
        noise_pred = (text if slip == "side" else uncond) + scale * (text - uncond)
        later = table[t - stride if slip == "below" else max(t - stride, 0)]
        if slip == "last" and i == 0:
            later = torch.tensor(1.0)
        now = table[t]
        clean = (latents - (1 - now).sqrt() * noise_pred) / now.sqrt()
        latents = later.sqrt() * clean + (1 - later).sqrt() * noise_pred
    if slip == "scale":
        latents = latents * pipe.vae.config.scaling_factor
    return _decode(pipe, latents)
