"""Forms in JupyterLab: what the code says counts until somebody changes the form."""

import threading
import time
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from ipywidgets import HTML

from helpers.fields import fields, fill_line, parse_field
from helpers.forms import Browser, Forms
from helpers.widgets import to_widget


@pytest.fixture
def shell():
    """An IPython as a kernel has one, in this process, with the course's forms."""
    shell = InteractiveShell()
    with capture_output():
        shell.run_cell("%load_ext helpers.forms", silent=True)
        yield shell


def forms(shell):
    return shell.input_transformers_post[-1].__self__


def notes(shell, cell: str) -> list[str]:
    """What is said below the form of a cell."""
    box = forms(shell).boxes[tuple(cell.splitlines())]
    return [child.value for child in box.children if isinstance(child, HTML)]


def twice(shell, line: str) -> list:
    return [shell.run_cell(f"{line}\n[a]").result[0] for _ in range(2)]


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        ('a = 200  # @param {type:"slider", min:1, max:100}', (1, 200)),
        ('a = -5  # @param {type:"slider", min:1, max:100, step:1}', (-5, 100)),
        ('a = 25.5  # @param {type:"slider", min:0, max:20, step:0.5}', (0, 25.5)),
        ('a = 300  # @param {type:"slider"}', (0, 300)),
        ('a = 2  # @param {type:"slider", min:0.5, max:1, step:0.5}', (0.5, 2)),
    ],
)
def test_a_slider_grows_to_hold_the_value_of_the_code(shell, line, ends):
    value = parse_field(line).default
    assert twice(shell, line) == [value, value]
    widget = to_widget(parse_field(line))
    assert (widget.value, widget.slider.min, widget.slider.max) == (value, *ends)


@pytest.mark.parametrize(
    "line",
    [
        'a = 7.3  # @param {type:"slider", min:0, max:20, step:0.5}',
        'a = 1.5  # @param {type:"slider", min:0, max:20, step:1}',
        'a = 4  # @param {type:"slider", min:1, max:20, step:2}',
        'a = 3  # @param {type:"slider", min:0, max:20, step:0}',
        'a = 3  # @param {type:"slider", min:"low", max:20}',
        'a = 3  # @param {type:"slider", min:0, max:1e999}',
        'a = 1e999  # @param {type:"slider", min:0, max:20}',
        'a = "many"  # @param {type:"slider", min:0, max:20}',
        'a = "z"  # @param ["b", "c"]',
        'a = True  # @param [1, 2] {type:"raw"}',
        'a = True  # @param ["True", "1"] {type:"raw"}',
        'a = 1.5  # @param {type:"integer"}',
        'a = True  # @param {type:"integer"}',
        'a = 100000000000000000001  # @param {type:"integer"}',
        'a = 9007199254740993  # @param {type:"number"}',
        'a = "3"  # @param {type:"number"}',
        'a = 1  # @param {type:"boolean"}',
        'a = "no"  # @param {type:"boolean"}',
        'a = 3  # @param {type:"string"}',
        'a = None  # @param {type:"string"}',
        'a = "two\\nlines"  # @param {type:"string"}',
        "a = [1, 2]  # @param",
    ],
)
def test_what_no_widget_can_hold_stays_as_the_code_says(shell, line):
    value = parse_field(line).default
    assert to_widget(parse_field(line)) is None
    for seen in twice(shell, line):
        assert seen == value and type(seen) is type(value)


def test_a_field_without_a_widget_is_told_and_its_neighbours_work(shell):
    cell = 'a = "z"  # @param ["b", "c"]\nb = 2  # @param {type:"integer"}'
    shell.run_cell(cell)
    before = len(notes(shell, cell))
    fine = 'c = 2  # @param {type:"integer"}'
    shell.run_cell(fine)
    assert before == 2 and not notes(shell, fine), "the note on R16 comes once"
    (widget,) = forms(shell).widgets[tuple(cell.splitlines())].values()
    widget.value = 7
    shell.run_cell(cell)
    assert (shell.user_ns["a"], shell.user_ns["b"]) == ("z", 7)


def test_an_untouched_form_keeps_the_type_of_the_code(shell):
    for line in ('a = 3  # @param {type:"number"}', 'a = 3  # @param {type:"raw"}'):
        assert [type(value) for value in twice(shell, line)] == [int, int]


def test_a_form_counts_where_lines_end_as_on_windows(shell):
    cell = 'a = 3  # @param {type:"integer"}\r\nb = a\r\n'
    shell.run_cell(cell)
    (form,) = forms(shell).widgets.values()
    form['a = 3  # @param {type:"integer"}'].value = 8
    shell.run_cell(cell)
    assert shell.user_ns["b"] == 8


@pytest.fixture
def run(shell):
    """Runs a cell of a notebook, which has an id; gives its variable ``a``."""
    shell.get_parent = lambda: {"metadata": {"cellId": shell.cell_id}}

    def run(cell_id: str, cell: str):
        shell.cell_id = cell_id
        shell.run_cell(cell)
        return shell.user_ns["a"]

    return run


LINE = 'a = 4  # @param {type:"slider", min:2, max:8, step:2}'


@pytest.mark.parametrize(("typed", "counts"), [(999, 8), (-1, 2), (7, 7), (6, 6)])
def test_a_number_typed_beyond_a_slider_is_its_end_and_told(shell, typed, counts):
    shell.run_cell(LINE)
    slider = forms(shell).widgets[(LINE,)][LINE]
    slider.number.value = typed  # and the browser moves the slider
    slider.slider.value = typed
    shell.run_cell(LINE)
    assert shell.user_ns["a"] == slider.number.value == slider.slider.value == counts
    assert bool(slider.note.value) == (typed != counts)


def test_the_noise_of_a_browser_s_slider_stays_out_of_the_code(shell):
    line = 'a = 0.5  # @param {type:"slider", min:0.1, max:1, step:0.05}'
    shell.run_cell(line)
    slider = forms(shell).widgets[(line,)][line]
    slider.number.value = 0.7999999999999999
    shell.run_cell(line)
    assert shell.user_ns["a"] == slider.number.value == 0.8


def test_what_is_typed_counts_before_anybody_leaves_the_field():
    """JupyterLab's run button comes before a field says that it was left."""
    for line in (
        LINE,
        'a = "b"  # @param {type:"string"}',
        'a = "b"  # @param ["b"] {allow-input: true}',
        'a = 3  # @param {type:"integer"}',
        'a = 3.5  # @param {type:"number"}',
    ):
        widget = to_widget(parse_field(line))
        assert getattr(widget, "number", widget).continuous_update


def answer(browser, first=lambda: None) -> None:
    """As JupyterLab answers: soon, in another thread, after what was typed before."""

    def send(number: int) -> None:
        first()
        browser.answer.value = number

    def hear(change) -> None:
        threading.Timer(0.1, send, [change["new"]]).start()

    browser.question.observe(hear, "value")


def test_what_is_typed_just_before_a_cell_runs_is_waited_for(shell):
    forms = Forms()
    line = 'a = "b"  # @param {type:"string"}'
    forms.show(SimpleNamespace(raw_cell=line))
    typed = iter(["", "c", "cd"])
    (widget,) = forms.widgets[(line,)].values()
    answer(forms.browser, lambda: setattr(widget, "value", next(typed)))
    forms.browser.ask()
    time.sleep(0.3)  # as long as nobody has answered, nobody is waited for
    assert [parse_field(forms.write([line])[0]).default for _ in "cd"] == ["c", "cd"]


def test_nobody_waits_for_a_browser_that_is_gone(shell, monkeypatch):
    monkeypatch.setattr(Browser, "SECONDS", 0.3)
    forms = Forms()
    forms.show(SimpleNamespace(raw_cell=LINE))
    answer(forms.browser)
    forms.browser.ask()
    time.sleep(0.3)
    forms.browser.question.unobserve_all()
    waits = []
    for _ in range(3):
        start = time.monotonic()
        assert forms.write([LINE]) == [LINE]
        waits.append(time.monotonic() - start)
    assert waits[0] >= 0.3 and max(waits[1:]) < 0.3


def test_a_front_end_that_cannot_answer_gets_what_is_typed_at_the_end(shell):
    line = 'a = "b"  # @param {type:"string"}'
    shell.run_cell(line)
    (widget,) = forms(shell).widgets[(line,)].values()
    assert not widget.continuous_update and forms(shell).browser is None


def test_a_whole_number_that_a_browser_would_round_cannot_be_typed():
    widget = to_widget(parse_field('a = 3  # @param {type:"integer"}'))
    widget.value = 10**20
    assert widget.value == 2**53


def test_a_copied_cell_begins_as_what_it_is_a_copy_of_and_goes_its_own_way(shell, run):
    run("one", LINE)
    forms(shell).widgets["one"][LINE].value = 6
    assert run("two", LINE) == 6, "the copy shows the form of the first"
    forms(shell).widgets["two"][LINE].value = 8
    assert (run("one", LINE), run("two", LINE), run("one", LINE)) == (6, 8, 6)


def test_editing_one_field_leaves_the_others_of_its_form(shell, run):
    other = 'b = "x"  # @param {type:"string"}'
    run("one", f"{LINE}\n{other}")
    for widget, value in zip(
        forms(shell).widgets["one"].values(), (8, "y"), strict=True
    ):
        widget.value = value
    assert run("one", f"{LINE.replace('4', '6', 1)}\n{other}") == 6
    assert shell.user_ns["b"] == "y"
    assert run("one", f"{LINE}\n{other}") == 4, "what the code says again"


@pytest.mark.parametrize(
    "line",
    [
        'a = 3  # @param {type:"slider", min:2, max:',
        "a = 3  # @param {type:'integer'}",
        'a = 1 + 2  # @param {type:"integer"}',
    ],
)
def test_one_broken_line_costs_the_other_fields_nothing(shell, run, line):
    other = 'b = "x"  # @param {type:"string"}'
    assert run("one", f"{line}\n{other}") == 3
    forms(shell).widgets["one"][other].value = "y"
    assert run("one", f"{line}\n{other}") == 3
    assert shell.user_ns["b"] == "y"


@pytest.mark.parametrize("text", ["a=3  # @param", "a = 3 # @param", "a =3# @param"])
def test_spaces_are_as_people_write_them(text):
    line = text + ' {type:"integer"}'
    assert parse_field(line).default == 3
    assert parse_field(fill_line(line, 7)).default == 7


def test_a_form_counts_under_a_magic(shell):
    line = 'a = 3  # @param {type:"integer"}'
    for magic in ("%%time", "%%capture"):
        shell.run_cell(f"{magic}\n{line}")
        forms(shell).widgets[(line,)][line].value = 8
        shell.run_cell(f"{magic}\n{line}")
        assert shell.user_ns["a"] == 8


def test_a_text_may_hold_the_sign_of_a_field():
    line = 'a = "b"  # @param {type:"string"}'
    filled = fill_line(line, "c  # @param d")
    assert parse_field(filled).default == "c  # @param d"
    assert parse_field(fill_line(filled, "e")).default == "e"


@pytest.mark.parametrize(
    "line",
    [
        'a = 3  # @param ["(", "1"] {type:"raw"}',
        "a = " + "(" * 300 + "1" + ")" * 300 + "  # @param",
        'a = 3  # @param {type:"slider", min:}',
    ],
)
def test_a_line_that_cannot_be_read_is_no_field(line):
    with pytest.raises(ValueError, match="not a form field"):
        fields(line)
