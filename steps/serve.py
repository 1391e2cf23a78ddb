"""Serve a trained experiment: OpenAI's transcriptions API, pronounce, and the page to try it."""

import argparse
import contextlib
import copy
import logging
import socket
import sys
from pathlib import Path
from typing import Any

from steps.common.errors import UserError, run

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m steps.serve", description=__doc__)
    parser.add_argument("exp_dir", type=Path, help="an experiment's directory, such as exp/hsk, or an exported one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at; 127.0.0.1 is for this machine alone")
    parser.add_argument("--port", type=int, default=8000, help="0 to 65535; 0 takes one that is free")
    args = parser.parse_args()
    if not 0 <= args.port <= 65535:
        parser.error("--port must be from 0 to 65535")
    try:
        import multipart  # noqa: F401
        import uvicorn  # noqa: F401

        from steps.deploy.limits import Limits
        from steps.deploy.server import make_app
    except ImportError as error:
        raise UserError(f"{error.name} is not installed; run: ./path.sh pip install fastapi uvicorn python-multipart"
                        ) from None
    check_model(args.exp_dir)
    address = listen(args.host, args.port)
    if args.host not in LOOPBACK:
        print(f"warning: everybody who can reach {args.host}:{args.port} can use this server; it has no passwords",
              file=sys.stderr)
    app = make_app(args.exp_dir, Limits())
    if args.host in LOOPBACK:
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*LOOPBACK, "[::1]"])  # against DNS rebinding
    host = f"[{args.host}]" if ":" in args.host else args.host
    print(f"http://{host}:{address.getsockname()[1]} (its API: /docs); Ctrl-C ends it", flush=True)
    serve(app, address)


def serve(app: Any, address: socket.socket) -> None:
    """Answer requests until Ctrl-C or SIGTERM. Raises UserError if the model cannot be loaded."""
    import uvicorn

    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of every malformed request
    logging.getLogger("uvicorn.error").addFilter(lambda record: not hasattr(app.state, "wrong"))  # it has a traceback
    server = uvicorn.Server(uvicorn.Config(app, log_config=log_config(), log_level=None, timeout_keep_alive=10,
                                           timeout_graceful_shutdown=10))
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[address])
    except SystemExit:
        if hasattr(app.state, "wrong"):
            raise app.state.wrong from None
        raise


def log_config() -> dict[str, Any]:
    """uvicorn's logging: a line with its time for each request to stdout, warnings to stderr."""
    from uvicorn.config import LOGGING_CONFIG

    config = copy.deepcopy(LOGGING_CONFIG)
    config["formatters"]["access"]["fmt"] = '%(asctime)s %(client_addr)s "%(request_line)s" %(status_code)s'
    config["loggers"]["uvicorn.error"]["level"] = "WARNING"
    return config


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises UserError for an address that this machine cannot listen at."""
    try:
        if host == "*":  # which some resolvers take for this machine alone
            raise OSError("it is not an address")
        kind, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address, family=kind, dualstack_ipv6=False)
    except (OSError, UnicodeError) as error:
        raise UserError(f"--host {host!r} --port {port}: cannot listen there ({error}); for this machine alone "
                        "--host 127.0.0.1, for all that can reach it --host 0.0.0.0; another --port if it is taken"
                        ) from None


def check_model(exp_dir: Path) -> None:
    """Raise UserError if there is neither a trained experiment nor an exported one."""
    if not any((exp_dir / name).exists() for name in ("final.ckpt", "export.json", "export/export.json")):
        raise UserError(f"{exp_dir}: holds no trained experiment; train it first, or name another directory, such as "
                        "exp/mini")


if __name__ == "__main__":
    run(main)
