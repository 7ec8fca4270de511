"""A service without doors, in a process of its own: loads the models that its weights folder holds, and asks them.

``python -m benchmarks.house WEIGHTS FILMS TIMES`` says ``ready`` when every one of them has answered its warm-up film,
then asks each for its film (``FILMS/<model>.jpg``) in turn, so many times, and says how many seconds each answer took.
It stays until its standard input ends. Nothing is imported that a service does not need.
"""

import json
import logging
import os
import sys
import time
from pathlib import Path

from predictors.decoder import Decoder
from predictors.registry import Service


def main(weights: Path, films: Path, times: int) -> None:
    """Load, say so, ask, and say how long it took."""
    logging.disable(logging.ERROR)  # of the models whose folders are not there
    decoder = Decoder(os.cpu_count() or 1)
    service = Service.open(weights, reader=decoder.read)
    here = [predictor for predictor in service.predictors if predictor.folder.is_dir()]
    decoder.start()
    service.start()
    names = ["scope", *(predictor.name for predictor in here)]
    while "loading" in {service.statuses()[name] for name in names}:
        time.sleep(0.002)
    print("ready", flush=True)
    sent = {predictor.name: (films / f"{predictor.name}.jpg").read_bytes() for predictor in here}
    seconds: dict[str, list[float]] = {predictor.name: [] for predictor in here}
    for _ in range(times):
        for predictor in here:
            began = time.perf_counter()
            predictor.predict(sent[predictor.name], "film.jpg")
            seconds[predictor.name].append(time.perf_counter() - began)
    print(json.dumps(seconds), flush=True)
    sys.stdin.read()
    service.close()
    decoder.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
