"""Stable Diffusion 1.5 and SDXL from their published configurations, without weights.

The configurations are those of https://huggingface.co/stable-diffusion-v1-5 and of
stabilityai/stable-diffusion-xl-base-1.0.
"""

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from helpers.catalogue import POCKET

FULL_SIZE = {"Stable Diffusion 1.5": 512, "SDXL": 1024}  # and the side it draws
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}
SDXL_UNET = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", *("CrossAttnDownBlock2D",) * 2),
    "up_block_types": (*("CrossAttnUpBlock2D",) * 2, "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CLIP_L = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
VIT_L = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "patch_size": 14,
}
CLIP_G = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
    "hidden_act": "gelu",
}


def build(
    name: str, device: str, dtype: torch.dtype = torch.float16
) -> DiffusionPipeline:
    """A model of ``FULL_SIZE`` with random weights; on ``"meta"`` without any."""
    tokenizer = CLIPTokenizer.from_pretrained(POCKET / "tokenizer")
    scheduler = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device("meta"):
            networks: dict[str, torch.nn.Module] = {
                "text_encoder": CLIPTextModel(CLIPTextConfig(**CLIP_L)),
                "vae": AutoencoderKL(**VAE, sample_size=FULL_SIZE[name]),
            }
            if name == "SDXL":
                clip_g = CLIPTextConfig(**CLIP_G)
                networks["text_encoder_2"] = CLIPTextModelWithProjection(clip_g)
                networks["unet"] = UNet2DConditionModel(**SDXL_UNET)
            else:
                networks["unet"] = UNet2DConditionModel(
                    sample_size=64, cross_attention_dim=768
                )
                checker = CLIPConfig(vision_config=VIT_L, projection_dim=768)
                networks["safety_checker"] = StableDiffusionSafetyChecker(checker)
    finally:
        torch.set_default_dtype(before)
    if device != "meta":
        for network in networks.values():
            network.to_empty(device=device)
            for weight in network.parameters():
                torch.nn.init.normal_(weight, std=0.02)
            for buffer_name, buffer in network.named_buffers():
                if buffer_name.endswith("position_ids"):
                    buffer.copy_(torch.arange(buffer.shape[-1]))
    parts = {"tokenizer": tokenizer, "scheduler": scheduler} | networks
    if name == "SDXL":
        return StableDiffusionXLPipeline(**parts, tokenizer_2=tokenizer)
    return StableDiffusionPipeline(**parts, feature_extractor=CLIPImageProcessor())
