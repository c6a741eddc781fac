"""Sentinel's processes in the demo: what `sentinel up` starts, and `sentinel bridge --scrape`."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from schemas.errors import Unavailable
from streams.child import Child
from streams.demo.site import Site
from streams.up import Group, Up

EVERY = "0.25s"  # between scrapes: enough samples to learn from in less than a minute
READY_S = 240.0  # a busy machine; about 10 s on a quiet one
STOP_S = 1.0  # nothing that they hold is of use any more
LOOK_S = 0.05


class Stages:
    """Runs them from `with` to the end of its block; `targets` are URLs to scrape by service."""

    def __init__(
        self,
        site: Site,
        targets: Mapping[str, str],
        planned: Sequence[Group],
        *,
        say: Callable[[str], None],
    ) -> None:
        self._site, self._targets = site, targets
        self._up = Up(site.environment, planned, site.logs, folder=site.folder, say=say)
        self._bridge: Child | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open.callback(self._up.stop, STOP_S)
            self._up.start()
            self._up.ready(READY_S)
            # Not before: so many programs that start at once make the shop slow for real
            self._bridge = self._scraping()
            self._open.callback(self._bridge.stop, STOP_S)
            while not self._bridge.wrote("ready: "):
                self.check()
                time.sleep(LOOK_S)
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def check(self) -> None:
        """Raises Unavailable when nothing is scraped any more; `up` looks after the others."""
        if self._bridge is not None and not self._bridge.running:
            raise Unavailable(f"the scraper ended: {self._bridge.log_tail(1)}")

    def _scraping(self) -> Child:
        named = [f"{service}={url}" for service, url in self._targets.items()]
        wanted = [part for target in named for part in ("--scrape", target)]
        command = ["bridge", "--port", "0", *wanted, "--interval", EVERY]
        # No variable of ours: one that points at a real cluster must not reach a demo
        own = {k: v for k, v in os.environ.items() if not k.startswith("SENTINEL_")}
        return Child(
            [sys.executable, "-P", "-m", "streams.cli", *command],
            folder=self._site.folder,  # nor a .env of where we happen to be
            log=self._site.logs / "bridge.log",
            environment=own | self._site.environment,
        )
