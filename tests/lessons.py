"""What notebooks that train claim about what they taught, judged over many pictures.

The judge of 05 and 06 was trained on renders of the pocket model's world and on nothing
else; see pocket/README.md for how often it is right.
"""

import json
from pathlib import Path

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


def clip_finds_captions_and_twins_teach_it_order(out: Path) -> None:
    """Notebook 15: one of a hundred; and what a batch of look-alikes is good for."""
    figures = json.loads((out / "15_clip.json").read_text())
    assert figures["found"] >= 0.9
    assert figures["twins"]["order"] > figures["mixed"]["order"]


CLAIMS = {  # by notebook; each takes the folder with what it made
    "05_textual_inversion": a_new_word_means_what_its_pictures_show,
    "06_dreambooth": dreambooth_learns_the_one_and_keeps_the_kind,
    "15_clip": clip_finds_captions_and_twins_teach_it_order,
}
