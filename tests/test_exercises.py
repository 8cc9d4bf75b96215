"""Exercises: right answers pass, however written; what people get wrong is named."""

import pkgutil
from functools import partial
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers import exercises
from helpers.exercises.engine import Exercise
from helpers.exercises.manual_denoising_loop import by_hand
from helpers.images import save
from helpers.models import load

FILES = [
    import_module(f"helpers.exercises.{file.name}")
    for file in pkgutil.iter_modules(exercises.__path__)
]
EXERCISES = {
    f"{file.__name__.rpartition('.')[2]}.{name}": value
    for file in FILES
    for name, value in vars(file).items()
    if isinstance(value, Exercise)
}

RIGHT = """
# guidance_scale.guide
def guide(u, t, s):
    u += s * (t - u)
    return u
# guidance_scale.guide
guide = lambda u, t, s: (1 - s) * u + s * t
# guidance_scale.guide
guide = lambda u, t, s: torch.lerp(u, t, float(s))
# guidance_scale.guide
def guide(u, t, s):
    return np.asarray(u) + s * (np.asarray(t) - np.asarray(u))
# guidance_scale.tame
def tame(p, t, r):
    calm = p * t.std((1, 2, 3), keepdim=True) / p.std((1, 2, 3), keepdim=True)
    p *= 1 - r
    p += r * calm
    return p
# guidance_scale.tame
def tame(p, t, r):
    calm = [a * (b.std() / a.std()) for a, b in zip(p, t)]
    return torch.lerp(p, torch.stack(calm), r)
# guidance_scale.tame
def tame(p, t, r):
    share = t.flatten(1).std(1) / p.flatten(1).std(1)
    p *= 1 + r * (share.view(-1, 1, 1, 1) - 1)
    return p
# negative_prompts.surprise
def surprise(changes):
    changes -= 0
    return np.mean(changes) / np.std(changes) * len(changes) ** 0.5
# negative_prompts.surprise
def surprise(changes):
    changes = torch.tensor(changes)
    return changes.mean() / (changes.std() / len(changes) ** 0.5)
# negative_prompts.surprise
surprise = lambda c: sum(c) / np.sqrt(len(c) * np.var(c, ddof=1))
# negative_prompts.steer
def steer(u, t, n, g, w):
    return (1 - g + w) * u + g * t - w * n
# negative_prompts.steer
def steer(u, t, n, g, w):
    t -= u
    n -= u
    u += g * t - w * n
    return u
# img2img.steps_run
steps_run = lambda n, s: int(n * min(s, 1))
# img2img.steps_run
def steps_run(n, s):
    skipped = max(n - int(n * s), 0)
    return n - skipped
# img2img.steps_run
steps_run = lambda n, s: np.floor(n * s)
# img2img.gentle
gentle = 0.26
# img2img.change
def change(frames):
    frames = [np.array(frame, float) for frame in frames]
    pairs = zip(frames, frames[1:])
    return float(np.mean([np.mean(np.abs(a - b)) for a, b in pairs]))
# img2img.change
def change(frames):
    for i, frame in enumerate(frames):
        frames[i] = torch.tensor(np.array(frame)).float()
    return torch.stack(frames).diff(dim=0).abs().mean()
# img2img.change
def change(frames):
    frames = np.stack(frames).astype(np.int16)
    frames[:-1] -= frames[1:]
    return abs(frames[:-1]).mean()
# textual_inversion.nearest
def nearest(row, table):
    table /= table.norm(dim=1, keepdim=True)
    return [int(i) for i in (table @ row).argsort(descending=True)[:4]]
# textual_inversion.nearest
nearest = lambda r, t: F.cosine_similarity(r[None], t).topk(4).indices
# textual_inversion.nearest
def nearest(row, table):
    angles = np.asarray(F.cosine_similarity(row[None], table))
    return tuple(np.argsort(-angles)[:4])
# textual_inversion.between
between = lambda a, b, s: a.mul_(1 - s).add_(b, alpha=s)
# textual_inversion.between
between = torch.lerp
# dreambooth.two_losses
def two_losses(p, n, w):
    return ((p - n) ** 2)[:2].mean().item() + w * ((p - n) ** 2)[2:].mean().item()
# dreambooth.two_losses
def two_losses(p, n, w):
    p -= n
    return p[:2].pow(2).mean() + w * p[2:].pow(2).mean()
# dreambooth.merge
merge = lambda W, A, B, s: torch.addmm(W, B, A, alpha=s)
# dreambooth.merge
def merge(W, A, B, s):
    W += s * (B @ A)
    return W
# dreambooth.merge
def merge(W, A, B, s):
    A, B = torch.nn.Parameter(A), torch.nn.Parameter(B)
    return W + s * torch.einsum("ir,rj->ij", B, A)
# lora_finetuning.fused
fused = lambda W, A, B, alpha: torch.addmm(W, B, A, alpha=alpha / A.shape[0])
# lora_finetuning.fused
def fused(W, A, B, alpha):
    W += (B * (alpha / B.shape[1])) @ A
    return W
# lora_finetuning.fused
def fused(W, A, B, alpha):
    A, B = torch.nn.Parameter(A), torch.nn.Parameter(B)
    return W + torch.einsum("ir,rj->ij", B, A) / len(A) * alpha
# lora_finetuning.learned
learned = lambda i, o, k, r: r * (i * k * k + o)
# lora_finetuning.learned
def learned(inputs, outputs, kernel, rank):
    A = torch.zeros(rank, inputs, kernel, kernel)
    return A.numel() + torch.zeros(outputs, rank).numel()
# lora_finetuning.learned
def learned(inputs, outputs, kernel, rank):
    return np.float64(rank) * (inputs * kernel**2 + outputs)
# lora_finetuning.kohya
def kohya(key):
    place, side = key.removesuffix(".weight").split(".lora_")
    side = {"A": "down", "B": "up"}[side]
    return f"lora_{place.replace('.', '_')}.lora_{side}.weight"
# lora_finetuning.kohya
def kohya(key):
    *place, matrix, weight = key.split(".")
    matrix = "lora_down" if matrix == "lora_A" else "lora_up"
    return ".".join(["_".join(["lora", *place]), matrix, weight])
# manual_denoising_loop.ddim_step
def ddim_step(x, e, a, b):
    x -= (1 - a).sqrt() * e
    x *= (b / a).sqrt()
    return x + (1 - b).sqrt() * e
# manual_denoising_loop.ddim_step
def ddim_step(x, e, a, b):
    sigma, later = ((1 - a) / a).sqrt(), ((1 - b) / b).sqrt()
    return b.sqrt() * (x / a.sqrt() + (later - sigma) * e)
# manual_denoising_loop.ddim_step
def ddim_step(x, e, a, b):
    e *= (1 - b).sqrt() - (b / a * (1 - a)).sqrt()
    return x.mul_((b / a).sqrt()).add_(e)
# manual_denoising_loop.my_draw
@torch.no_grad()
def my_draw(prompt, seed, steps, scale):
    rows = text_encoder(torch.cat([tokenize(""), tokenize(prompt)]))[0]
    latents = torch.randn(1, 4, 16, 16, generator=torch.manual_seed(seed))
    timesteps = (torch.arange(steps) * (1000 // steps)).flip(0) + 1
    for t, later in zip(timesteps, [*timesteps[1:], 0]):
        both = unet(torch.cat([latents, latents]), t, rows).sample
        noise_pred = torch.lerp(*both.chunk(2), float(scale))
        a, b = alphas_cumprod[t], alphas_cumprod[later]
        latents = latents * (b / a).sqrt()
        latents += noise_pred * ((1 - b).sqrt() - ((1 - a) * b / a).sqrt())
    return decode(latents)
# manual_denoising_loop.my_draw
def my_draw(prompt, seed, num_inference_steps, guidance_scale):
    return pipe(prompt, num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale, generator=torch.manual_seed(seed)).images[0]
# manual_denoising_loop.add_noise
def add_noise(x, e, a):
    x *= a**0.5
    x += (1 - a) ** 0.5 * e
    return x
# manual_denoising_loop.add_noise
add_noise = lambda x, e, a: a.sqrt() * x + torch.sqrt(1 - a) * e
# manual_denoising_loop.add_noise
def add_noise(x, e, a):
    angle = torch.acos(a.sqrt())
    return torch.cos(angle) * x + torch.sin(angle) * e
# mixing_prompts.slerp
def slerp(a, b, weight):
    cosine = torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)
    angle = torch.arccos(cosine)
    a *= torch.sin(angle - weight * angle) / torch.sin(angle)
    return a + b * (torch.sin(weight * angle) / torch.sin(angle))
# mixing_prompts.slerp
def slerp(a, b, weight):
    x, y = a.numpy().ravel(), b.numpy().ravel()
    angle = np.arccos(x @ y / np.linalg.norm(x) / np.linalg.norm(y))
    mixed = np.sin((1 - weight) * angle) * x + np.sin(weight * angle) * y
    return (mixed / np.sin(angle)).reshape(a.shape)
# mixing_prompts.ease
def ease(count):
    return [np.sin(np.pi / 2 * i / (count - 1)) ** 2 for i in range(count)]
# mixing_prompts.ease
ease = lambda count: 0.5 - torch.cos(torch.linspace(0, torch.pi, count)) / 2
# image_to_prompt.how_far
def how_far(noise_pred, noise):
    noise_pred -= noise
    return (noise_pred**2).flatten(1).mean(1)
# image_to_prompt.how_far
how_far = lambda p, e: np.square(p.numpy() - e.numpy()).mean(axis=(1, 2, 3))
# image_to_prompt.best_first
def best_first(errors):
    errors /= errors.sum(1, keepdim=True)
    return errors.sum(0).argsort()
# image_to_prompt.best_first
def best_first(errors):
    shares = [row.numpy() / np.mean(row.numpy()) for row in errors]
    return sorted(range(5), key=lambda i: sum(row[i] for row in shares))
# image_to_prompt.narrow
def narrow(captions, look):
    total = np.zeros(len(captions))
    while len(captions) > 1:
        total += look(captions)
        keep = total.argsort()[: -(-len(captions) // 2)]
        captions, total = [captions[i] for i in keep], total[keep]
    return captions[0]
# image_to_prompt.narrow
def narrow(captions, look, before=None):
    if len(captions) == 1:
        return captions.pop()
    totals = torch.tensor(look(captions)) + (0 if before is None else before)
    totals, which = totals.sort()
    half = (len(captions) + 1) // 2
    return narrow([captions[i] for i in which[:half]], look, totals[:half])
# beyond_the_frame.put_back
def put_back(latents, known, noise, alpha_bar, mask):
    known *= alpha_bar.sqrt()
    known += (1 - alpha_bar).sqrt() * noise
    return torch.where(mask > 0.5, latents, known)
# beyond_the_frame.put_back
put_back = lambda x, k, e, a, m: torch.lerp((1 - a) ** 0.5 * e + a**0.5 * k, x, m)
# beyond_the_frame.windows
def windows(width, size, stride):
    count = -(-(width - size) // stride) + 1
    return torch.tensor([min(i * stride, width - size) for i in range(count)])
# beyond_the_frame.windows
windows = lambda w, s, by: sorted({*range(0, w - s, by), w - s})
# beyond_the_frame.blend
def blend(preds, starts, width):
    total = torch.zeros(4, preds.shape[2], width)
    count = torch.zeros(width)
    for i, start in enumerate(starts):
        total[:, :, start : start + 16] += preds[i]
        count[start : start + 16] += 1
    return total / count
# beyond_the_frame.blend
def blend(preds, starts, width):
    sheets = np.full((len(preds), *preds.shape[1:3], width), np.nan)
    for sheet, pred, start in zip(sheets, preds, starts):
        sheet[..., start : start + preds.shape[3]] = pred
    return np.nanmean(sheets, axis=0)[None]
# galleries.share
share = lambda rows, k, n: [row for i, row in enumerate(rows) if i % n == k]
# galleries.share
def share(rows, process, processes):
    cuts = [i * len(rows) // processes for i in range(processes + 1)]
    return rows[cuts[process] : cuts[process + 1]]
# galleries.gain
def gain(noise, a, b):
    a -= noise
    b -= noise
    return (a**2).flatten(1).mean(1).log() - (b**2).flatten(1).mean(1).log()
# galleries.gain
def gain(noise, a, b):
    pairs = zip(noise, a, b)
    return [np.log((F.mse_loss(x, n) / F.mse_loss(y, n)).item()) for n, x, y in pairs]
# galleries.best_of_each
def best_of_each(scores, prompts, keep):
    kept = []
    for prompt in set(prompts):
        own = [i for i, said in enumerate(prompts) if said == prompt]
        kept += sorted(own, key=scores.__getitem__, reverse=True)[:keep]
    return kept
# galleries.best_of_each
def best_of_each(scores, prompts, keep):
    scores, prompts = np.array(scores), np.array(prompts)
    own = [np.flatnonzero(prompts == prompt) for prompt in np.unique(prompts)]
    return np.concatenate([i[scores[i].argsort()[::-1][:keep]] for i in own])
# noise_predictor.slope
def slope(p, picture, row, column, nudge):
    before = p(picture)
    picture[..., row, column] += nudge
    return (p(picture) - before).item() / nudge
# noise_predictor.slope
def slope(p, x, i, j, d):
    one = torch.zeros_like(x)
    one[0, 0, i, j] = d
    return (p(x + one) - p(x - one)) / (2 * d)
# noise_predictor.noise_loss
def noise_loss(unet, clean, noise, sigma):
    clean += sigma * noise
    return ((noise - unet(clean, sigma)) ** 2).mean()
# noise_predictor.noise_loss
def noise_loss(unet, clean, noise, sigma):
    error = unet(torch.addcmul(clean, sigma, noise), sigma) - noise
    return error.flatten(1).pow(2).mean(dim=1).mean()
# noise_predictor.remove_noise
def remove_noise(unet, x, sigmas):
    for i in range(len(sigmas) - 1):
        x += (sigmas[i + 1] - sigmas[i]) * unet(x, sigmas[i])
    return x
# noise_predictor.remove_noise
def remove_noise(unet, x, sigmas):
    sigma, *rest = sigmas
    for after in rest:
        noise_pred = unet(x, sigma)
        clean = x - sigma * noise_pred
        x, sigma = clean + after * noise_pred, after
    return x
# clip.clip_loss
def clip_loss(a, b, s):
    a *= s
    logits = a @ b.T
    both = logits.diag() - logits.logsumexp(0), logits.diag() - logits.logsumexp(1)
    return -torch.stack(both).mean()
# clip.clip_loss
def clip_loss(a, b, s):
    p, target = s * torch.einsum("id,jd->ij", a, b), torch.eye(len(a))
    losses = F.cross_entropy(p, target), F.cross_entropy(p.T, target)
    return (sum(losses) / 2).item()
# clip.zero_shot
def zero_shot(a, b, s):
    p = torch.exp(s * F.cosine_similarity(a[:, None], b[None], dim=-1))
    return p / p.sum(1, keepdim=True)
# clip.zero_shot
zero_shot = lambda a, b, s: F.softmax((b @ (s * a).T).T, 1).numpy()
# autoencoder.draw_latents
def draw_latents(m, v, n):
    return torch.exp(0.5 * v).mul(n).add_(m)
# autoencoder.draw_latents
draw_latents = lambda m, v, n: m + v.exp().sqrt() * n
# autoencoder.draw_latents
draw_latents = lambda m, v, n: torch.addcmul(m, n, v.exp() ** 0.5)
# autoencoder.vae_loss
def vae_loss(x, y, m, v, w):
    kl = -(1 + v - m.square() - v.exp()) / 2
    return (y - x).square().mean() + w * kl.mean()
# autoencoder.vae_loss
def vae_loss(x, y, m, v, w):
    kl = (m**2 + v.exp() - 1 - v).sum((1, 2, 3)).mean() / 2
    return ((x - y) ** 2).mean() + w * kl / m[0].numel()
# autoencoder.psnr
psnr = lambda a, b: 20 * np.log10(2 / np.sqrt(np.mean((np.asarray(a - b)) ** 2)))
# autoencoder.psnr
def psnr(a, b):
    half = (a - b).div_(2)
    return -10 * half.pow_(2).mean().log10().item()
# schedules_and_samplers.to_zero
def to_zero(a):
    a **= 0.5
    first, last = a[0].clone(), a[-1].clone()
    a -= last
    return (a * first / (first - last)).square()
# schedules_and_samplers.to_zero
def to_zero(a):
    r = np.sqrt(np.asarray(a))
    return np.interp(r, [r[-1], r[0]], [0, r[0]]) ** 2
# schedules_and_samplers.trailing
trailing = lambda n: np.round(np.arange(1000, 0, -1000 / n)).astype(int) - 1
# schedules_and_samplers.trailing
def trailing(n):
    rows = torch.linspace(1000, 0, n + 1)[:-1]
    return (rows.round() - 1).long()
# schedules_and_samplers.heun_step
def heun_step(look, x, s, n):
    first = look(x, s)
    second = look(x + (n - s) * first, n)
    return x.add_((n - s) * torch.stack([first, second]).mean(0))
# schedules_and_samplers.heun_step
def heun_step(look, x, s, n):
    h = n - s
    k1 = look(x, s)
    k2 = look(torch.add(x, k1, alpha=h), n)
    return x + 0.5 * h * k1 + 0.5 * h * k2
""".split("\n# ")[1:]

# Exercise, a wrong answer as code, a word of what it should be told; by files
MISTAKES = """
# pipeline_basics
wide | 'a hippo' | str
wide | Image.new('RGB', (64, 64)) | 64 wide and 64 high
numbers | 768 * 512 * 3 | pixels
numbers | 64 * 96 | four numbers
numbers | 4 * 64 * 64 | wider
numbers | torch.tensor(64 * 96) | four numbers
saved | OUT / 'nowhere.png' | no file
saved | bare(OUT) | holds no settings
saved | save(Image.new('RGB', (8, 8)), OUT / 'x.png', seed=1) | prompt
saved | save(Image.new('RGB', (8, 8)), OUT / 'x.png', seed=1) | num_inference
# guidance_scale
guide | lambda u, t, s: t + s * (t - u) | starts at the prediction with
guide | lambda u, t, s: u + s * (u - t) | away
guide | lambda u, t, s: s * (t - u) | alone
guide | lambda u, t, s: None | return
guide | lambda u, t, s: u + 7.5 * (t - u) | right at 7.5
guide | lambda u, t, s: u + s * (t - u) if s > 1 else None | return
looks | 25 | twice
looks | 50 | PNDM
tame | lambda p, t, r: p * t.std() / p.std() * r + (1 - r) * p | batch
tame | lambda p, t, r: p * (t.std((1, 2, 3)) / p.std((1, 2, 3))).view(-1, 1, 1, 1) | mix
tame | lambda p, t, r: 0.3 * p + r * torch.stack(\
[a * b.std() / a.std() for a, b in zip(p, t)]) | right at 0.7
# negative_prompts
surprise | lambda c: np.mean(c) | uncertain
surprise | lambda c: abs(np.mean(c)) / np.std(c, ddof=1) * 3 | sign
surprise | lambda c: np.mean(c) / np.std(c, ddof=1) | surer
surprise | lambda c: None | return
surprise | lambda c: 1.5 | it is 1.50
steer | lambda u, t, n, g, w: u + g * (t - u) + w * (n - u) | both
steer | lambda u, t, n, g, w: g * (t - u) - w * (n - u) | start
steer | lambda u, t, n, g, w: u + g * (t - u) + w * (t - n) | empty prompt
steer | lambda u, t, n, g, w: u + 7.5 * (t - u) - 3 * (n - u) | right here
changed | 1000 | once
changed | 'all' | once
changed | False | how many
# img2img
steps_run | lambda n, s: n - int(n * s) | left out
steps_run | lambda n, s: round(n * s) | 7.5 steps are 7
steps_run | lambda n, s: max(int(n * s), 1) | half a step
steps_run | lambda n, s: None | return
gentle | 10 | share
gentle | 0.75 | runs 30
change | lambda f: np.diff(np.stack(f).astype(int), axis=0).mean() | cancels
change | lambda f: np.abs(np.diff(np.stack(f), axis=0)).mean() | wrap
change | lambda f: np.abs(np.diff([np.mean(x) for x in f])).mean() | moves
change | lambda f: None | return
change | lambda f: 1.5 | yours says 1.5
# textual_inversion
nearest | lambda r, t: (t @ r).topk(4).indices.tolist() | longest
nearest | lambda r, t: (t - r).norm(dim=1).argsort()[:4].tolist() | point
nearest | lambda r, t: (t - r).norm(dim=1).topk(4).indices | longest
nearest | lambda r, t: F.cosine_similarity(r[None], t).argsort()[:4] | least alike
nearest | lambda r, t: F.cosine_similarity(r[None], t).argmax() | next three
nearest | lambda r, t: F.cosine_similarity(r[None], t).argmax().item() | next three
nearest | lambda r, t: F.cosine_similarity(r[None], t).topk(4) | indices
nearest | lambda r, t: F.cosine_similarity(r[None], t).topk(4).values | asked
nearest | lambda r, t: [4, 5, 2, 1] | comes first
nearest | lambda r, t: None | return
word_bytes | 768 | four bytes
word_bytes | 77 * 768 * 4 | one row
between | lambda a, b, s: b + s * (a - b) | other way
between | lambda a, b, s: a + s * b | past
between | lambda a, b, s: (a + s * (b - a))[None] | halfway
# dreambooth
two_losses | lambda p, n, w: F.mse_loss(p, n) | halves
two_losses | lambda p, n, w: w * F.mse_loss(p[:2], n[:2]) + F.mse_loss(p[2:], n[2:])\
 | second half, the kind
two_losses | lambda p, n, w: F.mse_loss(p[:2], n[:2]) | alone
two_losses | lambda p, n, w: F.mse_loss(p[:2], n[:2]).item() | alone
thin | 320 * 320 | stands still
thin | 4 * 320 | one of the two
merge | lambda W, A, B, s: W + B @ A | scale
merge | lambda W, A, B, s: W + s * A.T @ B.T | transposed
# image_to_prompt
how_far | lambda p, e: (p - e).square().mean() | one number for all
how_far | lambda p, e: (p - e).abs().mean((1, 2, 3)) | absolute
how_far | lambda p, e: (p - e).square().mean((2, 3)) | channel
how_far | lambda p, e: (p - e).square().sum((1, 2, 3)) | sum
how_far | lambda p, e: (p - e).mean((1, 2, 3)) | cancel
how_far | lambda p, e: None | return
best_first | lambda e: e.mean(0).argsort() | first look decides
best_first | lambda e: (e / e.mean(1, keepdim=True))\
 .mean(0).argsort().flip(0) | worst first
best_first | lambda e: (e / e.mean(1, keepdim=True)).mean(0) | argsort
best_first | lambda e: e[-1].argsort().tolist() | last look
best_first | lambda e: (e / e.mean(1, keepdim=True)).mean(0).argsort().argsort() | place
narrow | lambda c, look: [c := sorted(c, key=dict(zip(c, look(c))).get)\
[: (len(c) + 1) // 2] for _ in range(3)][-1][0] | last look
narrow | lambda c, look: [c := sorted(c, key=dict(zip(c, look(c))).get)[: len(c) // 2]\
 for _ in range(2)][-1][0] | rounded up
narrow | lambda c, look: [c := sorted(c, key=dict(zip(c, look(c))).get)[len(c) // 2 :]\
 for _ in range(3)][-1][0] | smaller
narrow | lambda c, look: c[0] | never looks
narrow | lambda c, look: sorted(c, key=dict(zip(c, look(c))).get) | a list
narrow | lambda c, look: (look(c), look(c))[0] and c[0] | all five again
# mixing_prompts
slerp | lambda a, b, w: torch.lerp(a, b, w) | straight line
slerp | lambda a, b, w: None | return
slerp | lambda a, b, w: (1 - w) * a + w * a | as long
ease | lambda n: np.linspace(0, 1, n) | even steps
ease | lambda n: (1 - np.cos(np.pi * np.linspace(1, 0, n))) / 2 | from 1 to 0
ease | lambda n: (1 - np.cos(np.pi * np.arange(n) / n)) / 2 | should be 1
ease | lambda n: 1 - np.cos(np.pi * np.linspace(0, 1, n)) | halve
looks | 50 | twice
looks | 25 | steps
# beyond_the_frame
put_back | lambda x, k, e, a, m: (1 - m) * x + m * (a.sqrt() * k + (1 - a).sqrt() * e)\
 | repaints the rest
put_back | lambda x, k, e, a, m: m * x + (1 - m) * k | clean
put_back | lambda x, k, e, a, m: m * x + (1 - m) * (a * k + (1 - a) * e) | square root
put_back | lambda x, k, e, a, m: m * x + (1 - m) * ((1 - a).sqrt() * k + a.sqrt() * e)\
 | swapped
put_back | lambda x, k, e, a, m: m * x + (1 - m) * (k + (1 - a).sqrt() * e) | fades
put_back | lambda x, k, e, a, m: a.sqrt() * k + (1 - a).sqrt() * e | whole picture
put_back | lambda x, k, e, a, m: a.sqrt() * (m * x + (1 - m) * k) + (1 - a).sqrt() * e\
 | already
put_back | lambda x, k, e, a, m: x | nothing is put back
put_back | lambda x, k, e, a, m: None | return
windows | lambda w, s, by: list(range(0, w, by)) | past the end
windows | lambda w, s, by: list(range(0, w - s, by)) | to come
windows | lambda w, s, by: list(range(0, w - s + 1, by)) | no window
windows | lambda w, s, by: [*range(0, w - s + 1, by), w - s] | twice
windows | lambda w, s, by: list(range(0, w - s + 1, s)) | not every `size`
windows | lambda w, s, by: [0] | it should be [0, 12
windows | lambda w, s, by: None | return
blend | lambda p, starts, w: sum(F.pad(x, (a, w - a - 16)) for x, a in zip(p, starts))\
 | divide by how many
blend | lambda p, starts, w: sum(F.pad(x, (a, w - a - 16))\
 for x, a in zip(p, starts)) / len(p) | not by all
blend | lambda p, starts, w: torch.cat([p[0][..., :6], p[1][..., :6], p[2][..., :8],\
 p[3]], -1) | last one wins
blend | lambda p, starts, w: torch.cat([p[0], p[1][..., 10:], p[2][..., 10:],\
 p[3][..., 8:]], -1) | first one wins
blend | lambda p, starts, w: None | return
blend | lambda p, starts, w: p | mean of the windows
# galleries
share | lambda rows, k, n: rows[::n] | is made 3 times
share | lambda rows, k, n: rows[k - 1 :: n] | nobody makes row 2
share | lambda rows, k, n: rows[k * (len(rows) // n) : (k + 1) * (len(rows) // n)]\
 | nobody makes row 9
share | lambda rows, k, n: rows[k * (len(rows) // n) :][: len(rows) // n if k < n - 1\
 else None] | slowest
share | lambda rows, k, n: None | return
gain | lambda n, a, b: ((b - n).pow(2).mean((1, 2, 3)) / (a - n).pow(2).mean((1, 2, 3))\
).log() | other way round
gain | lambda n, a, b: (F.mse_loss(a, n) / F.mse_loss(b, n)).log() | for each
gain | lambda n, a, b: (a - n).pow(2).mean((1, 2, 3)) / (b - n).pow(2).mean((1, 2, 3))\
 | logarithm
gain | lambda n, a, b: (a - n).pow(2).mean((1, 2, 3)) - (b - n).pow(2).mean((1, 2, 3))\
 | divide
gain | lambda n, a, b: (a - b).pow(2).mean((1, 2, 3)) | held against
gain | lambda n, a, b: ((a - n).abs().mean((1, 2, 3)) / (b - n).abs().mean((1, 2, 3))\
).log() | square
gain | lambda n, a, b: None | return
best_of_each | lambda s, p, k: sorted(range(len(s)), key=lambda i: -s[i])[:k] | of all
best_of_each | lambda s, p, k: sorted(range(len(s)), key=lambda i: -s[i])[: 2 * k]\
 | no place
best_of_each | lambda s, p, k: [0.9, 0.8, 0.4, 0.3] | places
best_of_each | lambda s, p, k: [1, 5, 4, 6] | worst
best_of_each | lambda s, p, k: [0, 2, 3] | yours has 3
best_of_each | lambda s, p, k: [0, 1, 3, 7] | are at 0, 2
# lora_finetuning
fused | lambda W, A, B, a: W + a * B @ A | over the rank
fused | lambda W, A, B, a: W + B @ A | where is `alpha`
fused | lambda W, A, B, a: W + B @ A / len(A) | left out
fused | lambda W, A, B, a: W + len(A) / a * B @ A | other way round
fused | lambda W, A, B, a: a / len(A) * B @ A | `W` stays
fused | lambda W, A, B, a: W + a / A.shape[1] * B @ A | side of `A`
fused | lambda W, A, B, a: W + a / len(B) * B @ A | side of `B`
fused | lambda W, A, B, a: W - a / len(A) * B @ A | taken away
fused | lambda W, A, B, a: W | as large as
fused | lambda W, A, B, a: None | return
learned | lambda i, o, k, r: i * o * k * k | stands still
learned | lambda i, o, k, r: r * i * k * k | add `B`
learned | lambda i, o, k, r: o * r | add `A`
learned | lambda i, o, k, r: r * (i + o) | sees a window
learned | lambda i, o, k, r: r * (i + o) * k * k | 1 by 1
learned | lambda i, o, k, r: r * (i * k + o) | side
learned | lambda i, o, k, r: r * (i + o * k * k) | it is `A`
learned | lambda i, o, k, r: 640 | yours says 640
learned | lambda i, o, k, r: None | return
kohya | lambda key: "lora_" + key.replace("lora_A", "lora_up").replace("lora_B",\
 "lora_down").replace(".", "_").replace("_lora_", ".lora_").replace("_weight",\
 ".weight") | swapped
kohya | lambda key: "lora_" + key.replace(".", "_") | lora_down
kohya | lambda key: "lora_" + key.replace("lora_A", "lora_down").replace("lora_B",\
 "lora_up").replace(".", "_") | too many
kohya | lambda key: "lora_" + key.replace("lora_A", "lora_down").replace("lora_B",\
 "lora_up") | each dot
kohya | lambda key: key.replace("lora_A", "lora_down").replace("lora_B", "lora_up")\
.replace(".", "_").replace("_lora_", ".lora_").replace("_weight", ".weight")\
 | begin with
kohya | lambda key: key | strings
kohya | lambda key: "lora" | yours says
kohya | lambda key: None | return
# manual_denoising_loop
ddim_step | lambda x, e, a, b: (x - (1 - a).sqrt() * e) / a.sqrt() | whole
ddim_step | lambda x, e, a, b: None | return
add_noise | lambda x, e, a: a * x + (1 - a) * e | square root
add_noise | lambda x, e, a: x + (1 - a).sqrt() * e | fades
my_draw | lambda *a: by_hand(*a, "halves") | swapped
my_draw | lambda *a: by_hand(*a, "side") | noise_pred_uncond
my_draw | lambda *a: by_hand(*a, "below") | below 0
my_draw | lambda *a: by_hand(*a, "top") | from 999 down
my_draw | lambda *a: by_hand(*a, "climb") | largest t
my_draw | lambda *a: (lambda ddim_step: ddim_step(*a))(None) | exercise 2
my_draw | lambda *a: by_hand(*a, "unguided") | without guidance
my_draw | lambda *a: by_hand(*a, "scale") | scaling_factor
my_draw | lambda *a: by_hand(*a, "last") | not quite 1
my_draw | lambda *a: by_hand(*a, "offset") | one too low
my_draw | lambda *a: by_hand(*a, "padding") | rows of 77
my_draw | lambda p, *a: by_hand("frogs on stilts", *a) | whatever `prompt` is
my_draw | lambda p, s, *a: by_hand(p, 4, *a) | whatever `seed` is
my_draw | lambda p, s, n, g: by_hand(p, s, 25, g) | whatever `num_inference_steps`
my_draw | lambda p, s, n, g: by_hand(p, s, n, 7.5) | whatever `guidance_scale` is
my_draw | lambda *a: by_hand(*a, "static") | dtype
my_draw | lambda p, s, n, g: by_hand(p, s, n, g + 4) | away from the pipeline's
my_draw | lambda *a: Image.new("RGB", (64, 64)) | pixels
my_draw | lambda *a: torch.zeros(1, 4, 16, 16) | return a picture
my_draw | lambda *a: None | is there a `return`
# noise_predictor
slope | lambda p, x, i, j, d: p(x) - p(x) | copy
slope | lambda p, x, i, j, d: p(torch.where(torch.arange(256).view(16, 16)\
 == 16 * i + j, x + d, x)) - p(x) | each unit
slope | lambda p, x, i, j, d: (p(x + d) - p(x)) / d | nudge one
slope | lambda p, x, i, j, d: (p(x) - p(torch.where(torch.arange(256).view(16, 16)\
 == 16 * i + j, x + d, x))) / d | sign
slope | lambda p, x, i, j, d: (p(torch.where(torch.arange(256).view(16, 16)\
 == 16 * j + i, x + d, x)) - p(x)) / d | swapped
slope | lambda p, x, i, j, d: None | return
slope | lambda p, x, i, j, d: 5 | yours says 5
noise_loss | lambda u, c, e, s: F.mse_loss(u(c + e, s), e) | as large
noise_loss | lambda u, c, e, s: F.mse_loss(u(c, s), e) | asked for
noise_loss | lambda u, c, e, s: F.mse_loss(u(c + s * e, s), c) | not with the clean
noise_loss | lambda u, c, e, s: F.mse_loss(u(c + s * e, s), s * e) | as it was drawn
noise_loss | lambda u, c, e, s: F.l1_loss(u(c + s * e, s), e) | square them
noise_loss | lambda u, c, e, s: (u(c + s * e, s) - e).square().sum() | mean
noise_loss | lambda u, c, e, s: (u(c + s * e, s) - e).square().mean().sqrt() | root
noise_loss | lambda u, c, e, s: F.mse_loss(u(c + s * e, s), e).item() | gradient
noise_loss | lambda u, c, e, s: (u(c + s * e, s) - e).square() | mean squared
noise_loss | lambda u, c, e, s: None | return
remove_noise | lambda u, x, s: x - s[0] * u(x, s[0]) | each step
remove_noise | lambda u, x, s: x | static
remove_noise | lambda u, x, s: x - (s[0] - s[1]) * u(x, s[0]) | first step
remove_noise | lambda u, x, s: None | return
# clip
clip_loss | lambda a, b, s: F.cross_entropy(s * a @ b.T, torch.arange(len(a))) | rows
clip_loss | lambda a, b, s: F.cross_entropy(s * b @ a.T, torch.arange(len(a))) | columns
clip_loss | lambda a, b, s: sum(F.cross_entropy(s * x, torch.arange(len(a))) for x in\
 (a @ b.T, b @ a.T)) | twice
clip_loss | lambda a, b, s: sum(F.cross_entropy(x, torch.arange(len(a))) for x in\
 (a @ b.T, b @ a.T)) / 2 | left out
clip_loss | lambda a, b, s: -(s * a @ b.T).diagonal().mean() | pushes nothing
clip_loss | lambda a, b, s: None | return
clip_loss | lambda a, b, s: F.mse_loss(a @ b.T, torch.eye(len(a))) | yours is
wrong_pairs | 32768 | right ones
wrong_pairs | 32768 ** 2 | diagonal
wrong_pairs | 32768 * 32767 // 2 | another pair
zero_shot | lambda a, b, s: (s * a @ b.T).softmax(0) | each picture
zero_shot | lambda a, b, s: s * a @ b.T | scores
zero_shot | lambda a, b, s: (a @ b.T).softmax(1) | left out
zero_shot | lambda a, b, s: (s * a @ b.T).argmax(1) | the class
zero_shot | lambda a, b, s: (s * b @ a.T).softmax(0) | a row for each picture
# autoencoder
draw_latents | lambda m, v, n: m + v.exp() * n | square root
draw_latents | lambda m, v, n: m + v * n | logarithm
draw_latents | lambda m, v, n: m + v / 2 * n | exponential
draw_latents | lambda m, v, n: m + (v / 2).exp() | same
draw_latents | lambda m, v, n: (v / 2).exp() * n | around 0
draw_latents | lambda m, v, n: m + (v / 2).exp() * torch.randn(n.shape) | given
draw_latents | lambda m, v, n: None | return
draw_latents | lambda m, v, n: m.add_(n * (v / 2).exp()) | changes
draw_latents | lambda m, v, n: m.numpy() + np.exp(v.numpy() / 2) * n.numpy()\
 | gradient
vae_loss | lambda x, y, m, v, w: F.mse_loss(y, x).item() + w * (m**2 + v.exp() - 1\
 - v).mean().item() / 2 | gradient
vae_loss | lambda x, y, m, v, w: F.mse_loss(y, x) | KL
vae_loss | lambda x, y, m, v, w: F.mse_loss(y, x) + w * (m**2 + v.exp() - 1 - v).mean()\
 | half
vae_loss | lambda x, y, m, v, w: F.mse_loss(y, x) + (m**2 + v.exp() - 1 - v).mean() / 2\
 | not weighed
vae_loss | lambda x, y, m, v, w: F.mse_loss(y, x) + w * (1 + v - m**2 - v.exp()).mean()\
 / 2 | wrong way
vae_loss | lambda x, y, m, v, w: F.mse_loss(y, x) + w * (m**2 + v.exp() - 1 - v).sum()\
 / 2 | mean
vae_loss | lambda x, y, m, v, w: F.l1_loss(y, x) + w * (m**2 + v.exp() - 1 - v).mean()\
 / 2 | square
psnr | lambda a, b: 10 * torch.log10(1 / (a - b).square().mean()) | it is 2
psnr | lambda a, b: 10 * torch.log10(255**2 / (a - b).square().mean()) | 255
psnr | lambda a, b: 10 * torch.log(4 / (a - b).square().mean()) | natural
psnr | lambda a, b: 20 * torch.log10(4 / (a - b).square().mean()) | 20 times
psnr | lambda a, b: (a - b).square().mean() | after
psnr | lambda a, b: 10 * torch.log10(4 / a.sub_(b).square().mean()) | changes
psnr | lambda a, b: 10 * torch.log10((a - b).square().mean() / 4) | around
# schedules_and_samplers
to_zero | lambda a: (a.sqrt() - a[-1].sqrt()) ** 2 | scale them
to_zero | lambda a: (a - a[-1]) * a[0] / (a[0] - a[-1]) | square root
to_zero | lambda a: torch.cat([a[:-1], a.new_zeros(1)]) | cliff
to_zero | lambda a: None | return
trailing | lambda n: [i * (1000 // n) + 1 for i in range(n)][::-1] | leading
trailing | lambda n: [i * (1000 // n) for i in range(n)][::-1] | leading
trailing | lambda n: [999 - i * (1000 // n) for i in range(n)] | divides
trailing | lambda n: [1000 - i * 1000 // n for i in range(n)] | counted from 0
trailing | lambda n: [999 - i * 200 for i in range(5)] | for 1 it should
trailing | lambda n: None | return
heun_step | lambda look, x, s, n: x + (n - s) * look(x, s) | Euler
heun_step | lambda look, x, s, n: x + (n - s) * look(x + (n - s) * look(x, s), n)\
 | past the bend
heun_step | lambda look, x, s, n: x + (n - s) * (look(x, s)\
 + look(x + (n - s) * look(x, s), s)) / 2 | less noise
heun_step | lambda look, x, s, n: x + (n - s) * (look(x, s)\
 + look(x + (n - s) * look(x, s), n)) | mean
heun_step | lambda look, x, s, n: [look(x, s), x + (n - s) * (look(x, s)\
 + look(x + (n - s) * look(x, s), n)) / 2][1] | enough
heun_step | lambda look, x, s, n: None | return
""".split("\n# ")[1:]
WRONG = [
    (f"{file}.{name}", answer, word)
    for file, *rows in map(str.splitlines, MISTAKES)
    for name, answer, word in (row.split(" | ") for row in rows)
]


def own(name: str) -> str:
    """What an exercise is called in its notebook."""
    return name.partition(".")[2]


def of(code: str) -> str:
    """The exercise that a right answer is for: its first line says it."""
    return code.partition("\n")[0]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What stands in a notebook when the exercises come."""

    def draw(prompt, seed, width=8, height=8, **settings):
        """What the pipeline would draw, as far as an exercise looks at it."""
        return Image.new("RGB", (width, height))

    def bare(folder):
        Image.new("RGB", (8, 8)).save(folder / "bare.png")
        return folder / "bare.png"

    given = {"np": np, "torch": torch, "F": torch.nn.functional, "Image": Image}
    given |= {"save": save, "bare": bare, "draw": draw}
    given["suits"] = {"num_inference_steps": 2, "guidance_scale": 7.5}
    given["model"] = SimpleNamespace(name="pocket", size=128)
    given |= {"OUT": tmp_path_factory.mktemp("out")}
    return given | the_loops_parts()


def the_loops_parts() -> dict[str, object]:
    """What stands in notebook 07; its VAE has a factor, like Stable Diffusion's."""
    pipe = load("pocket", dissect=True)
    pipe.vae.register_to_config(scaling_factor=0.5)

    def tokenize(text):
        said = {"padding": "max_length", "return_tensors": "pt"}
        return pipe.tokenizer(text, **said).input_ids

    def decode(latents):
        with torch.no_grad():
            pixels = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
        return pipe.image_processor.postprocess(pixels)[0]

    given = {"pipe": pipe, "tokenize": tokenize, "decode": decode, "device": "cpu"}
    given |= {"text_encoder": pipe.text_encoder, "unet": pipe.unet}
    given |= {"shape": (1, 4, 16, 16), "dtype": torch.float32}
    given["alphas_cumprod"] = pipe.scheduler.alphas_cumprod
    return given | {"by_hand": partial(by_hand, pipe)}


def beside(name: str, space: dict[str, object]) -> list[object]:
    """What a notebook gives to a check, beside the answer."""
    return [space["pipe"]] if name == "manual_denoising_loop.my_draw" else []


@pytest.mark.parametrize("name", EXERCISES)
def test_the_solution_passes(name, names, capsys):
    space = dict(names)
    EXERCISES[name].solution()
    exec(capsys.readouterr().out, space)
    EXERCISES[name].check(space[own(name)], *beside(name, space))
    assert capsys.readouterr().out == "Correct.\n"
    EXERCISES[name].hint()
    assert len(capsys.readouterr().out) > 20


@pytest.mark.parametrize("code", RIGHT, ids=of)
def test_an_answer_may_be_written_otherwise(code, names, capsys):
    """In place, as a formula, as a plain number: right is right."""
    space = dict(names)
    exec("# " + code, space)
    EXERCISES[of(code)].check(space[own(of(code))], *beside(of(code), space))
    assert capsys.readouterr().out == "Correct.\n"


@pytest.mark.parametrize(("name", "answer", "word"), WRONG)
def test_a_typical_mistake_is_named(name, answer, word, names, capsys):
    EXERCISES[name].check(eval(answer, dict(names)), *beside(name, names))
    said = capsys.readouterr().out
    assert said.startswith("Not yet: ") and word in said


@pytest.mark.parametrize("name", EXERCISES)
def test_two_mistakes_of_each_exercise_are_known(name):
    assert sum(known == name for known, _, _ in WRONG) >= 2


@pytest.mark.parametrize(
    "name", [name for name, e in EXERCISES.items() if e.solution_text[:4] == "def "]
)
def test_two_other_ways_of_each_function_are_tried(name):
    assert sum(of(code) == name for code in RIGHT) >= 2


@pytest.mark.parametrize("name", EXERCISES)
@pytest.mark.parametrize(
    "nonsense", ["?", 3.5, print, [], {}, -1, 1e400, lambda *_: 7, float("nan"), True]
)
def test_any_answer_gets_a_sentence_and_no_error(name, nonsense, names, capsys):
    EXERCISES[name].check(nonsense, *beside(name, names))
    *_, said = capsys.readouterr().out.splitlines()
    assert said.startswith(("Not yet: ", "Cannot tell: ")) and len(said) > 20


@pytest.mark.parametrize("name", EXERCISES)
def test_no_answer_is_not_tried(name, capsys):
    EXERCISES[name].check(None)
    assert capsys.readouterr().out.startswith("Not tried yet.")


@pytest.mark.parametrize(
    ("answer", "used"), [(52, 52), (25, 7), (None, 7), ("?", 7), ([], 7)]
)
def test_a_right_answer_is_used_and_no_other(answer, used, capsys):
    looks = EXERCISES["guidance_scale.looks"]
    assert looks.choose(answer, own=7) == used
    said = capsys.readouterr().out
    assert said.startswith("Goes on with yours" if used == 52 else "Goes on with the")
