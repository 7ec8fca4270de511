import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors import decoder as decoding
from predictors import errors
from predictors.decoder import Decoder
from predictors.image import MAX_BYTES, Radiograph, read_film
from tests.drawings import dicom, drawn_deep_film, drawn_film, drawn_photo, encoded, png
from tests.running import ROOT

pytestmark = pytest.mark.skipif(not decoding.SUPPORTED, reason="child processes need Linux")

FILM, DEEP, PHOTO = drawn_film(), drawn_deep_film(), drawn_photo()
GOOD = encoded(FILM, "PNG")

# Run in the template before it forks: films of these names, if they may be called that, do what a codec should not.
MISBEHAVING = """
import ctypes, os, signal, sys, time
from predictors import decoder_child
read = decoder_child.read_film
def read_film(data):
    told = data.decode("latin-1")
    if told == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if told == "exit": os._exit(3)
    if told == "panic": raise BaseException("SECRET")
    if told == "hang":
        while True: pass
    if told == "sleep": signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals)); time.sleep(60)
    if told == "memory": return bytearray(3 << 30)
    if told == "nonsense": decoder_child._shared = lambda film: ({"shape": "SECRET"}, []); return None
    if told == "talk": print("SECRET", flush=True); print("SECRET", file=sys.stderr, flush=True)
    if told == "environment": raise decoder_child.ImageTooLarge(",".join(os.environ))
    if told.startswith("open "): open(told[5:], "rb")
    if told.startswith("connect "):
        import socket
        socket.create_connection(("127.0.0.1", int(told[8:])), 1)
    return read(data if data[:4] == b"\\x89PNG" else GOOD)
decoder_child.read_film = read_film
"""


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(2)
    decoder.start()
    yield decoder
    decoder.close()


@pytest.fixture(scope="module")
def misbehaving() -> Iterator[Decoder]:
    program = f"{MISBEHAVING}\nGOOD = {GOOD!r}\nimport socket\n"
    program += "decoder_child.template(socket.socket(fileno=int(sys.argv[1])))"
    started = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        return started([sys.executable, "-c", program, command[-1]], **options)

    decoder = Decoder(2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decoding.subprocess, "Popen", popen)
        patched.setenv("HF_TOKEN", "SECRET")
        decoder.start()
    yield decoder
    decoder.close()


@pytest.fixture
def badly(misbehaving: Decoder, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """A decoder whose codec misbehaves when a film says so, and has half a second for each."""
    monkeypatch.setattr(decoding, "LIMIT", 0.5)
    misbehaving.failures.clear()
    return misbehaving


def same(one: Radiograph, other: Radiograph) -> bool:
    colours = (one.colour is None, other.colour is None)
    return (
        (one.format, one.grey.dtype) == (other.format, other.grey.dtype)
        and np.array_equal(one.grey, other.grey)
        and (all(colours) or (not any(colours) and np.array_equal(one.colour, other.colour)))  # type: ignore[arg-type]
    )


def gone(pid: int) -> bool:
    """Whether the process is no more, or will be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# The same as in process


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        encoded(PHOTO, "JPEG"),
        encoded(PHOTO, "WEBP", lossless=True),
        encoded(FILM, "BMP"),
        encoded(DEEP, "TIFF", compression="tiff_lzw"),
        png(np.stack([DEEP, DEEP[::-1], DEEP], -1), 16, 2),
        dicom(DEEP, WindowCenter=1500, WindowWidth=900),
        dicom(PHOTO),
    ],
)
def test_a_film_is_the_same_to_the_last_digit(decoder: Decoder, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        assert same(decoder.read(source), read_film(data))


@pytest.mark.parametrize(
    "data",
    [
        GOOD[:-40],
        b"<svg/>",
        dicom(DEEP, NumberOfFrames=2),
        dicom(DEEP, Rows=9000, Columns=9000),
        b"",
        bytes(MAX_BYTES + 1),
    ],
)
def test_a_refusal_is_the_same_to_the_last_word(decoder: Decoder, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "film"
    path.write_bytes(data)
    with pytest.raises(errors.SecondLookError) as here:
        read_film(data)
    for source in (data, path):
        with pytest.raises(type(here.value)) as there:
            decoder.read(source)
        assert str(there.value) == str(here.value)
    assert not decoder.failures


def test_a_path_that_is_not_there_is_no_refusal(decoder: Decoder, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        decoder.read(tmp_path / "nothing")


def test_a_child_serves_one_film_after_another_and_threads_have_one_each(decoder: Decoder) -> None:
    decoder.read(GOOD)
    pids = {child.pid for child in decoder._idle}
    wrong = []

    def read(index: int) -> None:
        film = drawn_film(200 + index, 100)
        if not np.array_equal(decoder.read(encoded(film, "PNG")).grey, film):
            wrong.append(index)

    threads = [threading.Thread(target=read, args=(index,)) for index in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert pids <= {child.pid for child in decoder._idle}
    assert len(decoder._idle) <= 2


def test_nothing_stays_open(decoder: Decoder) -> None:
    decoder.read(GOOD)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        decoder.read(GOOD)
        with pytest.raises(errors.CorruptImage):
            decoder.read(GOOD[:-40])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# What goes wrong


@pytest.mark.parametrize("what", [b"crash", b"exit", b"panic", b"nonsense"])
def test_a_child_that_dies_means_a_damaged_film(badly: Decoder, what: bytes) -> None:
    for _ in range(2):
        with pytest.raises(errors.CorruptImage):
            badly.read(what)
        assert same(badly.read(GOOD), read_film(GOOD))  # the next film has a new child
    assert badly.failures == {"crash": 2}


@pytest.mark.parametrize("what", [b"hang", b"sleep"])
def test_a_child_that_hangs_is_ended_in_time(badly: Decoder, what: bytes) -> None:
    badly.read(GOOD)
    pid = badly._idle[0].pid
    began = time.monotonic()
    with pytest.raises(errors.ImageTooLarge, match="takes too long"):
        badly.read(what)
    assert 0.5 <= time.monotonic() - began < 3
    assert gone(pid)
    assert badly.failures == {"time": 1}
    assert same(badly.read(GOOD), read_film(GOOD))


def test_a_child_that_needs_too_much_memory_refuses_and_lives(badly: Decoder) -> None:
    badly.read(GOOD)
    pid = badly._idle[0].pid
    with pytest.raises(errors.ImageTooLarge, match="64 megapixels"):
        badly.read(b"memory")
    assert [child.pid for child in badly._idle] == [pid]


def test_one_callers_film_does_not_end_anothers(badly: Decoder) -> None:
    outcomes = []

    def read(what: bytes) -> None:
        try:
            badly.read(what)
            outcomes.append("answered")
        except errors.SecondLookError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=read, args=(what,)) for what in [b"crash", GOOD] * 10]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["answered"] * 10 + ["corrupt_image"] * 10


def test_a_child_that_was_killed_while_it_waited_costs_nobody_a_film(decoder: Decoder) -> None:
    decoder.read(GOOD)
    for child in decoder._idle:
        os.kill(child.pid, signal.SIGKILL)
    wait_for(lambda: all(gone(child.pid) for child in decoder._idle))
    assert same(decoder.read(GOOD), read_film(GOOD))
    assert not decoder.failures


def test_a_template_that_was_killed_is_replaced() -> None:
    decoder = Decoder(1)
    decoder.read(GOOD)
    assert decoder._template
    child = decoder._idle[0].pid
    decoder._template._process.kill()
    wait_for(lambda: gone(child))  # it goes with its template
    assert same(decoder.read(GOOD), read_film(GOOD))
    decoder.close()


def test_a_child_that_needed_much_is_not_used_again(decoder: Decoder) -> None:
    decoder.read(GOOD)
    small = {child.pid for child in decoder._idle}
    decoder.read(encoded(np.zeros((5000, 6000, 3), np.uint8), "PNG", compress_level=1))
    assert decoder.peak > 192 << 20
    assert len({child.pid for child in decoder._idle} & small) < len(small)


def test_memory_that_a_child_could_take_back_is_not_mapped() -> None:
    """Pages that vanish from under a mapping end the process that reads them."""
    memory = os.memfd_create("film", os.MFD_ALLOW_SEALING)
    os.write(memory, bytes(100))
    answer = {"format": "PNG", "size": [20, 20], "shape": [10, 10], "depth": 1, "colour": False}
    with pytest.raises(ValueError):  # noqa: PT011  # it has no words
        decoding._mapped(answer, memory)
    import fcntl

    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, decoding.seals())
    assert decoding._mapped(answer, memory).grey.shape == (10, 10)
    shapes: list[Any] = [{"shape": [10, 11]}, {"shape": [-10, -10]}, {"depth": 2}, {"colour": True}]
    sizes: list[Any] = [{"size": size} for size in ([9, 20], [20, 9], [-20, -20], [8001, 8000], [0, 0], [22, 20])]
    for lie in [*shapes, *sizes, {"format": "SECRET"}]:
        with pytest.raises(ValueError):  # noqa: PT011
            decoding._mapped({**answer, **lie}, memory)
    os.close(memory)


def test_who_finds_no_child_is_asked_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process left, no open file left, or a template that is not given a moment on the processor."""
    for fault in (BlockingIOError, TimeoutError, OSError):

        def none(fault: type[OSError] = fault) -> None:
            raise fault

        monkeypatch.setattr(decoding, "_Template", none)
        with pytest.raises(errors.Busy, match="overloaded"):
            Decoder(1).read(GOOD)


# What a child may do


def test_what_a_codec_says_reaches_nobody(badly: Decoder, capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    badly.read(b"talk")
    with pytest.raises(errors.CorruptImage):
        badly.read(b"panic")
    assert "SECRET" not in "".join(capfd.readouterr()) + caplog.text


def test_a_child_does_not_know_the_secrets_of_the_space(badly: Decoder) -> None:
    with pytest.raises(errors.ImageTooLarge) as told:
        badly.read(b"environment")
    assert "OPENBLAS_NUM_THREADS" in str(told.value)
    assert "HF_TOKEN" not in str(told.value)


def _landlock() -> bool:
    import ctypes

    return int(ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1)) >= 4


@pytest.mark.skipif(not _landlock(), reason="this kernel has no Landlock of version 4")
def test_a_child_opens_no_file_and_no_connection(badly: Decoder, tmp_path: Path) -> None:
    file = tmp_path / "somebody's film"
    file.write_bytes(GOOD)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for what in (
            f"open {file}",
            "open /etc/passwd",
            "open /proc/self/environ",
            f"connect {server.getsockname()[1]}",
        ):
            with pytest.raises(errors.CorruptImage):  # PermissionError, which ends the child
                badly.read(what.encode())
    badly.read(f"open {np.__file__}".encode())  # Python's own


def test_a_child_is_limited(decoder: Decoder) -> None:
    decoder.read(GOOD)
    limits = Path(f"/proc/{decoder._idle[0].pid}/limits").read_text()
    soft = {line[:25].strip(): line[25:].split()[:2] for line in limits.splitlines()}
    assert soft["Max address space"] == ["2147483648", "2147483648"]
    assert soft["Max file size"] == ["320000000"] * 2
    assert soft["Max core file size"] == soft["Max processes"] == ["0", "0"]
    status = Path(f"/proc/{decoder._idle[0].pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert "Threads:\t1" in status


def test_a_child_has_loaded_what_decoding_needs_and_nothing_of_the_web(decoder: Decoder) -> None:
    decoder.read(GOOD)
    maps = Path(f"/proc/{decoder._idle[0].pid}/maps").read_text()
    assert "_imaging" in maps
    assert "openjpeg" in maps
    for other in ("openvino", "pydantic", "orjson", "torch", "tensorflow"):
        assert other not in maps, other


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_children_end_with_the_app(how: signal.Signals) -> None:
    program = (
        "import signal, sys, time\n"
        "from predictors.decoder import Decoder\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # in the background a shell has it ignored
        "decoder = Decoder(1)\n"
        "decoder.read(bytes.fromhex(sys.stdin.readline()))\n"
        "print(decoder._template._process.pid, decoder._idle[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True, **pipes) as app:  # type: ignore[call-overload]
        app.stdin.write(GOOD.hex() + "\n")
        app.stdin.flush()
        pids = [int(pid) for pid in app.stdout.readline().split()]
        assert len(pids) == 2
        app.send_signal(how)
    wait_for(lambda: all(gone(pid) for pid in pids))


def test_elsewhere_films_are_decoded_in_process(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setattr(decoding, "SUPPORTED", False)
    monkeypatch.setattr(decoding, "_Template", lambda: pytest.fail("a process was started"))
    decoder = Decoder(2)
    decoder.start()
    assert "decoded in this process" in caplog.text
    assert same(decoder.read(GOOD), read_film(GOOD))
    decoder.close()


def test_the_service_answers_the_same_either_way(decoder: Decoder, service: Any) -> None:
    predictor = service["breast_cancer"]
    for data in (encoded(drawn_film(700, 500), "JPEG"), png(drawn_deep_film(300, 400), 16, 0)):
        monkey = pytest.MonkeyPatch()
        monkey.setattr(type(service.guard()), "admits", lambda self, score: True)
        here = predictor.examine(data)
        monkey.setattr(predictor, "_reader", decoder.read)
        there = predictor.examine(data)
        monkey.undo()
        assert there.probabilities == here.probabilities
        assert there.scope_score == here.scope_score
        assert np.array_equal(there.heat, here.heat)
