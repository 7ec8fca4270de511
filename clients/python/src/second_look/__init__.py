"""Ask a Second Look Space about radiographs, asleep or awake. For research and teaching only."""

from second_look.blocking import SecondLook, connect
from second_look.client import AsyncSecondLook, HeatMap, connect_async
from second_look.connection import ModelName
from second_look.errors import (
    Cancelled,
    DeadlineExceeded,
    FilmUnreadable,
    NotSecondLook,
    Refused,
    SecondLookError,
    SpaceBroken,
    SpaceForbidden,
    SpaceNotFound,
    SpacePaused,
    SpaceUnavailable,
)
from second_look.films import FilmSource
from second_look.waking import Pace, Stage, Status

__all__ = [
    "AsyncSecondLook",
    "Cancelled",
    "DeadlineExceeded",
    "FilmSource",
    "FilmUnreadable",
    "HeatMap",
    "ModelName",
    "NotSecondLook",
    "Pace",
    "Refused",
    "SecondLook",
    "SecondLookError",
    "SpaceBroken",
    "SpaceForbidden",
    "SpaceNotFound",
    "SpacePaused",
    "SpaceUnavailable",
    "Stage",
    "Status",
    "connect",
    "connect_async",
]
