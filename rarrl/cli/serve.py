"""`rarrl serve policy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rarrl.cli.common import guarded


@guarded()
def serve_policy(
    policy: Annotated[Path | None, typer.Option(help="A policy folder; default: the one of the package.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; another than loopback needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token that clients send (`Authorization: Api-Key TOKEN`).")
    ] = None,
) -> None:
    """Serve a policy to openpi's clients (websocket, msgpack) until Ctrl-C."""
    from rarrl.policy import server
    from rarrl.policy.serve import MODELS, LlamaPolicy

    token = server.read_token(token_file) if token_file is not None else None
    folder = policy or MODELS / "policy_metaworld"
    with LlamaPolicy(folder) as served:
        counts = server.run(
            served, host, port, token, lambda chosen: typer.echo(f"{folder.name}: ws://{host}:{chosen} (Ctrl-C ends)")
        )
    typer.echo("served: " + (", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "nobody"))
