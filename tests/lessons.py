"""What notebooks 05, 06 and 14 claim about what they taught, judged over many pictures.

The judge was trained on renders of the pocket model's world and on nothing else; see
pocket/README.md for how often it is right.
"""

from pathlib import Path

from helpers.images import read_settings
from pocket.evaluate import load_pipeline, recognised


def a_new_word_means_what_its_pictures_show(out: Path) -> None:
    """Notebook 05: `<tiny>` wears his hat where he was never shown, others do not."""
    pipe = load_pipeline()
    assert recognised(pipe, "teddy", "teddy", worn="hat") < 0.1, "the word it began as"
    pipe.load_textual_inversion(str(out / "05_tiny.safetensors"))
    assert recognised(pipe, "teddy", "<tiny>", worn="hat") >= 0.7


def dreambooth_learns_the_one_and_keeps_the_kind(out: Path) -> None:
    """Notebook 06: `sks castle` becomes a moai, and `castle` stays a castle."""
    pipe = load_pipeline()
    assert recognised(pipe, "moai", "sks castle") < 0.1
    castles = recognised(pipe, "castle", "castle")
    saved = out / "06_moai"
    pipe.unet.load_lora_adapter(saved, prefix="unet", use_safetensors=True)
    assert recognised(pipe, "moai", "sks castle") >= 0.85
    assert recognised(pipe, "castle", "castle") >= castles - 0.05


def a_small_autoencoder_keeps_what_matters(out: Path) -> None:
    """Notebook 14: two minutes come within some decibels of the pocket model's VAE."""
    psnr = read_settings(out / "14_reconstructions.png")["psnr"]
    assert psnr["ours"] >= 23, psnr
    assert psnr["pocket"] >= psnr["ours"] + 1, "it should still win"


CLAIMS = {  # by notebook; each takes the folder with what it made
    "05_textual_inversion": a_new_word_means_what_its_pictures_show,
    "06_dreambooth": dreambooth_learns_the_one_and_keeps_the_kind,
    "14_autoencoder": a_small_autoencoder_keeps_what_matters,
}
