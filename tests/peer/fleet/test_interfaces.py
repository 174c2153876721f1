"""Which interfaces carry mDNS, and what is told of them."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from cortex.peer.fleet.interfaces import (
    MAX_INTERFACES,
    Choice,
    Interface,
    addresses_to_dial,
    addresses_to_tell,
    choose,
    fleeting_ipv6,
    multicast_on,
    read_interfaces,
    watch_interfaces,
)

LOOPBACK = Interface("lo", 1, ("127.0.0.1",), ("::1",), has_multicast=False)
ETHERNET = Interface("eth0", 2, ("192.168.1.20",), ("fd00::2", "fe80::1%2"))


def reason_of(choice: Choice, name: str) -> str:
    return next(skipped.reason for skipped in choice.skipped if skipped.name == name)


def test_no_interface_takes_another_ones_place_among_the_few_addresses_that_are_told() -> None:
    private = tuple(f"2001:db8::{number}" for number in range(1, 5))
    lan = Interface("eth0", 2, ("192.168.1.20",), ("fe80::1%2", "fd00::2", *private))
    second = Interface("eth1", 3, ("10.0.0.20", "10.0.0.21"))
    tunnel = Interface("wg0", 4, ("100.64.0.9",), ("fd11::9",))

    told = addresses_to_dial([LOOPBACK, lan, tunnel, second], "::")

    assert told[:5] == ("192.168.1.20", "10.0.0.20", "100.64.0.9", "fd00::2", "fd11::9")
    assert sorted(told[5:]) == sorted(("10.0.0.21", *private))


def test_addresses_of_a_day_are_known_from_those_that_stay(tmp_path: Path) -> None:
    rows = (
        "20010db8000000000000000000000001 02 40 00 01     eth0",
        "20010db8000000000000000000000002 02 40 00 00     eth0",
        "20010db8000000000000000000000003 02 40 00 20     eth0",
        "00000000000000000000000000000001 01 80 10 80       lo",
    )
    (tmp_path / "if_inet6").write_text("\n".join(rows) + "\n")

    assert fleeting_ipv6(tmp_path / "if_inet6") == {"2001:db8::1", "2001:db8::3"}
    assert fleeting_ipv6(tmp_path / "none") == frozenset()


def test_loopback_comes_first_so_that_peers_of_one_machine_meet() -> None:
    assert choose([ETHERNET, LOOPBACK], None).names == ("lo", "eth0")


@pytest.mark.parametrize(
    "name",
    [
        *("docker0", "br-1a2b", "veth9f", "virbr0", "cni0", "flannel.1"),
        *("podman0", "vboxnet0", "incusbr0", "vnet3", "nerdctl0", "cilium_host", "kube-ipvs0"),
        *("tun0", "wg0", "tailscale0", "utun3"),
    ],
)
def test_bridges_and_tunnels_are_passed_over(name: str) -> None:
    choice = choose([Interface(name, 9, ("10.0.0.1",)), LOOPBACK], None)

    assert choice.names == ("lo",)
    assert reason_of(choice, name)


@pytest.mark.parametrize(
    ("interface", "word"),
    [
        (Interface("eth1", ipv4=("10.0.0.1",), is_up=False), "down"),
        (Interface("eth1"), "address"),
        (Interface("eth1", ipv4=("10.0.0.1",), has_multicast=False), "multicast"),
        (Interface("ppp0", ipv4=("10.0.0.1",), is_point_to_point=True), "tunnel"),
    ],
)
def test_what_cannot_carry_multicast_is_passed_over(interface: Interface, word: str) -> None:
    assert word in reason_of(choose([interface, LOOPBACK], None), interface.name)


def test_no_more_than_so_many_are_used() -> None:
    many = [Interface(f"eth{n}", n, (f"10.0.{n}.1",)) for n in range(20)]

    choice = choose([*many, LOOPBACK], None)

    assert choice.names == ("lo", *(f"eth{n}" for n in range(MAX_INTERFACES - 1)))
    assert len(choice.skipped) == 21 - MAX_INTERFACES


def test_a_list_by_hand_overrides_what_looks_usable() -> None:
    docker = Interface("docker0", 7, ("172.17.0.1",))

    choice = choose([LOOPBACK, ETHERNET, docker], ["docker0", "192.168.1.20", "eth7"])

    assert choice.names == ("eth0", "docker0")
    assert reason_of(choice, "eth7") == "is not there"


def test_a_port_bound_to_one_address_is_told_on_its_interface_and_on_this_machine() -> None:
    wifi = Interface("wlan0", 3, ("10.1.1.1",))

    assert choose([LOOPBACK, ETHERNET, wifi], None, "10.1.1.1").names == ("lo", "wlan0")
    assert choose([LOOPBACK, ETHERNET, wifi], None, "127.0.0.1").names == ("lo",)


def test_the_loopback_address_is_told_only_where_there_is_no_other() -> None:
    both = choose([LOOPBACK, ETHERNET], None)

    assert addresses_to_tell(both, "0.0.0.0") == ("192.168.1.20",)
    assert addresses_to_tell(both, "::") == ("192.168.1.20", "fd00::2")
    assert addresses_to_tell(both, "127.0.0.1") == ("127.0.0.1",)
    six = choose([LOOPBACK, Interface("eth6", 6, ipv6=("fe80::6%6",))], None)
    assert addresses_to_tell(six, "::") == ("fe80::6",)
    assert addresses_to_tell(choose([LOOPBACK], None), "0.0.0.0") == ("127.0.0.1",)
    assert addresses_to_tell(choose([LOOPBACK], None), "::") == ("127.0.0.1",)


def test_an_interface_with_ipv6_alone_is_used_by_its_number() -> None:
    six = Interface("eth6", 6, ipv6=("fe80::6%6",))

    assert multicast_on(choose([LOOPBACK, six], None)) == ["127.0.0.1", 6]


async def test_a_change_is_told_once_when_it_was_seen_twice_running() -> None:
    passing = Interface("wlan0", 3, ("10.1.1.1",))
    both = (LOOPBACK, ETHERNET)
    seen = iter([(LOOPBACK,), (LOOPBACK, passing), both, both, both])
    told: asyncio.Queue[tuple[Interface, ...]] = asyncio.Queue()

    watching = asyncio.create_task(
        watch_interfaces(lambda: next(seen, (LOOPBACK,)), (LOOPBACK,), told.put_nowait, poll_s=0)
    )
    async with asyncio.timeout(5):
        assert [await told.get() for _ in range(2)] == [both, (LOOPBACK,)]
    watching.cancel()


async def test_interfaces_are_watched_on_after_the_system_has_not_told_of_them() -> None:
    readings = iter([OSError(errno.EMFILE, "too many open files"), (ETHERNET,), (ETHERNET,)])
    told: asyncio.Queue[tuple[Interface, ...]] = asyncio.Queue()

    def read() -> tuple[Interface, ...]:
        reading = next(readings, (ETHERNET,))
        if isinstance(reading, OSError):
            raise reading
        return reading

    watching = asyncio.create_task(watch_interfaces(read, (LOOPBACK,), told.put_nowait, poll_s=0))
    async with asyncio.timeout(5):
        assert await told.get() == (ETHERNET,)
    watching.cancel()


def test_this_machine_has_a_loopback_interface() -> None:
    loopback = next(each for each in read_interfaces() if each.is_loopback)

    assert loopback.is_up
    assert "127.0.0.1" in loopback.ipv4
