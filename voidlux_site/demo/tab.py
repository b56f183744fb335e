"""What a browser does by itself while nobody touches it: live events, and looks at the page."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime

import aiohttp
import httpx

from voidlux_site.demo.client import Json

LOOK_EVERY_S = 0.4
LOOK_WITHIN_S = 30.0
COME_AGAIN_S = 0.5
STOP_WITHIN_S = 5.0


class LiveTab(threading.Thread):
    """Follows the live events through one WebSocket after the other, as the dashboard does."""

    def __init__(self, url: str, cookies: Mapping[str, str]) -> None:
        """Take the address and the session's cookies."""
        super().__init__(name="live tab", daemon=True)
        self._url = url
        self._cookie = "; ".join(f"{name}={value}" for name, value in cookies.items())
        self._told: list[Json] = []
        self._loop = asyncio.new_event_loop()
        self._leaving = asyncio.Event()

    def run(self) -> None:
        """Follow until `stop`."""
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._follow())
        self._loop.close()

    def stop(self) -> None:
        """Close the tab."""
        with suppress(RuntimeError):  # it has ended already
            self._loop.call_soon_threadsafe(self._leaving.set)
        self.join(STOP_WITHIN_S)

    def facts(self) -> list[Json]:
        """Return each WebSocket: the node behind it, what came, and the code that closed it."""
        return [dict(each) for each in self._told]

    async def _follow(self) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            following = asyncio.ensure_future(self._come_again(session))
            leaving = asyncio.ensure_future(self._leaving.wait())
            await asyncio.wait((following, leaving), return_when=asyncio.FIRST_COMPLETED)
            following.cancel()
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _come_again(self, session: aiohttp.ClientSession) -> None:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                await self._read(session)
            await asyncio.sleep(COME_AGAIN_S)

    async def _read(self, session: aiohttp.ClientSession) -> None:
        last = self._told[-1] if self._told else None
        since = f"?since={last['seq']}&node={last['node_id']}" if last else ""
        headers = {"Origin": self._url, "Cookie": self._cookie}
        async with session.ws_connect(f"{self._url}/ws{since}", headers=headers) as socket:
            async for message in socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    self._note(json.loads(message.data))
            if self._told and self._told[-1] is not last:
                self._told[-1]["close_code"] = socket.close_code

    def _note(self, event: Json) -> None:
        if event.get("event") == "hello":
            self._told.append(
                {
                    "node_id": event["node_id"],
                    "opened_at": datetime.now(UTC).isoformat(),
                    "seq": event["seq"],
                    "events": 0,
                    "resync": False,
                    "close_code": None,
                }
            )
            return
        current = self._told[-1]
        current["events"] += 1
        current["seq"] = event.get("seq", current["seq"])
        current["resync"] = current["resync"] or event.get("event") == "resync"


class Looks(threading.Thread):
    """Asks for the page again and again, and measures how long nobody answered."""

    def __init__(self, url: str, cookies: Mapping[str, str]) -> None:
        """Take the address and the session's cookies."""
        super().__init__(name="looks at the page", daemon=True)
        self._http = httpx.Client(
            base_url=url,
            cookies=dict(cookies),
            limits=httpx.Limits(max_keepalive_connections=0),
            timeout=LOOK_WITHIN_S,
            trust_env=False,
        )
        self._leaving = threading.Event()
        self._good = 0
        self._bad: list[str] = []
        self._longest_s = 0.0

    def run(self) -> None:
        """Look until `stop`."""
        asked_s = time.monotonic()
        while not self._leaving.wait(LOOK_EVERY_S):
            answer = self._look()
            now_s = time.monotonic()
            if answer == "200":
                self._good += 1
                self._longest_s = max(self._longest_s, now_s - asked_s - LOOK_EVERY_S)
                asked_s = now_s
            else:
                self._bad.append(answer)

    def stop(self) -> None:
        """Look no more."""
        self._leaving.set()
        self.join(STOP_WITHIN_S)
        self._http.close()

    def facts(self) -> Json:
        """Return how many looks were answered by the page, how else, and the longest silence."""
        return {
            "answered": self._good,
            "otherwise": sorted(set(self._bad)),
            "refused": len(self._bad),
            "longest_s": round(self._longest_s, 1),
        }

    def _look(self) -> str:
        try:
            return str(self._http.get("/").status_code)
        except httpx.HTTPError as error:
            return type(error).__name__
