"""What the hub, the network and the disk answer, in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from helpers.catalogue import DEFAULT, Model
from helpers.errors import Mistake, in_plain_words, network_reason


@dataclass(frozen=True)
class Hub:
    """What asking the hub now comes to.

    Attributes:
        problem: Why nothing can be fetched, in a few words; None: it can be.
        token_problem: What is wrong with the token on this machine, if anything.
    """

    problem: str | None
    token_problem: str | None

    @property
    def token(self) -> bool | None:
        """What to hand on as ``token``: False is none, None is the one here."""
        return False if self.token_problem else None


def hub_problem(timeout: float = 3.0) -> str | None:
    """Why models cannot be fetched now, in a few words; None where they can.

    Args:
        timeout: Seconds to wait. ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_TOKEN`` and
            the proxies of the environment count.
    """
    return ask_hub(timeout).problem


def ask_hub(timeout: float = 3.0) -> Hub:
    """Whether the hub answers; without the token, where that is bad."""
    from huggingface_hub import get_token

    if not (bad := token_problem()):
        status, problem = _knock(None, timeout)
        if status != 401 or get_token() is None:
            return Hub(problem, None)
        bad = "is not accepted by the hub"
    return Hub(_knock(False, timeout)[1], bad)


def token_problem() -> str | None:
    """Why the token on this machine cannot even be sent; None: it can, or is not."""
    from huggingface_hub import get_token

    token = get_token() or ""
    if token.isascii() and token.isprintable() and " " not in token:
        return None
    return "has characters in it that no token has, such as quotes or spaces"


def _knock(token: bool | None, timeout: float) -> tuple[int | None, str | None]:
    """Asks for something public: the hub's status, and what is wrong, if anything."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if not constants.ENDPOINT.startswith(("http://", "https://")):
        return None, "HF_ENDPOINT does not begin with https://"
    try:
        HfApi(token=token).model_info(DEFAULT.id, timeout=timeout)
    except RepositoryNotFoundError:  # of a hub that lacks it, not of a bad token
        return 404, None
    except HfHubHTTPError as error:
        status = error.response.status_code
        return status, f"it answers {status}" if status >= 500 else None
    except Exception as error:  # noqa: BLE001 - each hub version names them anew
        return None, network_reason(error)
    return 200, None


@contextmanager
def plain_words(model: Model) -> Iterator[None]:
    """One sentence for whatever the hub or the disk answers."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except Mistake:
        raise
    except Exception as error:  # noqa: BLE001 - httpx's or httpx2's, by version
        cause = error.__cause__  # the hub's answer, behind “it is not here either”
        if isinstance(error, LocalEntryNotFoundError):
            error = cause if isinstance(cause, HfHubHTTPError) else error
        raise _in_plain_words(model, error) from None


# What the hub's errors mean to a learner, the special ones before those they are a kind
# of: https://huggingface.co/docs/huggingface_hub/package_reference/utilities
_ANSWERS = {
    "GatedRepoError": (
        "gated",
        "“{id}” is given out after a form: fill it in at https://huggingface.co/{id}, "
        "log in, or take stable-diffusion-v1-5.",
    ),
    "RevisionNotFoundError": (
        "no revision",
        "“{id}” has no revision “{revision}”: leave “@{revision}” away for the newest.",
    ),
    "RepositoryNotFoundError": (  # the hub says 401, as if one had to log in
        "not public",
        "The hub has no public model “{id}”: check the spelling, or take a name from "
        "the list.",
    ),
    "LocalEntryNotFoundError": (
        "incomplete",
        "Only a part of “{name}” is here, and the hub does not answer: take pocket, or "
        "connect and run this cell again.",
    ),
    "EntryNotFoundError": (
        "not diffusers",
        "“{id}” is not in the form that diffusers reads: take a name from the list.",
    ),
    403: (
        "forbidden",
        "The token on this machine may not read “{id}”: log out with hf auth logout, "
        "or make one that may.",
    ),
    "full": (
        "disk full",
        "The disk is full before “{name}” is whole: delete what you do not need and "
        "run this cell again, or take pocket.",
    ),
    "else": (
        "broken off",
        "The download of “{name}” broke off, the hub {how}: run this cell again, what "
        "is whole stays; or take pocket.",
    ),
}


def _in_plain_words(model: Model, error: Exception) -> Mistake:
    status = error.response.status_code if hasattr(error, "response") else None
    kinds = {kind.__name__ for kind in type(error).__mro__}
    what: str | int = "else"
    if known := [name for name in _ANSWERS if name in kinds]:
        what = known[0]
    elif status in _ANSWERS:
        what = status
    elif (said := in_plain_words(error)) and said.kind == "disk full":
        what = "full"
    kind, sentence = _ANSWERS[what]
    how = f"answers {status}" if status else f"stopped ({network_reason(error)})"
    about = {"id": model.id, "name": model.name, "revision": model.revision}
    return Mistake(kind, sentence.format(**about, how=how))
