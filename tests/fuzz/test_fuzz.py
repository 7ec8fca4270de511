import zlib
from typing import Any

import pytest

from predictors import decoder as decoding
from predictors.errors import SecondLookError
from predictors.image import read_film
from tests.fuzz import __main__ as command
from tests.fuzz.mutations import mutant
from tests.fuzz.runs import ANSWERED, Figures, through_the_decoder, through_the_service
from tests.fuzz.seeds import FORMATS, seeds
from tests.running import Space


@pytest.mark.skipif(not decoding.SUPPORTED, reason="child processes need Linux")
def test_broken_films_are_answered_or_refused() -> None:
    for figures in through_the_decoder(seed=20, count=1200):
        assert figures.failures() == []
        assert (figures.crashes, figures.kills) == (0, 0)
        assert figures.outcomes.total() == 200
        assert figures.outcomes[ANSWERED] > 15, figures  # they are not so broken that nothing is decoded
        assert figures.outcomes["corrupt_image"] > 30, figures


def test_broken_films_do_not_break_the_service(space: Space) -> None:
    ways = [*through_the_service(seed=21, count=48, url=space.url)]
    assert [way.failures() for way in ways] == [[]] * len(ways)
    assert {way.through for way in ways} == {"rest", "gradio"}
    assert sum(way.outcomes.total() for way in ways) == 48 + 3


def test_a_mutant_is_the_same_whenever_it_is_made() -> None:
    told = [zlib.crc32(b"".join(mutant(1, number, each) for number in range(20))) for each in FORMATS]
    assert told == [zlib.crc32(b"".join(mutant(1, number, each) for number in range(20))) for each in FORMATS]
    assert len(set(told)) == len(FORMATS)


@pytest.mark.filterwarnings("ignore:::pydicom")
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_seeds_are_good_films(file_format: str) -> None:
    good = 0
    for data in seeds(file_format):
        try:
            good += read_film(data).format == file_format
        except SecondLookError:  # an animation, several pages, a fax: good files, and refused
            continue
    assert good >= len(seeds(file_format)) - 2


@pytest.mark.skipif(not decoding.SUPPORTED, reason="child processes need Linux")
def test_what_a_broken_film_leaves_undecoded_is_not_what_lay_in_memory(monkeypatch: Any) -> None:
    """That could be another caller's film. glibc fills what it hands out with a byte of our choice."""
    told = []
    for byte in ("17", "200"):
        monkeypatch.setitem(decoding._SETTINGS, "MALLOC_PERTURB_", byte)
        decoder = decoding.Decoder(1)
        told.append([_pixels(decoder, mutant(9, number, each)) for each in FORMATS for number in range(150, 220)])
        decoder.close()
    assert told[0] == told[1]
    assert sum(isinstance(pixels, int) for pixels in told[0]) > 60


def _pixels(decoder: decoding.Decoder, data: bytes) -> int | str:
    try:
        film = decoder.read(data)
    except SecondLookError as refusal:
        return refusal.code
    return zlib.crc32(film.grey)


@pytest.mark.parametrize("broken", ["internal_error", "busy", "500: Internal Server Error"])
def test_an_answer_that_is_not_in_the_contract_fails_the_run(broken: str, monkeypatch: Any, capsys: Any) -> None:
    figures = Figures("decoder", "PNG")
    for outcome in (ANSWERED, "corrupt_image", broken):
        figures.count(0, outcome, 0.1)
    monkeypatch.setattr(command, "through_the_decoder", lambda seed, count: [figures])
    assert command.main(["--count", "3"]) == 1
    assert broken in capsys.readouterr().out


def test_a_slow_film_and_a_large_child_fail_the_run() -> None:
    figures = Figures("decoder", "PNG")
    figures.count(0, ANSWERED, 4.9)
    assert figures.failures() == []
    figures.count(17, ANSWERED, 5.1)
    figures.peak = 3 << 30
    assert ["number 17 took 5.1 s" in figures.failures()[0], "3072 MiB" in figures.failures()[1]] == [True, True]
