"""The peer of `api.py`: a bare aiohttp server whose only answer is its standard input's bytes. Prints its port."""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web


async def main(body: bytes) -> None:
    """Serve until the process is ended."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.stdin.buffer.read()))
