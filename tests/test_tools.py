"""The maintainers' commands: forms, badges, the set-up cell, pages."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from course import git_answers_with
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from helpers import REPO, TAG
from helpers.fields import fields, parse_field
from tools import badges, execute
from tools.notebooks import fill, tidy

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def out(tmp_path, monkeypatch):
    """Not the learner's: what a set-up cell or a notebook makes here is made there."""
    monkeypatch.setenv("COURSE_OUT", str(tmp_path / "out"))


def small_notebook():
    cells = [
        new_markdown_cell(
            "# Hippos\n\nA hippo appears. Then it swims.\n\nTwo minutes."
        ),
        new_code_cell("# @title Set up\nan_old_version()"),
        new_code_cell(
            'prompt = "a hippo"  # @param {type:"string"}\n'
            'steps = 25  # @param {type:"slider", min:1, max:100, step:1}\n'
            "print(prompt, steps)",
            metadata={"cellView": "form", "outputId": "1"},
            outputs=[new_output("stream", text="old")],
        ),
    ]
    return new_notebook(cells=cells, metadata={"widgets": {"state": {}}})


@pytest.fixture
def course(tmp_path):
    """A small course whose files are as `make badges` writes them."""
    (tmp_path / "notebooks").mkdir()
    nbformat.write(small_notebook(), tmp_path / "notebooks" / "01_hippos.ipynb")
    badge = badges.badge("notebooks/01_hippos.ipynb")
    readme = f"{badge}\n\ngit clone https://github.com/a/b c\n"
    (tmp_path / "README.md").write_text(readme)
    (tmp_path / "helpers").mkdir()
    (tmp_path / "helpers" / "__init__.py").write_text(
        f'REPO = "{REPO}"\nTAG = "{TAG}"\n'
    )
    for file, text in badges.expected(tmp_path).items():
        file.write_text(text)
    return tmp_path


# Form fields


@pytest.mark.parametrize(
    ("line", "default", "lowest", "highest"),
    [
        ('a = 7.5  # @param {type:"slider", min:0, max:20, step:0.5}', 7.5, 0, 20),
        ('a = 3  #@param {"type": "slider", "min": 1, "max": 9, "step": 1}', 3, 1, 9),
        ('a = True  # @param {type:"boolean"}', True, False, True),
        ('a = "b"  # @param ["b", "c", "d"]', "b", "b", "d"),
        ('a = "1"  # @param [1, 2]', "1", "1", "2"),
        ('a = 512  # @param [256, 512, 768] {type:"raw"}', 512, 256, 768),
        ('a = None  # @param ["None", "8"] {type:"raw"}', None, None, 8),
        ('a = "x"  # @param ["b"] {allow-input: true}', "x", "b", "b"),
        ('a = "it # is"  # @param {type:"string"}', "it # is", "it # is", "it # is"),
        ('a = ""  # @param {type:"string", placeholder:"a, b: c"}', "", "", ""),
        ('a = 1024  # @param {type:"integer"}', 1024, 1024, 1024),
        ('a = -0.5  # @param {type:"number"}', -0.5, -0.5, -0.5),
    ],
)
def test_reads_a_form_field(line, default, lowest, highest):
    field = parse_field(line)
    field.check()
    assert (field.name, field.default) == ("a", default)
    assert (field.lowest, field.highest) == (lowest, highest)


@pytest.mark.parametrize(
    "line",
    [
        'a = f()  # @param {type:"string"}',
        "a = 3  # @param {type:slider}",
        "a = 3  # @param slider",
        '    a = 3  # @param {type:"integer"}',
        "f(3)  # @param",
    ],
)
def test_refuses_what_colab_would_not_show(line):
    with pytest.raises(ValueError, match="not a form field"):
        parse_field(line)


@pytest.mark.parametrize(
    "line",
    [
        'a = 21  # @param {type:"slider", min:0, max:20, step:1}',
        'a = -1  # @param {type:"slider", min:0, max:20, step:1}',
        'a = 3  # @param {type:"slider", min:0}',
        'a = "z"  # @param ["b", "c"]',
        'a = 1  # @param {type:"boolean"}',
        'a = 1.5  # @param {type:"integer"}',
        'a = 3  # @param {type:"string"}',
    ],
)
def test_finds_a_default_that_its_form_cannot_give(line):
    with pytest.raises(ValueError, match="a = "):
        parse_field(line).check()


def test_code_without_a_form_has_no_fields():
    assert fields("steps = 25  # a comment\nprint('@param')") == []


@pytest.mark.parametrize(
    ("line", "kind", "other"),
    [
        ('a = 3  # @param {type:"slider", min:0, max:20, step:1}', "Slider", 5),
        (
            'a = 3  # @param {type:"slider", min:0, max:20, step:0.5}',
            "Slider",
            5.5,
        ),
        ('a = True  # @param {type:"boolean"}', "Checkbox", False),
        ('a = "b"  # @param ["b", "c", "d"]', "Dropdown", "d"),
        ('a = 512  # @param [256, 512, 768] {type:"raw"}', "Dropdown", 768),
        ('a = "x"  # @param ["b"] {allow-input: true}', "Combobox", "typed"),
        ('a = "it # is"  # @param {type:"string"}', "Text", 'say """hi"""\\'),
        ('a = 1024  # @param {type:"integer"}', "BoundedIntText", 4),
        ('a = -0.5  # @param {type:"number"}', "FloatText", 0.25),
    ],
)
def test_jupyter_shows_a_field_and_takes_its_value(shell, line, kind, other):
    """Run, change the form, run again; then edit the code, which counts as well."""
    shell.run_cell("%load_ext helpers.forms", silent=True)
    seen = [shell.run_cell(f"# @title T\n{line}\n[a, 1 / 1]").result[0]]
    (form,) = shell.input_transformers_post[-1].__self__.widgets.values()
    (widget,) = form.values()
    assert type(widget).__name__ == kind and widget.description == "a"
    widget.value = other
    seen.append(shell.run_cell(f"# @title T\n{line}\n[a, 1 / 1]").result[0])
    assert seen == [parse_field(line).default, other]
    assert type(seen[1]) is type(other)
    edited = line.replace(line.split("  #")[0], f"a = {seen[0]!r} if 1 else 0", 1)
    shell.run_cell(edited)
    assert shell.user_ns["a"] == seen[0]


def test_jupyter_keeps_the_forms_of_two_cells_apart(shell):
    shell.run_cell("%load_ext helpers.forms", silent=True)
    one = 'a = 1  # @param {type:"integer"}\nb = 2  # @param {type:"integer"}'
    two = 'a = 5  # @param {type:"integer"}'
    for cell in (one, two):
        assert shell.run_cell(cell).success
    forms = shell.input_transformers_post[-1].__self__
    forms.widgets[tuple(one.splitlines())][one.splitlines()[1]].value = 7
    shell.run_cell(one)
    assert (shell.user_ns["a"], shell.user_ns["b"]) == (1, 7)
    shell.run_cell(two)
    assert shell.user_ns["a"] == 5


def test_colab_keeps_its_own_forms(shell, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    shell.run_cell("%load_ext helpers.forms", silent=True)
    assert not shell.input_transformers_post


@pytest.fixture
def shell():
    """An IPython as a kernel has one, in this process."""
    shell = InteractiveShell()
    with capture_output():
        yield shell


def test_fill_writes_values_and_keeps_everything_else():
    notebook = small_notebook()
    filled = fill(notebook, lambda f: 'it\'s "so"' if f.name == "prompt" else f.highest)
    source = filled.cells[2].source
    assert [f.default for f in fields(source)] == ['it\'s "so"', 100]
    assert source.endswith("print(prompt, steps)")
    assert fields(notebook.cells[2].source)[1].default == 25


def test_tidy_takes_away_what_a_run_leaves():
    notebook = tidy(small_notebook())
    assert "widgets" not in notebook.metadata
    assert notebook.cells[2].outputs == []
    assert notebook.cells[2].metadata == {"cellView": "form"}
    assert tidy(notebook) == notebook


# Badges


def test_this_course_is_as_make_badges_writes_it():
    assert badges.differing(ROOT) == []


def test_a_course_just_written_does_not_differ(course):
    assert badges.differing(course) == []
    notebook = (course / "notebooks" / "01_hippos.ipynb").read_text()
    assert f"github/{REPO}/blob/{TAG}/notebooks/01_hippos.ipynb" in notebook
    assert "an_old_version" not in notebook
    assert (
        f"git clone https://github.com/{REPO} c" in (course / "README.md").read_text()
    )
    page = (course / "colab_badges.md").read_text()
    assert "[Hippos](notebooks/01_hippos.ipynb)" in page
    assert "| A hippo appears. |" in page


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("notebooks/01_hippos.ipynb", f"github/{REPO}/blob", "github/else/where/blob"),
        ("notebooks/01_hippos.ipynb", f"blob/{TAG}", "blob/main"),
        ("notebooks/01_hippos.ipynb", f"https://github.com/{REPO}", "https://b.org"),
        ("notebooks/01_hippos.ipynb", '"outputs": []', '"outputs": [ ]'),
        ("README.md", f"github/{REPO}/blob", "github/else/where/blob"),
        (
            "README.md",
            f"clone https://github.com/{REPO}",
            "clone https://github.com/o/n",
        ),
        ("colab_badges.md", "A hippo", "A horse"),
    ],
)
def test_names_the_file_that_differs(course, file, old, new):
    text = (course / file).read_text()
    assert old in text
    (course / file).write_text(text.replace(old, new))
    assert badges.differing(course) == [course / file]


def test_check_fails_and_writes_nothing(course, monkeypatch, capsys):
    monkeypatch.setattr(badges, "ROOT", course)
    monkeypatch.setattr(
        badges, "setup_cell", lambda address: "# @title Set up\nanother()"
    )
    monkeypatch.setattr(sys, "argv", ["badges.py", "--check"])
    before = (course / "notebooks" / "01_hippos.ipynb").read_text()
    assert badges.main() == 1
    assert "notebooks/01_hippos.ipynb differs" in capsys.readouterr().out
    assert (course / "notebooks" / "01_hippos.ipynb").read_text() == before
    monkeypatch.setattr(sys, "argv", ["badges.py", "--repo", REPO])
    assert badges.main() == 0
    assert badges.differing(course) == []


@pytest.mark.parametrize("copies", [0, 2])
def test_a_notebook_has_one_set_up_cell(copies):
    notebook = small_notebook()
    notebook.cells[1:2] = [notebook.cells[1]] * copies
    with pytest.raises(ValueError, match=f"{copies} cells start with"):
        badges.written(notebook, "notebooks/x.ipynb")


# Where the course lives


@pytest.mark.parametrize(
    ("url", "repo"),
    [
        ("https://github.com/ada/hippos.git", "ada/hippos"),
        ("https://github.com/ada/hippos", "ada/hippos"),
        ("https://ada:secret@github.com/ada/hippos/", "ada/hippos"),
        ("git@github.com:ada/hippos.git", "ada/hippos"),
        ("git@github.com:ada/hippos.github.io.git", "ada/hippos.github.io"),
        ("ssh://git@github.com/ada/hippos", "ada/hippos"),
        ("ssh://git@ssh.github.com:443/ada/hippos.git", "ada/hippos"),
        ("https://gitlab.com/ada/hippos.git", None),
        ("https://github.com.evil.org/ada/hippos", None),
        ("/home/ada/hippos", None),
        ("ada/hippos", None),
        ("", None),
    ],
)
def test_reads_the_origin_of_a_clone(tmp_path, url, repo):
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    if url:
        add = ["git", "-C", str(tmp_path), "remote", "add", "origin", url]
        subprocess.run(add, check=True)
    assert badges.origin(tmp_path) == repo
    inside = tmp_path / "course"  # unpacked from a zip, in some other repository
    inside.mkdir()
    assert badges.origin(inside) is None


def run_badges(course, monkeypatch, *arguments: str) -> int:
    """What `badges.py` does in a course, told by its exit status."""
    monkeypatch.setattr(badges, "ROOT", course)
    monkeypatch.setattr(badges, "setup_cell", of_this_course)
    monkeypatch.setattr(sys, "argv", ["badges.py", *arguments])
    try:
        return badges.main()
    except SystemExit as stop:
        return stop.code


def of_this_course(address=badges.HERE):
    return f"# @title Set up\nfetch({address})"


@pytest.mark.parametrize("told", ["by git", "by hand"])
def test_every_file_follows_the_address(course, monkeypatch, told):
    url = "git@github.com:ada/hippos.git"
    arguments = ["--tag", "spring"]
    if told == "by git":
        for command in (["init", "-q"], ["remote", "add", "origin", url]):
            subprocess.run(["git", "-C", str(course), *command], check=True)
    else:
        arguments += ["--repo", "ada/hippos"]
    assert run_badges(course, monkeypatch, *arguments) == 0
    files = ["README.md", "colab_badges.md", "helpers/__init__.py"]
    for name in [*files, "notebooks/01_hippos.ipynb"]:
        text = (course / name).read_text()
        assert "ada/hippos" in text and badges.PLACEHOLDER not in text
    for name in files[:2]:
        assert (
            "/ada/hippos/blob/spring/notebooks/01_hippos.ipynb"
            in (course / name).read_text()
        )
    assert (course / files[2]).read_text() == 'REPO = "ada/hippos"\nTAG = "spring"\n'
    there = ["--repo", "ada/hippos", "--tag", "spring"]
    assert run_badges(course, monkeypatch, "--check", *there) == 0
    assert run_badges(course, monkeypatch, "--check", *there[:3], "autumn") == 1
    assert run_badges(course, monkeypatch, "--check", "--repo", "eve/hippos") == 1


def test_pages_say_that_their_badges_lead_nowhere_yet(course):
    """And no longer, once the course has an address; and again, if it loses it."""
    nowhere, there = badges.Address(badges.PLACEHOLDER), badges.Address("ada/hippos")
    for address, said in ((nowhere, 1), (nowhere, 1), (there, 0), (nowhere, 1)):
        texts = badges.expected(course, address)
        for name in ("README.md", "colab_badges.md"):
            assert texts[course / name].count(badges.NOTE) == said
        for file, text in texts.items():
            file.write_text(text)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--repo", "hippos"],
        ["--repo", "https://gitlab.com/a/b"],
        ["--repo", "a/b", "--tag", "a/b; rm"],
    ],
)
def test_no_address_changes_nothing(course, monkeypatch, capsys, arguments):
    monkeypatch.setattr(badges, "REPO", badges.PLACEHOLDER)
    before = {file: file.read_text() for file in badges.expected(course)}
    assert run_badges(course, monkeypatch, *arguments) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert {file: file.read_text() for file in before} == before


# The set-up cell


def set_up(folder: Path, after: str = "", **environment: str):
    """Runs the set-up cell twice in a Python of its own, as a learner would."""
    code = f"{badges.setup_cell()}\n{badges.setup_cell()}\n{after}"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "COURSE"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def looks_like_the_course(folder: Path) -> None:
    for name in ("notebooks/a.ipynb", "helpers/__init__.py", "helpers/catalogue.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "pocket" / "model").mkdir(parents=True)
    (folder / "pocket" / "model" / "model_index.json").touch()


@pytest.fixture
def elsewhere(tmp_path):
    """A folder that is in no course."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


AFTER = "print(COURSE, OUT.is_dir(), sys.path.count(str(COURSE))); import helpers"


def test_set_up_is_short():
    assert len(badges.setup_cell().splitlines()) <= 57


@pytest.mark.parametrize("folder", [".", "notebooks"])
def test_set_up_finds_the_course_around_it(folder):
    result = set_up(ROOT / folder, AFTER)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == f"Course: found in the folder {ROOT.name}"
    assert lines[1] == "Installing: nothing, it is all here"
    assert lines[:2] == lines[2:4], "the second time is not like the first"
    assert lines[4:] == [f"{ROOT} True 1"]


def test_set_up_finds_the_course_it_is_told(elsewhere):
    result = set_up(elsewhere, AFTER, COURSE=str(ROOT))
    assert result.stdout.splitlines()[-1] == f"{ROOT} True 1"


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_set_up_fetches_the_course_at_its_tag(tmp_path, elsewhere):
    source = tmp_path / "hub" / REPO
    looks_like_the_course(source)
    (source / "requirements.txt").write_text("packaging\n")
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b.org"]
    for command in ("init -q", "add .", "commit -q -m first", f"tag {TAG}"):
        subprocess.run([*git, *command.split()], check=True)
    result = set_up(elsewhere, AFTER, **git_answers_with(tmp_path / "hub"))
    name = REPO.split("/")[1]
    lines = result.stdout.splitlines()
    assert lines[0] == f"Course: fetched into the folder {name}"
    assert lines[2] == f"Course: found in the folder {name}"
    assert lines[-1] == f"{elsewhere / name} True 1"


def test_set_up_says_so_where_it_cannot_fetch(tmp_path, elsewhere):
    result = set_up(elsewhere, **git_answers_with(tmp_path / "nothing"))
    sentence = f"Could not fetch https://github.com/{REPO} at {TAG}: "
    assert result.stderr.startswith(sentence)
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.returncode == 1


def test_set_up_passes_by_a_folder_that_only_looks_like_the_course(tmp_path):
    """Somebody's project with folders of the same names is no place to install from."""
    for name in ("helpers", "notebooks"):
        (tmp_path / name).mkdir()
    (tmp_path / "requirements.txt").write_text("no-such-hippo\n")
    result = set_up(tmp_path / "notebooks", **git_answers_with(tmp_path / "nothing"))
    assert result.returncode == 1 and "hippo" not in result.stdout


@pytest.mark.parametrize("obstacle", ["a file", "a read-only disk"])
def test_set_up_makes_things_elsewhere_where_it_cannot_write(
    elsewhere, tmp_path, obstacle
):
    """A folder that nobody can write into, root included, is one of /proc."""
    blocked = Path("/proc/self") if obstacle == "a read-only disk" else tmp_path / "f"
    if obstacle == "a file":
        blocked.touch()
    elif not blocked.is_dir():
        pytest.skip("needs /proc")
    after = "(OUT / 'a.txt').write_text('a'); print(OUT)"
    spare = {"COURSE": str(ROOT), "TMPDIR": str(elsewhere)}
    result = set_up(elsewhere, after, COURSE_OUT=str(blocked), **spare)
    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.splitlines()[-1]).parent == elsewhere
    assert len(list(elsewhere.iterdir())) == 1, "the second time is not like the first"


def set_up_with(requirements: str, folder: Path, monkeypatch) -> list[list[str]]:
    """Runs the set-up cell on other requirements; returns what pip was asked."""
    looks_like_the_course(folder)
    (folder / "requirements.txt").write_text(requirements)
    asked = []

    def pretend(command, **_):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", pretend)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("COURSE", str(folder))
    exec(compile(badges.setup_cell(), "set-up", "exec"), {})
    return asked


def test_set_up_asks_pip_only_for_what_is_missing(tmp_path, monkeypatch, capsys):
    requirements = "# a comment\npackaging>=20\npillow>=999\nno-such-hippo>=1,<2\n"
    asked = set_up_with(requirements, tmp_path, monkeypatch)
    assert len(asked) == 1
    assert [a for a in asked[0] if "hippo" in a or "p" == a[0] and ">" in a] == [
        "pillow>=999",
        "no-such-hippo<2,>=1",
    ]
    assert "Installing: pillow>=999, no-such-hippo<2,>=1" in capsys.readouterr().out
    keep = (tmp_path / "out" / "keep.txt").read_text()
    assert f"torch=={metadata.version('torch')}" in keep.splitlines()


def test_set_up_raises_an_old_torchao_and_brings_no_new_one(tmp_path, monkeypatch):
    """Colab has 0.10, beside which peft raises; most machines have none."""
    assert set_up_with("packaging\n", tmp_path / "a", monkeypatch) == []
    old = tmp_path / "lib" / "torchao-0.10.0.dist-info"
    old.mkdir(parents=True)
    (old / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchao\nVersion: 0.10.0"
    )
    monkeypatch.syspath_prepend(old.parent)
    ((*_, last),) = set_up_with("packaging\n", tmp_path / "b", monkeypatch)
    assert last == "torchao>=0.16"


def test_set_up_never_replaces_torch(tmp_path, monkeypatch, capsys):
    asked = set_up_with("torch>=999\nnumpy>=999\n", tmp_path, monkeypatch)
    assert asked == []
    lines = capsys.readouterr().out.splitlines()
    advice = "is needed: install it yourself, then restart the kernel."
    assert lines[-2:] == [f"torch>=999 {advice}", f"numpy>=999 {advice}"]


# Running and rendering


def test_executes_and_renders_a_page_with_everything_inside(tmp_path):
    code = "from PIL import Image\nImage.new('RGB', (8, 8))"
    widget = (
        "import io, ipywidgets\nfile = io.BytesIO()\n"
        "Image.new('RGB', (8, 8)).save(file, 'png')\n"
        "ipywidgets.VBox([ipywidgets.Image(value=file.getvalue())])"
    )
    film = (
        "from IPython.display import Image as Shown\nfile = io.BytesIO()\n"
        "frames = [Image.new('RGB', (8, 8), colour) for colour in ('red', 'blue')]\n"
        "frames[0].save(file, 'gif', save_all=True, append_images=frames[1:])\n"
        "Shown(file.getvalue(), format='gif')"
    )
    notebook = new_notebook(
        cells=[
            new_markdown_cell("![A hippo](hippo.png) ![Open](https://a.org/b.svg)"),
            small_notebook().cells[2],
            new_code_cell(code),
            new_code_cell(widget),
            new_code_cell(film),
        ]
    )
    (tmp_path / "hippo.png").write_bytes(b"\x89PNG")
    seen = []
    run = execute.execute(notebook, tmp_path, lambda number, _: seen.append(number))
    assert run.error is None
    assert run.seconds > 0 and 1e7 < run.peak_bytes < 1e12
    assert seen[-1] == 5
    page = execute.render(run.notebook, tmp_path, "hippos")
    assert page.count('src="data:image/png;base64,') == 3
    assert page.count('src="data:image/gif;base64,R0lGOD') == 1
    assert "IPython.core.display.Image object" not in page
    assert "https://a.org" not in page
    assert "a hippo 25" in page
    assert "@param" not in page and "print" not in page.partition("<body")[2][:4000]


def test_says_which_cell_failed(tmp_path):
    run = execute.execute(new_notebook(cells=[new_code_cell("1 / 0")]), tmp_path)
    assert "ZeroDivisionError" in run.error
    assert run.peak_bytes == 0


# Other values for form fields, from the command line

FORM = """\
prompt = "a hippo"  # @param {type:"string"}
steps = 25  # @param {type:"slider", min:1, max:100, step:1}
guidance_scale = 7.5  # @param {type:"slider", min:0, max:20, step:0.5}
seed = 1  # @param {type:"integer"}
flip = False  # @param {type:"boolean"}
size = 512  # @param [256, 512] {type:"raw"}
scheduler = "DDIM"  # @param ["DDIM", "1"]
model_name = "auto"  # @param ["auto", "pocket"] {allow-input: true}
"""


def with_values(*settings: str) -> dict[str, object]:
    """What a notebook's form holds with these settings."""
    notebook = new_notebook(cells=[new_code_cell(FORM)])
    (filled,) = execute.with_values({Path("a.ipynb"): notebook}, settings).values()
    return {field.name: field.default for field in fields(filled.cells[0].source)}


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("prompt=1984", "1984"),
        ("prompt=", ""),
        ("prompt=None", "None"),
        ("prompt='a' = \"b\"", "'a' = \"b\""),
        ("steps=100", 100),
        ("guidance_scale=9", 9.0),
        ("seed=-3", -3),
        ("flip=true", True),
        ("size=256", 256),
        ("scheduler=1", "1"),
        ("model_name=a/b", "a/b"),
    ],
)
def test_a_field_knows_the_type_of_its_value(setting, value):
    name = setting.partition("=")[0]
    given = with_values(setting)[name]
    assert (given, type(given)) == (value, type(value))


@pytest.mark.parametrize(
    "setting",
    [
        "stpes=10",
        "steps",
        "=3",
        "steps=101",
        "steps=0",
        "steps=2.5",
        "steps=",
        "steps=many",
        "guidance_scale=nan",
        "guidance_scale=1e999",
        "seed=inf",
        "seed=1.5",
        "flip=maybe",
        "size=300",
        "size=f()",
        "scheduler=Euler",
    ],
)
def test_a_value_that_no_form_gives_runs_nothing(tmp_path, monkeypatch, setting):
    nbformat.write(new_notebook(cells=[new_code_cell(FORM)]), tmp_path / "a.ipynb")
    arguments = ["execute.py", str(tmp_path / "a.ipynb"), "--set", setting]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        execute.main()
    assert stop.value.code == 2 and not (tmp_path / "out").exists()


def test_a_misspelt_field_is_told_with_the_nearest():
    with pytest.raises(ValueError, match="nearest is steps"):
        with_values("stpes=10")


def test_set_may_stand_twice(tmp_path, monkeypatch, capsys):
    """The first is not forgotten: here it is the one that is wrong."""
    nbformat.write(new_notebook(cells=[new_code_cell(FORM)]), tmp_path / "a.ipynb")
    arguments = ["execute.py", str(tmp_path / "a.ipynb"), "--set", "stpes=1"]
    arguments += ["--set", "seed=3", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stop:
        execute.main()
    assert stop.value.code == 2 and "stpes" in capsys.readouterr().err
