"""A pipeline that fails well: out of memory, numbers that overflow, a black picture."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image, ImageDraw, ImageFont

from helpers.device import find_device
from helpers.errors import is_full
from helpers.memory import (
    Savings,
    apply_savings,
    give_back,
    network_sizes,
)

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def protect(pipe: DiffusionPipeline, savings: Savings) -> DiffusionPipeline:
    """Makes a pipeline that is called as before do the following by itself.

    - Out of memory, it frees what it can, saves more, says so, and draws once
      more from the same static; a ``Mistake`` is raised where nothing is left to save.
    - Where numbers overflow (in float16 that is above 65,504) it draws once more in
      float32, and so from then on.
    - A picture that the safety checker withheld is a grey one that says so, not black.

    Args:
        pipe: Changed in place. It stays what it was for ``isinstance`` and for
            ``save_pretrained``.
        savings: What it saves now; nothing else changes by protecting it again.

    Returns:
        The same pipeline.
    """
    if not isinstance(pipe, _Protected):
        pipe.__class__ = _protected(type(pipe))
    pipe.savings = savings
    return pipe


def _protected(kind: type) -> type:
    """A kind of pipeline that looks like another one, its ``__call__`` too."""

    @functools.wraps(kind.__call__)
    def call(self: _Protected, *args: Any, **settings: Any) -> Any:
        return self.draw_well(super(_Protected, self).__call__, args, settings)

    names = ("__doc__", "__module__", "__qualname__")
    looks = {name: getattr(kind, name) for name in names} | {"__call__": call}
    return type(kind.__name__, (_Protected, kind), looks)


def _unpickled(kind: type) -> DiffusionPipeline:
    pipe = kind.__new__(kind)
    pipe.__class__ = _protected(kind)
    return pipe


class _Protected:
    savings: Savings

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (type(self).__bases__[1],), self.__dict__

    def draw_well(
        self, call: Callable[..., Any], args: tuple[Any, ...], settings: dict[str, Any]
    ) -> Any:
        rewind = _rewinder(settings.get("generator"))
        order = _order(args, settings)

        def draw() -> Any:
            rewind()
            overflown.clear()
            # SDXL's pipelines widen it while it decodes; cut short, they leave it so.
            self.vae.type(self.unet.dtype)
            return call(*args, **settings)

        def draw_somehow() -> Any:
            while True:
                try:
                    return draw()
                except RuntimeError as error:
                    if not is_full(error):
                        raise
                # Out of the except, so that the error and all that it held are gone.
                give_back()
                saved = self.savings
                self.savings = apply_savings(self, find_device(), after=saved, **order)
                print(f"The memory was full. Once more: {self.savings}.")

        with warnings.catch_warnings(), _watch(self.vae.decoder) as overflown:
            warnings.filterwarnings("ignore", "invalid value encountered in cast")
            result = draw_somehow()
            if overflown and self.unet.dtype != torch.float32:
                print(
                    f"Numbers overflowed in {self.unet.dtype}. Once more in float32, "
                    "and from now on."
                )
                self.remove_all_hooks()  # of an offload, which hold the weights
                for name in network_sizes(self):
                    self.components[name].float()
                self.savings = apply_savings(self, find_device(), **order)
                result = draw_somehow()
        return _label_withheld(result)


def _order(args: Any, settings: dict[str, Any]) -> dict[str, int | None]:
    """How large and how many pictures are asked for, as ``apply_savings`` takes it."""
    side = max(settings.get("width") or 0, settings.get("height") or 0)
    prompt = args[0] if args else settings.get("prompt")
    count = len(prompt) if isinstance(prompt, list) else 1
    count *= settings.get("num_images_per_prompt") or 1
    return {"size": side or None, "count": count}


def _rewinder(
    generators: torch.Generator | list[torch.Generator] | None,
) -> Callable[[], None]:
    """Puts generators back to where they are now: drawing uses them up."""
    some = generators if isinstance(generators, list) else [generators]
    states = [(g, g.get_state()) for g in some if g is not None]

    def rewind() -> None:
        for generator, state in states:
            generator.set_state(state)

    return rewind


@contextmanager
def _watch(network: torch.nn.Module) -> Iterator[list[bool]]:
    """A list that is not empty any more once the network gave what is no number."""
    seen: list[bool] = []

    def look(module: torch.nn.Module, inputs: Any, output: torch.Tensor) -> None:
        if not torch.isfinite(output).all():
            seen.append(True)

    handle = network.register_forward_hook(look)
    try:
        yield seen
    finally:
        handle.remove()


def _label_withheld(result: Any) -> Any:
    flags = getattr(result, "nsfw_content_detected", None) or []
    for i, flag in enumerate(flags):
        if flag and isinstance(result.images[i], Image.Image):
            result.images[i] = _placeholder(result.images[i].size)
            print(
                f"The safety checker withheld picture {i + 1} of {len(flags)}; it errs "
                "often: take another seed, or other words."
            )
    return result


def _placeholder(size: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size, "lightgrey")
    text = "withheld by\nthe safety\nchecker"
    font = ImageFont.load_default(size[0] / 10)
    middle = (size[0] / 2, size[1] / 2)
    ImageDraw.Draw(picture).multiline_text(
        middle, text, "black", font, anchor="mm", align="center"
    )
    picture.info["withheld"] = True
    return picture
