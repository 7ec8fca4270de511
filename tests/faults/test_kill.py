"""The process is killed in the middle of a film, and started again: its callers get one answer, and the right one."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import second_look

from tests.clients.callers import timeless
from tests.faults.test_leaving import HELD
from tests.running import free_port, running_space

PACE = second_look.Pace(cap=1)


def test_a_client_gets_its_answer_from_the_next_process(tmp_path: Path, drawn: dict[str, Path]) -> None:
    """On the same port and with the same folders."""
    port, film = free_port(), drawn["chest"]
    hold, held = tmp_path / "hold", tmp_path / "held"
    prelude = HELD.format(folder=str(tmp_path))
    with (
        ThreadPoolExecutor(1) as pool,
        second_look.SecondLook(f"http://127.0.0.1:{port}", deadline=60, pace=PACE) as client,
    ):
        with running_space(tmp_path, prelude, port) as space:
            while not httpx.get(f"{space.url}/ready").is_success:  # the warm-up film is over
                time.sleep(0.05)
            hold.touch()
            call = pool.submit(client.pneumonia, film)
            while not held.exists():
                assert not call.done(), call.result()
                time.sleep(0.02)
            os.kill(space.pid, signal.SIGKILL)
            assert space.ended(within=10) == -signal.SIGKILL
        hold.unlink()
        with running_space(tmp_path, prelude, port) as space:
            answer = call.result(timeout=60)
            direct = httpx.post(f"{space.url}/api/pneumonia/predict", files={"file": film.read_bytes()}, timeout=30)
            assert timeless(answer) == timeless(direct.json())
            counted = httpx.get(f"{space.url}/metrics").text
    line = 'second_look_predictions_total{door="gradio",model="pneumonia",outcome="answered"}'
    assert f"{line} 1.0" in counted
