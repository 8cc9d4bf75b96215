"""The parts of the pocket model, in the sizes it is trained with.

Every part is the library's own class, so the saved folder loads with plain diffusers.
"""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from helpers.catalogue import POCKET

TEXT_WIDTH = 128
MAX_TOKENS = 77
MODEL_DIR = POCKET  # what ``make pocket`` writes and ``load`` finds


def make_tokenizer(words: list[str]) -> CLIPTokenizer:
    """Build a CLIP tokenizer in which each of ``words`` is one token.

    Byte-pair merges are learned from the words until each is whole (Sennrich et al.
    2016, arXiv:1508.07909); any other word falls apart into pieces, down to letters.
    As in CLIP's own tokenizer, each digit is a token by itself. Done here because the
    tokenizers library's trainer numbers its tokens differently from run to run.
    """
    spelled = [[*word[:-1], f"{word[-1]}</w>"] for word in sorted(set(words))]
    merges: list[tuple[str, str]] = []
    while pairs := Counter(p for pieces in spelled for p in pairwise(pieces)):
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for pieces in spelled:
            for i in range(len(pieces) - 1, 0, -1):
                if tuple(pieces[i - 1 : i + 1]) == best:
                    pieces[i - 1 : i + 1] = ["".join(best)]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = letters + [f"{letter}</w>" for letter in letters]
    tokens += ["".join(pair) for pair in merges]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)


def ids_of(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    """Token numbers (captions, 77)."""
    return tokenizer(
        captions,
        padding="max_length",
        truncation=True,
        max_length=MAX_TOKENS,
        return_tensors="pt",
    ).input_ids


def make_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """CLIP's text transformer (arXiv:2103.00020), three layers of 128."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class Contrast(nn.Module):
    """CLIP around a text encoder: both towers into one space (arXiv:2103.00020).

    The image tower reads latents (batch, 4, 16, 16), not pixels.
    """

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.text_head = nn.Linear(TEXT_WIDTH, TEXT_WIDTH, bias=False)
        layers: list[nn.Module] = []
        widths = (4, 64, 128, 192, 256)
        for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False)):
            stride = 1 if i == 0 else 2
            layers += [nn.Conv2d(a, b, 3, stride, 1), nn.GroupNorm(8, b), nn.SiLU()]
        self.image_body = nn.Sequential(*layers)  # (batch, 256, 2, 2)
        self.image_head = nn.Linear(256 * 4, TEXT_WIDTH)
        self.log_scale = nn.Parameter(torch.tensor(2.6593))  # log(1 / 0.07), as in CLIP

    def embed_text(self, input_ids: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) to (batch, 128), each of length 1."""
        pooled = self.text_encoder(input_ids).pooler_output
        return nn.functional.normalize(self.text_head(pooled), dim=-1)

    def embed_images(self, latents: torch.Tensor) -> torch.Tensor:
        """(batch, 4, 16, 16) to (batch, 128), each of length 1."""
        features = self.image_body(latents).flatten(1)
        return nn.functional.normalize(self.image_head(features), dim=-1)

    def forward(self, latents: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        """All pairs' similarities, scaled: (batch images, batch texts)."""
        similarity = self.embed_images(latents) @ self.embed_text(input_ids).T
        return similarity * self.log_scale.clamp(max=4.6).exp()


def make_vae() -> AutoencoderKL:
    """Stable Diffusion's autoencoder (arXiv:2112.10752), thinner, without attention."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 96, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=128,
        scaling_factor=1.0,
    )


def make_unet() -> UNet2DConditionModel:
    """Stable Diffusion's U-Net with one layer per block; attention at 8x8 and 4x4.

    The prompt also enters as a whole, pooled and added to the time embedding, as in
    DeepFloyd IF: so it reaches every block, also those at 16x16 that have no attention.
    That way in begins silent. ``attention_head_dim`` is the library's historical name
    for the number of heads.
    """
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(64, 96, 176),
        down_block_types=(
            "DownBlock2D",
            "CrossAttnDownBlock2D",
            "CrossAttnDownBlock2D",
        ),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        cross_attention_dim=TEXT_WIDTH,
        norm_num_groups=16,
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    )
    nn.init.zeros_(unet.add_embedding.norm2.weight)
    return unet


def make_scheduler() -> DDIMScheduler:
    """Stable Diffusion 1's noise schedule, under DDIM (arXiv:2010.02502).

    Its own PNDM extrapolates from the last four predictions; with these weights that
    overshoots from guidance 5 on, and pictures burst into colours.
    """
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=1000,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def centre_latents(vae: AutoencoderKL, mean: torch.Tensor, std: torch.Tensor) -> None:
    """Fold each latent channel's mean and deviation into the 1x1 convolutions.

    Afterwards latents have mean 0 and deviation 1 per channel, and pictures come out as
    before: both convolutions are linear, so this is exact.

    Args:
        vae: Changed in place.
        mean: Mean of each latent channel before, shape (4,).
        std: Standard deviation of each latent channel before, shape (4,).
    """
    with torch.no_grad():
        conv = vae.quant_conv  # gives (mean, log variance) of each channel
        conv.weight[:4] /= std[:, None, None, None]
        conv.bias[:4] = (conv.bias[:4] - mean) / std
        conv.bias[4:] -= 2 * std.log()
        back = vae.post_quant_conv
        back.bias += (back.weight[:, :, 0, 0] * mean).sum(1)
        back.weight *= std[None, :, None, None]


def save_pipeline(
    folder: Path,
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
) -> None:
    """Write the standard diffusers folder, weights in float16 safetensors."""
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16).save_pretrained(folder, safe_serialization=True)
    # transformers takes the precision of a folder from its config, diffusers float32:
    # say float32, so that a plain from_pretrained gives one precision on a CPU.
    path = Path(folder) / "text_encoder" / "config.json"
    config = json.loads(path.read_text()) | {"dtype": "float32"}
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def parameters(module: nn.Module) -> int:
    """Count the numbers a module learns."""
    return sum(p.numel() for p in module.parameters())
