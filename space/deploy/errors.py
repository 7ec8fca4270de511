"""Why a deployment ends early, in one sentence each; and the Hub's own errors in such sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import httpx2  # what huggingface_hub speaks HTTP with
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled


class DeployError(Exception):
    """The deployment was refused, and nothing runs that did not run before; ``str(self)`` says what to do."""

    exit_code: ClassVar[int] = 1


class NotRunning(DeployError):
    """The files are on the Hub, but the Space does not run, or does not answer."""

    exit_code = 3


MISNAMED = "A repository is named <owner>/<name>, in letters, digits, '-', '_' and '.'"

_BY_STATUS = {
    401: "The Hub does not accept the token; log in again with `hf auth login`, or give a valid one with --token.",
    402: "The Hub asks for payment: a Gradio Space of one's own takes a PRO (or Team) account; see hf.co/pricing.",
    403: "The token may not do this; make one that can write to the repository at hf.co/settings/tokens.",
    404: "The Hub does not have this repository, or the token may not see it; check the name.",
    409: "The repository exists already and the token may not see it, or someone is changing it; check both.",
    412: "Someone else has changed this repository meanwhile; start again.",
    429: "The Hub asks us to slow down; wait a few minutes and start again.",
}


@contextmanager
def told_plainly() -> Iterator[None]:
    """Every error of the Hub's client leaves as a DeployError."""
    try:
        yield
    except LocalTokenNotFoundError:
        raise DeployError("There is no saved login; run `hf auth login`, or give a token with --token.") from None
    except HFValidationError:
        raise DeployError(f"{MISNAMED}, and no two of these signs in a row.") from None
    except HfHubHTTPError as error:
        raise DeployError(_sentence(error)) from None
    except (httpx2.TransportError, OfflineModeIsEnabled):
        raise DeployError("The Hub cannot be reached; check the connection and start again.") from None


def _sentence(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return f"The Hub has a fault of its own ({status}); try again later."
    return f"The Hub refused this ({status}): {one_line(error.server_message or 'it gave no reason')}"


def one_line(text: str, longest: int = 300) -> str:
    """Foreign words, fit for the end of a sentence of ours."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
