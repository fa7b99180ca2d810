"""Four tabs of a browser share a session, on a network that delays and loses; then somebody comes with an old token."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.service import Service, serving

GRACE_SECONDS = 10

#: A tab asks again so soon, whatever has become of its earlier questions; of these it waits for so many at most.
EVERY_SECONDS = 0.05
AT_ONCE = 4

#: An answer is late by up to so much, and may be lost altogether.
LATE_SECONDS = 0.5
LOST = 0.2


class Browser:
    """What the tabs keep in common, and what came of their questions."""

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.random = random.Random(seed)
        login = service.login()
        self.first: str = login["refresh_token"]
        self.access: str = login["access_token"]
        self.kept = self.first
        self.own = [self.first] * 4
        self.lock = threading.Lock()
        #: The highest number of a token that anybody was given so far.
        self.highest = 1
        self.statuses: dict[int, int] = {}
        self.went_back: list[str] = []

    def live(self, seconds: float) -> None:
        """Let every tab refresh for so long."""
        ends = time.monotonic() + seconds
        with ThreadPoolExecutor(4 * AT_ONCE + 4) as pool:
            for done in [pool.submit(self._tab, pool, tab, ends) for tab in range(4)]:
                done.result(seconds + 120)

    def _tab(self, pool: ThreadPoolExecutor, tab: int, ends: float) -> None:
        asking = threading.Semaphore(AT_ONCE)
        questions = []
        while time.monotonic() < ends:
            asking.acquire()
            with self.lock:
                token = self.kept if self.random.random() < 0.5 else self.own[tab]
                lost, late = self.random.random() < LOST, self.random.random() * LATE_SECONDS
            questions.append(pool.submit(self._ask, tab, token, lost=lost, late_seconds=late))
            questions[-1].add_done_callback(lambda _done: asking.release())
            time.sleep(EVERY_SECONDS)
        for question in questions:
            question.result(120)

    def _ask(self, tab: int, token: str, *, lost: bool, late_seconds: float) -> None:
        with self.lock:
            before = self.highest
        answer = self.service.post("/auth/refresh", json={"refresh_token": token}, timeout=60)
        with self.lock:
            self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1
            if answer.status_code != 200:
                return
            given: str = answer.json()["refresh_token"]
            number = int(given.split(".")[1])
            if number < before:
                self.went_back.append(f"{token} gave {given} after {before} was given")
            self.highest = max(self.highest, number)
        if lost:
            return
        time.sleep(late_seconds)
        with self.lock:
            # The answer that comes last wins, and it may be an older one.
            self.kept = self.own[tab] = given
            self.access = answer.json()["access_token"]


def tell(service: Service, *, seconds: float, seed: int) -> Browser:
    """The whole story, of a service whose grace is GRACE_SECONDS."""
    browser = Browser(service, seed)

    browser.live(seconds)

    # 503 is an answer that a busy machine was late with: the tab asks again, as it does where an answer is lost.
    assert browser.statuses.keys() <= {200, 503}, browser.statuses
    assert browser.statuses[200] > 10 * seconds / 2
    assert browser.went_back == []
    current = service.post("/auth/refresh", json={"refresh_token": browser.kept}).json()
    assert int(current["refresh_token"].split(".")[1]) >= browser.highest
    assert service.get("/api/me", token=current["access_token"]).status_code == 200

    # Presenting it earlier gives it no more grace.
    deadline = time.monotonic() + 60
    while service.post("/auth/refresh", json={"refresh_token": browser.first}).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert service.post("/auth/refresh", json={"refresh_token": current["refresh_token"]}).status_code == 401
    for token in (browser.access, current["access_token"]):
        assert service.get("/api/me", token=token).status_code == 401
    return browser


def test_four_tabs_keep_their_session_and_an_old_token_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path, APP_REFRESH_GRACE=str(GRACE_SECONDS), REVOCATION_MAX_STALENESS="0") as service:
        tell(service, seconds=3, seed=1)
