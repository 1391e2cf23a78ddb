"""`python -m killer END SIGNAL MODULE WORDS…`: runs a module that gets a signal at its file operation END, never at 0.

Counted are the operations by which a stage can leave something half done: opening for writing, renaming, removing,
making and removing folders, linking, truncating. How many there were is told in the end.
"""

import os
import runpy
import signal
import sys

EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "os.chmod", "shutil.rmtree"}


class Counter:
    """An audit hook that sends this process a signal at its operation `end`, never where that is 0."""

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
    end, name, *sys.argv = sys.argv[1:]
    os.environ["YINJIE_NJ"] = "1"
    sys.dont_write_bytecode = True
    counter = Counter(int(end), getattr(signal, name))
    sys.addaudithook(counter)
    try:
        runpy.run_module(sys.argv[0], run_name="__main__")
    finally:
        print(f"file operations: {counter.done}")


if __name__ == "__main__":
    main()
