"""``python -m benchmarks NAME [--rounds N]`` measures one thing; without a name, all of them, one after the other."""

import argparse
import signal
import sys
from importlib import import_module

from benchmarks.machine import describe

NAMES = ("forward", "file", "doors", "callers", "models", "wake", "memory", "screening", "reduced")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Second Look and its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--rounds", type=int, help="fewer are faster, more are surer")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    # Told to end, it ends the services that it started, as it does when interrupted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    describe()
    for name in chosen.names or NAMES:
        print(f"\n# {name}")
        import_module(f"benchmarks.{name}").run(chosen.rounds)


if __name__ == "__main__":
    main()
