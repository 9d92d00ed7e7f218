"""llama.cpp's own server, from the wheel `xllamacpp`: `python benchmarks/llama_server.py MODEL.gguf --port 8080`.

For `real_model.py --server`; install xllamacpp into an environment of its own and call that one's Python. One slot and
one thread, as a robot that has other things to do would run it. It ends with the process."""

from __future__ import annotations

import argparse
import signal


def main() -> None:
    """Serves the model until a signal ends it."""
    import xllamacpp

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--context", type=int, default=4096, help="tokens")
    options = parser.parse_args()

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.port = options.port
    params.n_ctx = options.context
    params.n_parallel = 1
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.warmup = False

    server = xllamacpp.Server(params)
    print(f"http://127.0.0.1:{options.port}/v1", server, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
