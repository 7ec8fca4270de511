"""Ask the five models of a Second Look Space, asleep or awake: ``async`` here, and in plain calls in ``blocking``."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import uuid4

import httpx
from typing_extensions import Self, TypedDict, Unpack

from second_look import films
from second_look.answers import (
    BoneFractureAnswer,
    BreastCancerAnswer,
    BreastCancerBatch,
    FractureDetectionAnswer,
    FractureTypeAnswer,
    Meta,
    PneumoniaAnswer,
)
from second_look.connection import GONE, TIMEOUT, App, Connection, ModelName, Unexplained, as_reply, judged
from second_look.errors import FilmUnreadable, Refused
from second_look.films import FilmSource
from second_look.waking import BROKE_OFF, NotYet, OnStatus, Pace, Reply, Teller, Whereabouts, persist

HUB = "https://huggingface.co"
DEADLINE = 300.0

T = TypeVar("T")


@dataclass(frozen=True)
class HeatMap:
    """Where on the film the network saw its evidence."""

    picture: bytes  # PNG: the film with its heat map over it
    peak: tuple[float, float]  # as fractions of the film, x from the left and y from the top
    label: str  # the decision, with its probability
    probability: float
    meta: Meta


class Call(TypedDict, total=False):
    """What may differ from call to call; by default as the client was made."""

    deadline: float
    on_status: OnStatus


class Options(Call, total=False):
    """How a client is made; see ``AsyncSecondLook``."""

    token: str | None
    hub: str
    pace: Pace


class AsyncSecondLook:
    """The models of one Space. ``async with`` wakes it and closes the connection in the end.

    Every method answers once the Space has woken, started and had its turn, within one deadline. It raises the errors
    of ``second_look.errors``, and OSError for a path that cannot be read. Cancelling its task cancels the call.
    """

    def __init__(
        self,
        space: str,
        *,
        token: str | None = None,
        hub: str = HUB,
        deadline: float = DEADLINE,
        on_status: OnStatus | None = None,
        pace: Pace | None = None,
    ) -> None:
        """Nothing is sent yet.

        Parameters:
            space: ``owner/name`` on the Hub, or the app's own address.
            token: for a private Space. Sent to the Hub and to the Space, nowhere else.
            hub: where the Hub is.
            deadline: seconds for everything together: waking, queue and answer.
            on_status: called with each ``Status`` of a call.
            pace: how fast to try again.
        """
        self._deadline, self._on_status, self._pace = deadline, on_status, pace or Pace()
        self._web = httpx.AsyncClient(timeout=TIMEOUT)
        self._for_hub = {"authorization": f"Bearer {token}"} if token else {}
        self._for_space = {"x-hf-authorization": f"Bearer {token}"} if token else {}  # the app may have its own
        self._whereabouts = Whereabouts(space, hub, self._ask_hub, self._knock)
        self._app: App | None = None
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self.wake()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._web.aclose()

    async def wake(self, **call: Unpack[Call]) -> None:
        """Wake the Space if it sleeps, and wait until it answers."""

        async def attempt(_: Teller) -> None:
            Connection(await self._running(), self._for_space, self._web)

        await self._persist(attempt, call)

    async def bone_fracture(self, film: FilmSource, **call: Unpack[Call]) -> BoneFractureAnswer:
        """Is there a fracture?"""
        return cast(BoneFractureAnswer, await self._answer("/bone_fracture", film, call))

    async def fracture_detection(self, film: FilmSource, **call: Unpack[Call]) -> FractureDetectionAnswer:
        """Is there a fracture? Asked of an independent second reader."""
        return cast(FractureDetectionAnswer, await self._answer("/fracture_detection", film, call))

    async def fracture_type(self, film: FilmSource, **call: Unpack[Call]) -> FractureTypeAnswer:
        """Fissure or complete fracture? ``success`` is 0 where neither is sure enough."""
        return cast(FractureTypeAnswer, await self._answer("/fracture_type", film, call))

    async def breast_cancer(self, film: FilmSource, **call: Unpack[Call]) -> BreastCancerAnswer:
        """How likely is a malignant lesion on this mammogram?"""
        return cast(BreastCancerAnswer, await self._answer("/breast_cancer", film, call))

    async def breast_cancer_batch(self, batch: Sequence[FilmSource], **call: Unpack[Call]) -> BreastCancerBatch:
        """The same of up to ten mammograms, in the order sent; a bad film never fails the others."""
        (answer,) = await self._ask("/breast_cancer_batch", batch, call, several=True)
        return cast(BreastCancerBatch, answer)

    async def pneumonia(self, film: FilmSource, **call: Unpack[Call]) -> PneumoniaAnswer:
        """Does this chest film show pneumonia?"""
        return cast(PneumoniaAnswer, await self._answer("/pneumonia", film, call))

    async def heatmap(self, name: ModelName, film: FilmSource, **call: Unpack[Call]) -> HeatMap:
        """Where on the film did this model see its evidence? Nothing of it is written to the disk."""
        picture, about = await self._ask(f"/{name}_heatmap", [film], call)
        x, y = about["peak"]
        return HeatMap(picture, (x, y), about["label"], about["probability"], about["meta"])

    # One call

    async def _answer(self, route: str, film: FilmSource, call: Call) -> Any:
        (answer,) = await self._ask(route, [film], call)
        return answer

    async def _ask(self, route: str, sources: Sequence[FilmSource], call: Call, several: bool = False) -> list[Any]:
        """The outputs of one event, however often it has to be asked for; a file among them as its bytes."""
        key = str(uuid4())  # the same for every try: what the app has computed for it, it does not compute again
        batch: list[films.Film] = []
        sent: list[dict[str, Any]] = []
        sent_to: App | None = None
        doubted = False

        async def attempt(tell: Teller) -> list[Any]:
            nonlocal sent, sent_to, doubted
            if not batch:
                batch.extend([await films.read(source, self._download) for source in sources])
            app = await self._running()
            connection = Connection(app, self._for_space, self._web)
            try:
                if sent_to is not app:  # a new one knows nothing of what another was sent
                    sent, sent_to = await connection.upload(batch), app
                output = await connection.ask(route, sent if several else sent[0], key, tell)
                outputs = output if isinstance(output, tuple) else (output,)
                return [await connection.download(each) if "path" in each else each for each in outputs]
            except httpx.TransportError:
                self._leave(app)
                raise NotYet("starting", BROKE_OFF) from None
            except NotYet as not_yet:
                if not_yet.stage != "queued":
                    self._leave(app)
                raise
            except Refused as refused:
                # The app has restarted since, or the queue was longer than it keeps uploads. If that was not the
                # reason, it says the same again.
                forgotten = refused.code == "missing_file" or isinstance(refused, Unexplained)
                if not forgotten or doubted:
                    raise
                doubted, sent_to = True, None
                raise NotYet("queued", GONE) from None

        return await self._persist(attempt, call)

    async def _persist(self, attempt: Callable[[Teller], Awaitable[T]], call: Call) -> T:
        deadline, on_status = call.get("deadline", self._deadline), call.get("on_status", self._on_status)
        return await persist(attempt, deadline, self._pace, on_status)

    async def _running(self) -> App:
        async with self._looking:
            if self._app is None:
                address = await self._whereabouts.awake()
                config = judged(await self._get(f"{address}/config", self._for_space))
                self._app = App(address, config)
            return self._app

    def _leave(self, app: App) -> None:
        if self._app is app:  # else another call has looked again already
            self._app = None

    # What goes over the web without Gradio

    async def _get(self, address: str, headers: dict[str, str], *, follow: bool = False) -> httpx.Response:
        try:
            return await self._web.get(address, headers=headers, follow_redirects=follow)
        except httpx.TransportError:
            raise NotYet("starting", BROKE_OFF) from None

    async def _ask_hub(self, address: str) -> Reply:
        return as_reply(await self._get(address, self._for_hub, follow=True))  # a Space that was renamed

    async def _knock(self, address: str) -> Reply:
        return as_reply(await self._get(address, self._for_space))

    async def _download(self, address: str, limit: int) -> bytes:
        content = bytearray()
        try:
            async with self._web.stream("GET", address, follow_redirects=True) as response:
                response.raise_for_status()
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) >= limit:
                        break
        except (httpx.HTTPError, httpx.InvalidURL):
            raise FilmUnreadable("The film could not be fetched from its address.") from None
        return bytes(content[:limit])


async def connect_async(space: str, **options: Unpack[Options]) -> AsyncSecondLook:
    """Wake the Space if it sleeps, and wait until it answers; takes what ``AsyncSecondLook`` takes."""
    return await AsyncSecondLook(space, **options).__aenter__()
