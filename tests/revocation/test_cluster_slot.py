"""ClusterSlot: which node is asked for the map of a cluster, when, and what is believed."""

from dataclasses import dataclass, field
from typing import Any, cast

import pytest
import redis

from revocation.redis.cluster import Address, ClusterSlot

KEY = "{denylist}:"

#: One answer of CLUSTER SLOTS: shares of first slot, last slot, primary and replicas.
Shares = list[list[Any]]


@dataclass
class Pool:
    """Remembers how its connections were ended."""

    ended: list[str] = field(default_factory=list)

    def disconnect_free_connections(self) -> None:
        self.ended.append("idle")

    def update_active_connections_for_reconnect(self) -> None:
        self.ended.append("in use")


class Node:
    """A node that answers what the test lets it."""

    def __init__(self, town: "Town", address: Address) -> None:
        self._town, self.address = town, address
        self.connection_pool = Pool()

    def execute_command(self, command: str) -> Shares:
        assert command == "CLUSTER SLOTS"
        self._town.asked.append(self.address)
        if self.address not in self._town.answers:
            raise redis.ConnectionError(f"nobody at {self.address}")
        return self._town.answers[self.address]


class Town:
    """Nodes by address, and a clock that stands still until it is set."""

    def __init__(self, *urls: Address, **answers: Shares) -> None:
        self.answers: dict[Address, Shares] = {(host, 1): shares for host, shares in answers.items()}
        self.asked: list[Address] = []
        self.now = 100.0
        self.slot = ClusterSlot(urls, timeout_seconds=0.1, client_at=self._client_at, clock=lambda: self.now)

    def _client_at(self, host: str, port: int) -> "redis.Redis":
        return cast("redis.Redis", Node(self, (host, port)))

    def holder(self) -> Address:
        return cast("Node", self.slot.client(KEY)).address


def held_by(primary: bytes, *others: bytes) -> Shares:
    return [[0, 16383, *([name, 1, b"id"] for name in (primary, *others))]]


A, B, C = ("a", 1), ("b", 1), ("c", 1)


def test_the_map_is_read_once_while_nothing_is_suspected() -> None:
    town = Town(A, B, a=held_by(b"b"))

    assert [town.holder() for _ in range(3)] == [B, B, B]
    assert town.asked == [A]


def test_what_is_suspected_is_looked_for_again_four_times_a_second_at_most() -> None:
    town = Town(A, a=held_by(b"b", b"a"), b=held_by(b"c"))
    town.holder()

    town.now += 0.2
    town.slot.suspect()
    assert town.holder() == B
    town.now += 0.1
    assert town.holder() == C
    town.now += 10
    assert town.holder() == C
    assert len(town.asked) == 2


def test_a_node_that_was_cut_off_is_not_believed_for_ever() -> None:
    town = Town(A, B, a=held_by(b"a"), b=held_by(b"b"))
    assert town.holder() == A

    town.now += 1
    town.slot.suspect()

    assert town.holder() == B


def test_nodes_that_do_not_answer_are_passed_over() -> None:
    assert Town(A, B, C, c=held_by(b"c")).holder() == C


def test_a_cluster_of_which_nobody_answers_any_more_is_not_searched_by_every_call() -> None:
    town = Town(A, B, a=held_by(b"a"))
    town.holder()
    town.answers.clear()
    town.now += 1
    town.slot.suspect()

    with pytest.raises(redis.ConnectionError, match="nobody at"):
        town.holder()
    town.slot.suspect()
    asked = len(town.asked)
    assert [town.holder() for _ in range(10)] == [A] * 10
    assert len(town.asked) == asked


def test_the_nodes_of_the_url_may_all_be_gone_one_day() -> None:
    town = Town(A, a=held_by(b"b", b"c"))
    town.holder()
    town.answers = {C: held_by(b"c")}

    town.now += 1
    town.slot.suspect()

    assert town.holder() == C


@pytest.mark.parametrize("unnamed", [b"", None])
def test_no_name_stands_for_the_node_that_was_asked(unnamed: bytes | None) -> None:
    assert Town(A, a=[[0, 16383, [unnamed, 1, b"id"]]]).holder() == A


@pytest.mark.parametrize("shares", [[], [[0, 10, [b"a", 1, b"id"]]], [[0, 16383, [b"?", 1, b"id"]]]])
def test_a_slot_that_nobody_holds_is_no_answer(shares: Shares) -> None:
    with pytest.raises(redis.ConnectionError, match="no node of the cluster holds"):
        Town(A, a=shares).holder()


def test_two_namespaces_may_be_on_two_nodes() -> None:
    town = Town(A, a=[[0, 8191, [b"b", 1, b"id"]], [8192, 16383, [b"c", 1, b"id"]]])

    holders = {cast("Node", town.slot.client(f"{{n{number}}}:")).address for number in range(20)}

    assert holders == {B, C}


def test_dropping_ends_the_connections_to_every_node_and_looks_again() -> None:
    town = Town(A, a=held_by(b"b"))
    pool = cast("Node", town.slot.client(KEY)).connection_pool
    town.now += 1
    town.asked.clear()

    town.slot.drop()

    assert pool.ended == ["idle", "in use"]
    town.holder()
    assert town.asked
