"""Half of two prompts: whom does a judge see in the picture?

    python -m benchmarks.mixing [--pictures 40]

Notebook 08 mixes a rabbit and a frog in three ways. Here each way draws many pictures
of its three pairs, at a half of each, and the two classifiers of the pocket model's
world name the subjects. "Both" means that the two parents are the two likeliest;
"neither", that the likeliest is no parent; then it says whom they see most often. A
judge that was trained on animals that exist has no word for one that does not, so read
"both" as: it hesitates between them.
"""

import argparse
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from diffusers import DiffusionPipeline

from pocket.classifier import SUBJECTS, judge, load_classifier
from pocket.evaluate import JUDGES, load_pipeline

PAIRS = [("rabbit", "frog"), ("frog", "snake"), ("snake", "giraffe")]
PROMPT = "a photograph of a {} on a green background"
STEPS, GUIDANCE, BATCH = 25, 7.5, 20


class Mixer:
    """Draws batches of pictures of which each half belongs to another prompt."""

    def __init__(self, pipe: DiffusionPipeline, pair: tuple[str, str]) -> None:
        self.pipe = pipe
        words = [PROMPT.format(name) for name in pair] + [""]
        self.first, self.second, self.empty = (self._encode(word) for word in words)

    def _encode(self, prompt: str) -> torch.Tensor:
        return self.pipe.encode_prompt(prompt, self.pipe.device, 1, False)[0]

    def _guess(
        self, latents: torch.Tensor, t: int, words: torch.Tensor
    ) -> torch.Tensor:
        each = [x.expand(len(latents), -1, -1) for x in (self.empty, words)]
        both = torch.cat(each)
        noise_pred = self.pipe.unet(torch.cat([latents] * 2), t, both).sample
        noise_pred_uncond, noise_pred_text = noise_pred.chunk(2)
        return noise_pred_uncond + GUIDANCE * (noise_pred_text - noise_pred_uncond)

    def embeddings(self, latents: torch.Tensor, t: int, step: int) -> torch.Tensor:
        return self._guess(latents, t, torch.lerp(self.first, self.second, 0.5))

    def predictions(self, latents: torch.Tensor, t: int, step: int) -> torch.Tensor:
        one, other = (self._guess(latents, t, x) for x in (self.first, self.second))
        return torch.lerp(one, other, 0.5)

    def turns(self, latents: torch.Tensor, t: int, step: int) -> torch.Tensor:
        return self._guess(latents, t, (self.first, self.second)[step % 2])

    @torch.no_grad()
    def draw(self, noise_at: Callable[..., torch.Tensor], count: int) -> np.ndarray:
        """One picture for each seed from 0 on, uint8 (count, 128, 128, 3)."""
        pictures = []
        for begin in range(0, count, BATCH):
            seeds = range(begin, min(begin + BATCH, count))
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            static = [torch.randn((1, 4, 16, 16), generator=g) for g in generators]
            latents = torch.cat(static).to(self.pipe.device)
            self.pipe.scheduler.set_timesteps(STEPS)
            for step, t in enumerate(self.pipe.scheduler.timesteps):
                noise_pred = noise_at(latents, t, step)
                latents = self.pipe.scheduler.step(noise_pred, t, latents).prev_sample
            vae = self.pipe.vae
            pixels = vae.decode(latents / vae.config.scaling_factor).sample
            images = self.pipe.image_processor.postprocess(pixels, output_type="np")
            pictures.append((images * 255).round().astype(np.uint8))
        return np.concatenate(pictures)


def seen(likeliest: list[int], pair: tuple[str, str]) -> str:
    """Whom a judge sees, from its two likeliest subjects."""
    first, second = (SUBJECTS[index] for index in likeliest)
    if {first, second} == set(pair):
        return "both"
    return first if first in pair else "neither"


def main() -> None:
    """Draw, judge, print a table for each judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40, help="%(default)s")
    count = parser.parse_args().pictures
    pipe = load_pipeline()
    judges = {name: load_classifier(path) for name, path in JUDGES.items()}
    for pair in PAIRS:
        mixer = Mixer(pipe, pair)
        for way in (mixer.embeddings, mixer.predictions, mixer.turns):
            pictures = mixer.draw(way, count)
            for name, classifier in judges.items():
                said = judge(classifier, pictures)["subject"]
                whom = Counter(seen(x.tolist(), pair) for x in said.topk(2).indices)
                words = [f"{w} {whom[w]:2}" for w in (*pair, "both", "neither")]
                others = Counter(SUBJECTS[i] for i in said.argmax(1))
                words += [f"{w} {n}" for w, n in others.most_common(3) if w not in pair]
                print(f"{way.__name__:>11}, {name:>9} judge: {', '.join(words)}")


if __name__ == "__main__":
    main()
