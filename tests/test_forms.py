"""Forms in JupyterLab: what the code says counts until somebody changes the form."""

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from ipywidgets import HTML

from helpers.forms import fields, fill_line, parse_field, to_widget


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
    assert (widget.value, widget.min, widget.max) == (value, *ends)


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
