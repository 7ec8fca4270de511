"""Films drawn at the size of real ones: the same that a new Space is asked about."""

from space.deploy.films import FILMS, Film, chest, limb, mammogram

__all__ = ["FILMS", "Film", "chest", "limb", "mammogram"]
