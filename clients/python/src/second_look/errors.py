"""What can go wrong. Each message is one plain sentence for the person who sent the film.

SecondLookError
├── Refused             the film was refused; ``code`` is one of the service's, as ``out_of_scope``
├── FilmUnreadable      the film could not be fetched from its address
├── SpaceUnavailable    waiting would not help: somebody has to do something about the Space itself
│   ├── SpacePaused
│   ├── SpaceBroken
│   ├── SpaceNotFound
│   ├── SpaceForbidden
│   └── NotSecondLook
├── DeadlineExceeded    it went on being asleep, starting or busy for longer than the caller would wait
└── Cancelled           the caller's ``cancel`` event was set, or the client was closed
"""

from typing import ClassVar


class SecondLookError(Exception):
    """Base of all that this package raises by itself."""

    sentence: ClassVar[str] = ""

    def __init__(self, sentence: str | None = None) -> None:
        super().__init__(sentence or self.sentence)


class Refused(SecondLookError):
    """The answer is no, and asking again would not change it."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


class FilmUnreadable(SecondLookError):
    """The film could not be fetched from its address."""


class SpaceUnavailable(SecondLookError):
    """Nobody is there to answer, and waiting would not help."""


class SpacePaused(SpaceUnavailable):
    """PAUSED or STOPPED."""

    sentence = "The Space has been paused by its owner, who alone can start it again."


class SpaceBroken(SpaceUnavailable):
    """RUNTIME_ERROR, BUILD_ERROR, CONFIG_ERROR or NO_APP_FILE."""

    sentence = "The Space is broken and does not start; its owner finds the reason in its log."


class SpaceNotFound(SpaceUnavailable):
    """No such Space, or one that is being deleted."""

    sentence = "There is no such Space; check its name or address."


class SpaceForbidden(SpaceUnavailable):
    """HTTP 401 or 403. The Hub does not tell a private Space from one that does not exist."""

    sentence = "The Space is private or does not exist; check its name, and give a token that may read it."


class NotSecondLook(SpaceUnavailable):
    """Something answers there, and it is not this service."""

    sentence = "What answers at this address is not Second Look; check the name or the address."


class DeadlineExceeded(SecondLookError):
    """No answer within the deadline; the message says what the Space last was."""

    def __init__(self, deadline: float, last: Exception | None = None) -> None:
        super().__init__(f"No answer within {deadline:g} seconds. {last or 'The Space took too long.'}")


class Cancelled(SecondLookError):
    """The caller no longer wants the answer."""

    sentence = "The call was cancelled."
