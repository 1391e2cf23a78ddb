"""Runs a stage that is ended at its Nth file operation: `python killer.py N SIGNAL MODULE ARGUMENTS…`.

Counted are the operations by which a stage can leave something half done: opening for writing, renaming, removing,
making and removing folders, syncing. N is 0 where only the number of operations is wanted, which goes to stderr.
"""

import os
import runpy
import signal
import sys

EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.chmod", "shutil.rmtree"}


class Counter:
    """An audit hook that ends the process."""

    def __init__(self, end: int, number: int):
        self.done, self._end, self._number, self._pid = 0, end, number, os.getpid()

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR) or str(path).startswith("/dev/") or "__pycache__" in str(path):
                return
        elif event not in EVENTS:
            return
        if os.getpid() != self._pid:
            return
        self.done += 1
        if self.done == self._end:
            os.kill(self._pid, self._number)


def main() -> None:
    """Run the stage."""
    end, number, module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    counter = Counter(int(end), getattr(signal, number))
    sys.dont_write_bytecode = True
    sys.addaudithook(counter)
    try:
        runpy.run_module(module, run_name="__main__")
    finally:
        if int(end) == 0:
            print(f"operations: {counter.done}", file=sys.stderr)


if __name__ == "__main__":
    main()
