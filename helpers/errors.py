"""A mistake: what kind it is, for the tests, and one sentence that people read."""

from __future__ import annotations

import builtins
import errno
import linecache
import os
import re
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from IPython import InteractiveShell

last: BaseException | None = None  # behind the last sentence, for ``helpers.doctor``


class Mistake(ValueError):
    """Something that cannot work; the sentence says what, and what to do instead.

    A notebook shows the sentence alone, without the calls that led to it
    (``_render_traceback_`` is IPython's documented hook for that).

    Attributes:
        kind: One word for what went wrong, such as ``"offline"``.
        sentence: What the learner reads.
    """

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(kind, sentence)
        self.kind, self.sentence = kind, sentence

    def __str__(self) -> str:
        return self.sentence

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class Stopped(Mistake):
    """Somebody interrupted the cell; what it says is no reproach."""


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}
_AGAIN = "and run this cell again"
_SENTENCES = {
    "disk full": "The disk is full, so {file} could not be written: delete what you do "
    f"not need, {_AGAIN}.",
    "read-only": "{File} may not be read or written here: take another folder, "
    f"{_AGAIN}.",
    "no file": f"There is no {{file}} here: check the name and the folder, {_AGAIN}.",
    "no folder": "{File} belongs into a folder that is not here: check the name, or "
    f"run the set-up cell, which makes the folder “out”, {_AGAIN}.",
    "stopped": "Run this cell again when you like: a training goes on where it was "
    "saved last, anything else begins anew.",
    "not run": "Nothing is called “{name}” here (line {line}: {code}). Run the cells "
    "above first, the set-up cell before all (Run > Run All Above Selected Cell; in "
    "Colab Runtime > Run before), or check how the name is written{near}.",
    "damaged": "{File} is damaged, or a part of it is missing: delete it, and run the "
    "cell again that makes it.",
    "memory full": "The memory is full: draw fewer or smaller pictures at once, close "
    f"other notebooks, {_AGAIN}.",
    "too many digits": "A number has more digits than torch can count with: take a "
    f"seed of at most 18, {_AGAIN}.",
    "not a number": f"Numbers grew until they were none: take a lower rate, {_AGAIN}.",
    "offline": f"The network cannot be used ({{reason}}): connect, {_AGAIN}.",
}
# By what an exception or its text is called: torch and the hub's clients raise kinds of
# their own, which differ from version to version.
_SIGNS = (
    (r"^(Torch)?OutOfMemoryError|^MemoryError|out of memory", "memory full"),
    (r"can.t allocate memory|not enough memory|ALLOC_FAILED", "memory full"),
    (r"valid cuDNN algorithm|unable to find an engine", "memory full"),
    (r"PytorchStreamWriter failed|iostream error|unexpected pos", "disk full"),
    (r"PytorchStreamReader|^SafetensorError|^BadZipFile|^JSONDecodeError", "damaged"),
    (r"^UnpicklingError|^EOFError|invalid magic number", "damaged"),
    (r"^UnicodeDecodeError", "damaged"),
    (
        r"Overflow when unpacking|too large to convert to C|int too big",
        "too many digits",
    ),
    (r"contains (nan|inf)|returned nan values", "not a number"),
    (r"^Connect(ion)?(Error|Timeout)|^ReadTimeout|^ProxyError|^SSLError", "offline"),
    (r"^OfflineModeIsEnabled|^LocalEntryNotFoundError|^gaierror", "offline"),
)


def in_plain_words(error: BaseException) -> Mistake | None:
    """What an exception of Python, torch or another library means to a learner.

    The one place that knows them. What it does not know is a fault in somebody's code,
    and is better read with the lines that led to it.

    Args:
        error: Anything that was raised.

    Returns:
        A mistake of its kind; None where no sentence fits.
    """
    if isinstance(error, Mistake):
        return error
    kind = _kind_of(error)
    if kind is None:
        return None
    name = getattr(error, "filename", None)
    file = f"“{Path(str(name)).name}”" if name else "file"
    said = "a file" if file == "file" and kind != "no file" else file
    words = {"file": said, "File": said[:1].upper() + said[1:]}
    words |= _place_of(error) if kind == "not run" else {}
    sentence = _SENTENCES[kind].format(**words, reason=network_reason(error))
    return (Stopped if kind == "stopped" else Mistake)(kind, sentence)


def _raised_in(error: BaseException) -> TracebackType | None:
    """Where an exception was raised, if that is a line of a cell."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    in_cell = trace and trace.tb_frame.f_globals.get("__name__") == "__main__"
    return trace if in_cell else None


def _place_of(error: NameError) -> dict[str, str]:
    """The words for a name that means nothing: which, where, and what it may be."""
    trace = _raised_in(error)
    frame, line = trace.tb_frame, trace.tb_lineno
    names = [*frame.f_locals, *frame.f_globals, *dir(builtins)]
    near = get_close_matches(error.name, names, n=1, cutoff=0.75)
    return {
        "name": error.name,
        "line": str(line),
        "code": linecache.getline(frame.f_code.co_filename, line).strip() or "...",
        "near": f" (is it “{near[0]}”?)" if near else "",
    }


def _kind_of(error: BaseException) -> str | None:
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    if type(error) is NameError and error.name and _raised_in(error):
        return "not run"
    number = getattr(error, "errno", None)
    if number is None and isinstance(error, FileNotFoundError):
        number = errno.ENOENT  # safetensors gives none
    if of_rust := re.search(r"\(os error (\d+)\)", str(error)):
        number = int(of_rust[1])
    if number == errno.ENOENT and _folder_is_gone(error):
        return "no folder"
    for kind, numbers in (
        ("disk full", _FULL),
        ("read-only", _CLOSED),
        ("no file", _ABSENT),
    ):
        if (isinstance(error, OSError) or of_rust) and number in numbers:
            return kind
    names = [kind.__name__ for kind in type(error).__mro__]
    text = str(error)
    for sign, kind in _SIGNS:
        if any(re.search(sign, place) for place in (*names, text)):
            return kind
    return None


def _folder_is_gone(error: BaseException) -> bool:
    """Of a file that cannot be opened, or (in Rust, which names none) not written."""
    name = getattr(error, "filename", None)
    if name is None:
        return "while serializing" in str(error)
    return not Path(os.fsdecode(name)).parent.exists()


# What each kind of error in a chain of them means; the first that is found is said.
_REASONS = {
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set",
    "socksio": "the proxy needs a package: pip install socksio",
    "for proxy URL": "ALL_PROXY, HTTPS_PROXY or HTTP_PROXY is no address of a proxy",
    "ProxyError": "the proxy refuses",
    "CERTIFICATE_VERIFY_FAILED": "its certificate is not accepted: check the clock, or "
    "let SSL_CERT_FILE name the certificates of your network",
    "SSLError": "the connection cannot be encrypted: is https:// right?",
    "gaierror": "its name cannot be found: check the network",
    "Timeout": "no answer in time",
    "ConnectionRefusedError": "the connection is refused",
    "ConnectError": "no connection: check the network",
}


def network_reason(error: BaseException | None) -> str:
    """Why something could not be asked of the hub, in a few words."""
    first, words = error, []
    while error is not None:
        words += [kind.__name__ for kind in type(error).__mro__] + [str(error)]
        error = error.__cause__ or error.__context__
    said = "\n".join(words)
    found = [reason for sign, reason in _REASONS.items() if sign in said]
    return found[0] if found else type(first).__name__


def is_full(error: BaseException) -> bool:
    """Whether an error says, in one of torch's many ways, that the memory is full."""
    return _kind_of(error) == "memory full"


def speak_plainly(shell: InteractiveShell) -> None:
    """From now on a cell that stops shows a sentence, where there is one for it.

    The cell has failed all the same, and the kernel is as it was. What was raised is
    kept in ``last``, with the lines that led to it.
    """

    def show(
        shell: InteractiveShell,
        kind: type[BaseException],
        error: BaseException,
        trace: TracebackType,
        tb_offset: int | None = None,
    ) -> None:
        global last
        last = error
        said = in_plain_words(error) or error
        shell.showtraceback((type(said), said, trace), tb_offset=tb_offset)

    shell.set_custom_exc((Exception, KeyboardInterrupt), show)
