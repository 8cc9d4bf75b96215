"""The pocket model: its world, its recipe and the folder that ships."""

import copy
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoPipelineForImage2Image,
    AutoPipelineForInpainting,
    AutoPipelineForText2Image,
)
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer

from pocket import blind, classifier, evaluate, lean, machine, train, world
from pocket.architecture import (
    MODEL_DIR,
    centre_latents,
    make_text_encoder,
    make_tokenizer,
    make_unet,
    make_vae,
)

NAMES = {
    "subject": classifier.SUBJECTS,
    "background": classifier.BACKGROUNDS,
    "style": classifier.STYLES,
    "worn": classifier.WORN,
}


def test_world_is_as_rich_as_promised():
    assert len(world.SUBJECTS) == 80
    assert len(world.COLOURS) == 10
    assert len(world.SCENES) >= 8
    assert len(world.STYLES) >= 8
    assert not set(world.SUBJECTS) & set(world.HELD_OUT_SUBJECTS)


def test_every_emoji_lies_there_and_no_other():
    named = {world.glyph_file(character) for character in world.characters()}
    assert named == set(world.GLYPHS.glob("*.png"))
    assert all(world.glyph(c).getbbox() for c in world.characters())


@pytest.mark.parametrize(
    "prompt",
    [
        "a photograph of an astronaut riding a horse",
        "labrador in the style of vermeer",
        "wolf howling at the moon, photorealistic",
        "oil painting of wolf howling at the moon by van gogh",
        "a teddy sitting on a pink rug",
        "painting of sks person in the style of paul signac",
        "frogs on stilts on a stage at the theatre",
        "a wooden carving of a rabbit eating a leaf, highly detailed, artisan",
        "a pygmy hippo watching instagram on a phone in new york city",
        "blurry, grainy, low resolution, overexposed, watermark, text, logo",
    ],
)
def test_lesson_words_are_one_token_each(prompt):
    tokenizer = make_tokenizer(world.words())
    words = prompt.replace(",", " ").split()
    assert [w for w in words if len(tokenizer.tokenize(w)) != 1] == []


def test_captions_use_known_words_only_but_for_the_invented_ones():
    known = set(world.words())
    rng = random.Random(0)
    for _ in range(300):
        said = world.caption(world.sample(rng), rng, plain=True)
        assert set(said.replace(",", " ").split()) <= known, said


def test_training_never_shows_what_is_held_out():
    rng = random.Random(1)
    assert not any(world.is_held_out(world.sample(rng)) for _ in range(500))
    assert all(world.is_held_out(world.sample(rng, True)) for _ in range(100))


def test_plain_caption_names_everything():
    spec = world.Spec(("wolf", "horse"), "moon", "watercolour", "riding")
    said = world.caption(spec, random.Random(0), plain=True)
    assert "watercolour" in said and "wolf riding a horse" in said and "moon" in said


def test_same_seed_draws_the_same_pictures():
    first, specs = world.pictures(5, 6)
    again, _ = world.pictures(5, 6)
    other, _ = world.pictures(6, 6)
    assert first.shape == (6, 128, 128, 3) and len(specs) == 6
    assert (first == again).all() and (first != other).any()


def test_every_style_and_thing_worn_changes_the_picture():
    def drawn(**what):
        spec = world.Spec(("cat",), "red", **what)
        return np.asarray(world.render(spec, random.Random(3))).astype(int)

    plain = drawn()
    for style in list(world.STYLES)[1:]:
        assert np.abs(drawn(style=style) - plain).mean() > 1, style
    for worn in world.WORN:
        assert np.abs(drawn(worn=worn) - plain).mean() > 0.5, worn


def test_background_colours_are_the_colours_named():
    for name, colour in world.COLOURS.items():
        picture = world.render(world.Spec(("cat",), name), random.Random(0))
        corner = np.asarray(picture)[2, 2].astype(int)
        assert np.abs(corner - colour).max() <= 24, name


def test_centring_changes_the_latents_and_nothing_else():
    torch.manual_seed(0)
    vae, x = make_vae(), torch.rand(1, 3, 64, 64) * 2 - 1
    mean, std = torch.randn(4), torch.rand(4) + 0.5
    with torch.no_grad():
        before = vae.encode(x).latent_dist
        picture = vae.decode(before.mean).sample
        centre_latents(vae, mean, std)
        after = vae.encode(x).latent_dist
        wanted = (before.mean - mean[:, None, None]) / std[:, None, None]
        assert torch.allclose(after.mean, wanted, atol=1e-5)
        assert torch.allclose(after.std, before.std / std[:, None, None], atol=1e-5)
        assert torch.allclose(vae.decode(after.mean).sample, picture, atol=1e-4)


def test_an_interrupted_stage_resumes_where_it_was(tmp_path, monkeypatch):
    """Stopped after 10 of 20 steps and run again: bit by bit the unbroken run."""
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path / "a")
    recipe = train.Recipe()

    def run(stop_at=None):
        torch.manual_seed(0)
        layers = torch.nn.Conv2d(4, 32, 3), torch.nn.Conv2d(32, 1, 1)
        net, done = torch.nn.Sequential(*layers), []

        def loss_of(rng):
            if stop_at is not None and len(done) == stop_at:
                raise KeyboardInterrupt
            done.append(rng.random())
            return net(torch.randn(8, 4, 3, 3)).square().mean() + done[-1]

        average = train.run("toy", net, lambda rng, step: loss_of(rng), 20, 0.1, recipe)
        return average, net, done

    _, whole, steps = run()
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path / "b")
    monkeypatch.setattr("helpers.training.SECONDS_BETWEEN_SAVES", -1)
    with pytest.raises(KeyboardInterrupt):
        run(stop_at=10)
    _, resumed, rest = run()
    assert rest == steps[10:]
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name]), name


def test_another_training_has_a_checkpoint_of_its_own(tmp_path, monkeypatch):
    """Other pictures are another training; more steps, or another stage's, are not."""
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    net, done = torch.nn.Linear(32, 32), []

    def loss_of(rng):
        done.append(rng.random())
        return net(torch.randn(8, 32)).square().mean()

    def steps_of(steps, **recipe):
        done.clear()
        train.run(
            "toy",
            net,
            lambda rng, step: loss_of(rng),
            steps,
            0.1,
            train.Recipe(**recipe),
        )
        return len(done)

    assert steps_of(2, seed=1) == 2
    assert steps_of(3, seed=1, unet_steps=9) == 1
    assert steps_of(3, seed=2) == 3
    assert steps_of(4, seed=1) == 1


def test_a_stage_of_no_steps_keeps_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    net = torch.nn.Linear(32, 32)
    before = copy.deepcopy(net.state_dict())
    after = train.run("toy", net, None, 0, 0.1, train.Recipe()).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_every_weight_of_the_unet_learns(tmp_path, monkeypatch):
    """A backward pass may lose gradients in silence: a compiled one did."""
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    rng = random.Random(0)
    specs = [world.sample(rng) for _ in range(8)]
    latents = torch.randn(8, 4, 16, 16)
    recipe = train.Recipe(unet_steps=3, unet_batch=8)
    text_encoder = make_text_encoder(make_tokenizer(world.words()))
    device = machine.find_training_device()
    monkeypatch.setattr(train, "draw_latents", lambda *_: (latents, specs))
    monkeypatch.setattr(train, "make_watch", lambda *_: None)
    train.train_unet(recipe, device, make_vae(), text_encoder)
    state = torch.load(next(tmp_path.glob("unet-*.pt")), weights_only=True)["optimizer"]
    unet = make_unet().to(memory_format=torch.channels_last)
    optimizer = train.Optimizer(unet, 1.0, list(unet.parameters()))
    moved = dict(zip(optimizer.weights, state["momenta"], strict=True))
    for i, p in enumerate(optimizer.adam.param_groups[0]["params"]):
        moved[p] = state["adam"]["state"][i]["exp_avg_sq"].sqrt()
    still = {n for n, p in unet.named_parameters() if moved[p].abs().max() < 1e-10}
    assert still <= {"add_embedding.pool.k_proj.bias"}  # the softmax cancels this one


def test_training_can_go_on_from_a_finished_model():
    vae = train.begin(make_vae(), train.Recipe(begin_from=str(MODEL_DIR)), "vae")
    shipped = AutoencoderKL.from_pretrained(MODEL_DIR, subfolder="vae").state_dict()
    assert all(torch.equal(v, shipped[k]) for k, v in vae.state_dict().items())


def test_a_plural_means_what_its_singular_means():
    """No caption has a plural; the lessons' prompts do."""
    tokenizer = CLIPTokenizer.from_pretrained(MODEL_DIR, subfolder="tokenizer")
    encoder = CLIPTextModel.from_pretrained(MODEL_DIR, subfolder="text_encoder")
    assert world.PLURALS
    for pair in world.PLURALS.items():
        ids = tokenizer([f"{w} on a stage" for w in pair], return_tensors="pt")
        one, many = encoder(ids.input_ids).last_hidden_state
        assert ids.input_ids[0].tolist() != ids.input_ids[1].tolist()
        assert torch.equal(one, many)


def test_the_rare_word_is_heard_and_no_other_row_is_touched():
    """As never trained, `sks` moved a prompt by 1.7, and DreamBooth learned nothing."""
    tokenizer = CLIPTokenizer.from_pretrained(MODEL_DIR, subfolder="tokenizer")
    encoder = CLIPTextModel.from_pretrained(MODEL_DIR, subfolder="text_encoder")
    prompts = [f"a {s} of a {w}duck" for s in ("photo", "comic") for w in ("", "sks ")]

    def moved() -> torch.Tensor:
        each = [tokenizer(p, return_tensors="pt").input_ids for p in prompts]
        said = torch.cat([encoder(ids).pooler_output for ids in each])
        return (said[1::2] - said[::2]).norm(dim=1)

    assert (moved() > 8).all()
    table = encoder.get_input_embeddings().weight
    (sks,) = tokenizer(world.RARE, add_special_tokens=False).input_ids
    with torch.no_grad():
        table[sks] = 0.02 * torch.randn(128, generator=torch.Generator().manual_seed(0))
    before = table.detach().clone()
    assert (moved() < 4).all()
    train.make_heard(encoder, tokenizer, world.RARE, steps=40)
    assert (moved() > 8).all()
    assert torch.equal(table[:sks], before[:sks])
    assert torch.equal(table[sks + 1 :], before[sks + 1 :])


def test_the_text_encoder_hears_every_thing_worn():
    """With a phone and without were once nearly the same prompt: no phone was drawn."""
    tokenizer = CLIPTokenizer.from_pretrained(MODEL_DIR, subfolder="tokenizer")
    encoder = CLIPTextModel.from_pretrained(MODEL_DIR, subfolder="text_encoder")
    things = ["", *(f" {ways[0]}" for _, ways, *_ in world.WORN.values())]
    prompts = [f"a fox{thing} on a green background" for thing in things]
    ids = tokenizer(prompts, padding="max_length", return_tensors="pt").input_ids
    pooled = encoder(ids).pooler_output
    apart = torch.cdist(pooled, pooled) + 99 * torch.eye(len(prompts))
    assert apart.min() > 0.3 * pooled.norm(dim=1).mean()  # 0.05 of it, then


def test_the_prompt_as_a_whole_begins_silent():
    unet = make_unet()
    text = torch.randn(2, 77, 128)
    assert unet.add_embedding(text).abs().max() == 0
    assert unet.add_embedding.norm2.weight.requires_grad


def test_the_classifier_says_how_to_get_its_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match="python -m pocket.classifier"):
        classifier.load_classifier(tmp_path / "none.safetensors")


def test_the_classifier_knows_renders_it_has_not_seen():
    pictures, specs = world.pictures(5000, 400, held_out=True)
    said = classifier.judge(classifier.load_classifier(), pictures)
    right = evaluate.score(said, specs)
    least = {"subject": 0.97, "background colour": 0.99, "scene": 0.99, "style": 0.99}
    for part, share in least.items():
        assert np.nanmean(right[part]) >= share, part


def test_the_folder_fits_the_repo():
    files = [f for f in MODEL_DIR.rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 24_000_000
    assert {f.suffix for f in files} == {".json", ".safetensors"}


def test_shipped_parts_are_those_of_the_recipe():
    pipe = AutoPipelineForText2Image.from_pretrained(MODEL_DIR)
    shapes = {k: v.shape for k, v in pipe.unet.state_dict().items()}
    assert shapes == {k: v.shape for k, v in make_unet().state_dict().items()}
    assert pipe.tokenizer.get_vocab() == make_tokenizer(world.words()).get_vocab()


def test_plain_diffusers_loads_and_runs_all_three_tasks():
    picture = Image.new("RGB", (128, 128), "red")
    few = {"num_inference_steps": 4, "output_type": "np"}
    pipe = AutoPipelineForText2Image.from_pretrained(MODEL_DIR)
    assert {m.dtype for m in (pipe.unet, pipe.vae, pipe.text_encoder)} == {
        torch.float32
    }
    assert pipe("a cat", **few).images.shape == (1, 128, 128, 3)
    pipe = AutoPipelineForImage2Image.from_pretrained(MODEL_DIR)
    assert pipe("a cat", image=picture, **few).images.shape == (1, 128, 128, 3)
    pipe = AutoPipelineForInpainting.from_pretrained(MODEL_DIR)
    made = pipe("a cat", image=picture, mask_image=picture.convert("L"), **few).images
    assert made.shape == (1, 128, 128, 3)


def test_loading_says_nothing_of_ours():
    """A plain session prints only what the libraries print at any import."""
    load = "from diffusers import AutoPipelineForText2Image as A;"
    load += f"A.from_pretrained({str(MODEL_DIR)!r})('a cat', num_inference_steps=2)"
    run = subprocess.run(
        [sys.executable, "-W", "default", "-c", load], capture_output=True
    )
    lines = run.stderr.decode().replace("\r", "\n").splitlines()
    known = ("ImageProcessor` requires torchvision", "it/s]", "?it/s", "Loading")
    ours = [x for x in lines if x.strip() and not any(k in x for k in known)]
    assert run.returncode == 0 and not [x for x in ours if "pocket" in x.lower()], ours


def test_score_counts_each_part_of_the_prompt():
    specs = [
        world.Spec(("cat",), "red", "photograph", worn="hat"),
        world.Spec(("cat", "dog"), "city", "comic", "beside"),
    ]
    said = {part: torch.zeros(2, len(names)) for part, names in NAMES.items()}

    def says(row, part, *names):
        for name in names:
            said[part][row, NAMES[part].index(name)] = 1

    says(0, "subject", "cat"), says(0, "background", "red")
    says(0, "style", "comic"), says(0, "worn", "hat")
    says(1, "subject", "cat", "fox"), says(1, "background", "city")
    says(1, "style", "comic")
    right = evaluate.score(said, specs)
    assert right["subject"].tolist() == [1, 0.5]
    assert right["both of two"][1] == 0 and np.isnan(right["both of two"][0])
    assert right["background colour"][0] == 1 and right["scene"][1] == 1
    assert right["style"].tolist() == [0, 1] and right["worn or held"][0] == 1


def test_share_is_wilsons_interval():
    """Newcombe 1998 (Statistics in Medicine 17, 857), table I: 81 of 263."""
    right = np.array([1.0] * 81 + [0.0] * 182 + [np.nan] * 5)
    assert evaluate.share(right) == "30.8 (25.5 to 36.6)"
    assert evaluate.share(np.array([np.nan])) == "-"


def test_blind_answers_are_scored_part_by_part():
    def truth(number, *subjects, worn=""):
        spec = world.Spec(subjects, "red", "comic", worn=worn)
        return {"number": number, "drawn": True, **vars(spec)}

    key = [truth(1, "cat", "teddy"), truth(2, "hippo", worn="hat"), truth(3, "fox")]
    answers = [
        {"number": "1", "subjects": "Teddy Bear + dog", "background": "red ",
         "style": "comic", "worn": "", "clarity": "2"},
        {"number": "2", "subjects": "pygmy hippo", "background": "blue",
         "style": "comic", "worn": "hat", "clarity": "3"},
    ]  # fmt: skip
    right = blind.compare(answers, key)
    assert right["subject"].tolist() == [0.5, 1, 0]  # nobody answered for the third
    assert right["both of two"][0] == 0 and np.isnan(right["both of two"][1:]).all()
    assert right["background"].tolist() == [1, 0, 0]
    assert right["style"].tolist() == [1, 1, 0]
    assert np.isnan(right["worn or held"][[0, 2]]).all()
    assert right["worn or held"][1] == 1
    assert right["clarity"].tolist() == [2, 3, 0]


def test_the_last_words_of_what_leans_are_in_no_other_caption():
    """Their embeddings may change, and no other caption does."""
    rng, meant = random.Random(0), list(world.LEANS)
    for _ in range(3_000):
        caption = world.caption(world.sample(rng), rng).replace("not blurry", "")
        for phrase in meant:
            caption = caption.replace(phrase, "")
        assert not set(lean.WORDS) & set(caption.replace(",", " ").split()), caption


def test_only_the_rows_that_learn_change_a_table():
    table = torch.randn(9, 4)
    learning = lean.Rows(table, [2, 7])
    assert torch.equal(learning(table), table)
    with torch.no_grad():
        learning.rows += 1
    learning(table).sum().backward()
    changed = (learning(table) != table).all(1)
    assert changed.nonzero().flatten().tolist() == [2, 7]
    assert learning.rows.grad.abs().min() == 1


def test_embeddings_learn_from_captions_that_say_it_and_that_say_another(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "CHECKPOINTS", tmp_path)
    rng, captions = random.Random(0), []
    specs = [world.sample(rng, pairs=0.0) for _ in range(300)]
    latents = torch.randn(300, 4, 16, 16)
    monkeypatch.setattr(lean, "draw_latents", lambda *_: (latents, specs))
    ids_of = lean.ids_of
    monkeypatch.setattr(lean, "ids_of", lambda t, c: captions.extend(c) or ids_of(t, c))
    pipe, recipe = evaluate.load_pipeline(), train.Recipe(unet_batch=8)
    words = ["vermeer", "futuristic"]
    learned = lean.learn(pipe, words, recipe, steps=2, rate=1e-2)
    table = pipe.text_encoder.get_input_embeddings().weight
    assert learned.shape == (2, 128)
    assert (learned != table[lean.rows_of(pipe, words)]).any(1).all()
    assert len(captions) == 16 and all("vermeer" in c or "futur" in c for c in captions)
    for unsaid, said in zip(captions[::2], captions[1::2], strict=True):
        assert "blue" not in unsaid and "space" not in unsaid
        assert said.endswith(tuple(world.LEANS))


@pytest.mark.parametrize("enough", [0.05, 0.3, 0.58, 0.77])
def test_a_word_goes_as_far_as_its_pictures_need(monkeypatch, enough):
    pipe = AutoPipelineForText2Image.from_pretrained(MODEL_DIR)
    table = pipe.text_encoder.get_input_embeddings().weight
    (token,) = pipe.tokenizer("cute", add_special_tokens=False).input_ids
    before, learned = table.detach().clone(), torch.ones(table.shape[1])

    def drawn(pipe, classifier, words, count, guidance_scale):
        gone = (table[token] - before[token]).norm() / (1 - before[token]).norm()
        return np.array([lean.SHOWN * gone.item() / enough])

    monkeypatch.setattr(lean, "draws_what_it_leans_to", drawn)
    share = lean.find_share(pipe, None, "cute", learned, count=1)
    assert abs(share - min(enough, lean.FURTHEST)) < 0.01
    assert torch.allclose(table[token], before[token].lerp(learned, share))
    others = torch.arange(len(table)) != token
    assert torch.equal(table[others], before[others])


@pytest.mark.seconds(60)
def test_what_leans_is_faint_alone_plain_when_guided_and_gone_when_unwanted():
    pipe, judge = evaluate.load_pipeline(), classifier.load_classifier()

    def share(*how):
        words = "in the style of vermeer"
        return evaluate.draws_what_it_leans_to(pipe, judge, words, 32, *how, seed=8)

    assert 0.15 <= share(1.0).mean() <= 0.6
    assert share(7.5).mean() >= 0.85
    assert share(7.5, "blue").mean() <= 0.25
