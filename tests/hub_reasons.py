"""Why the hub is not reached: what can be wrong here and on the way, for real."""

import os
import socket
import ssl
import subprocess
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from hub_server import ROOT, Hub

REASONS = {  # what is in the environment, and a part of why the hub is not reached
    "all is well": ({}, "None"),
    "off line": ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    "no scheme": ({"HF_ENDPOINT": "127.0.0.1:{port}"}, "does not begin with https"),
    "no package": ({"ALL_PROXY": "socks5://127.0.0.1:9"}, "pip install socksio"),
    "no proxy": ({"ALL_PROXY": "hippo://127.0.0.1:9"}, "no address of a proxy"),
    "proxy refuses": (
        {
            "HF_ENDPOINT": "https://hub.invalid",
            "HTTPS_PROXY": "http://127.0.0.1:{port}",
        },
        "the proxy refuses",
    ),
    "no https": ({"HF_ENDPOINT": "https://127.0.0.1:{port}"}, "cannot be encrypted"),
    "certificate": ({"HF_ENDPOINT": "https://127.0.0.1:{secret}"}, "certificate"),
    "no such name": ({"HF_ENDPOINT": "http://hub.invalid"}, "name cannot be found"),
    "nobody listens": ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "connection is refused"),
    "silence": ({"HF_ENDPOINT": "http://127.0.0.1:{silent}"}, "no answer in time"),
    "quoted token": ({"HF_TOKEN": "“hf_abc”"}, "None"),
    "token in two": ({"HF_TOKEN": "hf_abc hf_abc"}, "None"),
    "token and newline": ({"HF_TOKEN": "hf_abc\n"}, "None"),
}


def reasons(python: str | Path, folder: Path, **environment: str) -> dict[str, str]:
    """Why the hub is not reached, as it is said, in each case of ``REASONS``."""
    key = folder / "key.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*make.split(), "-keyout", key, "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", key)
    silent = socket.create_server(("127.0.0.1", 0))  # and nobody accepts
    server, secret = (ThreadingHTTPServer(("127.0.0.1", 0), Hub) for _ in range(2))
    secret.socket = context.wrap_socket(secret.socket, server_side=True)
    for one in (server, secret):
        threading.Thread(target=one.serve_forever, daemon=True).start()
    ports = {"port": server.server_port, "secret": secret.server_port}
    ports["silent"] = silent.getsockname()[1]
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    clean |= environment | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "0"}
    clean |= {"HF_HOME": str(folder)}
    usual = {"HF_ENDPOINT": "http://127.0.0.1:{port}"}
    code = (
        "from helpers.hub_words import ask_hub; hub = ask_hub(timeout=1); "
        "print(hub.token_problem, hub.problem, sep='\\n')"
    )
    runs = {
        case: subprocess.Popen(
            [python, "-c", code],
            env=clean | {k: v.format(**ports) for k, v in (usual | own).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for case, (own, _) in REASONS.items()
    }
    heard = {case: run.communicate()[0].strip() for case, run in runs.items()}
    for one in (server, secret):
        one.shutdown()
    return heard
