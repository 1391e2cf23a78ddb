"""Git's hash of a folder: the commit that it came from vouches for every byte of it."""

import hashlib
from pathlib import Path

from steps.datadir.download import COMPLETE


def tree_hash(folder: Path) -> str:
    """The SHA-1 that git gives a tree of these files, as `git rev-parse <commit>^{tree}` prints it."""
    entries = []
    for path in folder.iterdir():
        if path.name in (COMPLETE, ".git"):
            continue
        if path.is_dir():
            # git sorts a folder as if its name ended in a slash
            entries.append((path.name.encode() + b"/", b"40000", bytes.fromhex(tree_hash(path))))
        else:
            mode = b"100755" if path.stat().st_mode & 0o100 else b"100644"
            entries.append((path.name.encode(), mode, _object("blob", path.read_bytes())))
    listing = b"".join(mode + b" " + name.removesuffix(b"/") + b"\0" + digest for name, mode, digest in sorted(entries))
    return _object("tree", listing).hex()


def _object(kind: str, content: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content, usedforsecurity=False).digest()
