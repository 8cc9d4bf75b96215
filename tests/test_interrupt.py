"""Stopping a cell: the kernel stays usable, and what was learned is still there."""

import time
from pathlib import Path

import pytest
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"


@pytest.fixture(scope="module")
def run():
    """Runs code in one kernel; gives what it printed, and the name of its error."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(ROOT))

    def run(code: str, stop_at: str = "") -> tuple[str, str]:
        printed = []

        def watch(message):
            text = message["content"].get("text", "")
            printed.append(text)
            if stop_at and stop_at in text:
                manager.interrupt_kernel()

        reply = client.execute_interactive(code, output_hook=watch, timeout=300)
        return "".join(printed), reply["content"].get("ename", "")

    yield run
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_a_picture_that_is_stopped(run):
    run("from helpers.models import load\npipe = load('pocket')")
    code = (
        "def tell(pipe, step, t, state):\n"
        "    print('step', step, flush=True)\n"
        "    return state\n"
        "pipe('a hippo', num_inference_steps=500, callback_on_step_end=tell)"
    )
    assert run(code, stop_at="step 2")[1] == "KeyboardInterrupt"
    text, error = run("print(pipe('a hippo', num_inference_steps=2).images[0].size)")
    assert (text.splitlines()[-1], error) == ("(128, 128)", "")


TRAIN = """\
import torch
from helpers import training as engine
from helpers.training import Training
engine.SECONDS_BETWEEN_SAVES = 0
weight = torch.nn.Parameter(torch.zeros(3))
training = Training({{"w": weight}}, {path!r}, steps={steps}, learning_rate=0.1)
for step, generator in training:
    x = torch.randn(8, 3, generator=generator)
    training.learn((x @ weight - x.sum(1)).square().mean())
    if step in (20, 40):
        print("reached", step, flush=True)
    {pause}
print("done", training.step, weight.tolist())
"""


def test_a_training_that_is_stopped_goes_on(run, tmp_path):
    """And ends where one that nobody stopped ends."""
    stopped, whole = str(tmp_path / "a.pt"), str(tmp_path / "b.pt")
    pause = "import time; time.sleep(0.02)"
    code = TRAIN.format(path=stopped, steps=60, pause=pause)
    start = time.time()
    assert run(code, stop_at="reached 20")[1] == "KeyboardInterrupt"
    assert time.time() - start < 60
    text, error = run(TRAIN.format(path=stopped, steps=60, pause=""))
    assert error == ""
    assert "steps are done already" in text and "reached 20" not in text
    unbroken, _ = run(TRAIN.format(path=whole, steps=60, pause=""))
    assert text.splitlines()[-1] == unbroken.splitlines()[-1]
    assert text.splitlines()[-1].startswith("done 60")


def test_a_restarted_kernel_is_told_what_to_run(tmp_path):
    """In the folder of the notebooks, before the set-up cell has run, and after it."""
    manager, client = start_new_kernel(kernel_name="python3", cwd=str(NOTEBOOKS))
    errors = []

    def watch(message):
        errors.extend(message["content"].get("traceback", []))

    def ask(code: str) -> str:
        reply = client.execute_interactive(code, output_hook=watch, timeout=300)
        return reply["content"].get("ename", "")

    try:
        assert ask("from helpers.images import grid") == "NotSetUp"
        assert len(errors) == 1, "a traceback"
        set_up = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
        assert ask(f"{set_up}\nfrom helpers.images import grid") == ""
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
