"""Where to join, the addresses that are kept, and the one that others are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from cortex.peer.addresses import is_loopback
from cortex.peer.errors import CannotListen
from cortex.peer.fleet import seeds
from cortex.peer.fleet.book import MAX_ADDRESSES, Book
from cortex.peer.fleet.interfaces import Interface, addresses_to_dial
from cortex.peer.fleet.notices import KEPT_S, MAX_HINTS, MAX_NOTICES, Notices
from cortex.peer.fleet.own_address import follow_addresses, improved, own_addresses
from cortex.peer.fleet.seeds import (
    InvalidAddress,
    Seed,
    Seeking,
    follow,
    look_up,
    open_session,
    parse_seed,
)
from cortex.peer.fleet.udp import bind_fleet
from cortex.peer.gossip.records import Address


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("beast", Seed("beast", 13132)),
        (" beast.internal:4000 ", Seed("beast.internal", 4000)),
        ("10.0.0.1:4000", Seed("10.0.0.1", 4000)),
        ("[fd12::1]:4000", Seed("fd12::1", 4000)),
        ("[fd12::1]", Seed("fd12::1", 13132)),
        ("fd12::1", Seed("fd12::1", 13132)),
        ("http://beast:13131", Seed("beast", 13131, "http://beast:13131")),
        ("https://beast/", Seed("beast", 443, "https://beast")),
    ],
)
def test_a_place_to_join_is_read(text: str, seed: Seed):
    assert parse_seed(text) == seed


@pytest.mark.parametrize(
    "text", ["", ":13132", "beast:0", "beast:port", "beast:70000", "a b", "ftp://x", "x/y", "u@h:1"]
)
def test_what_is_no_place_to_join_is_refused(text: str):
    with pytest.raises(InvalidAddress, match="no address to join"):
        parse_seed(text)


@pytest.fixture
async def session() -> AsyncGenerator[aiohttp.ClientSession]:
    async with open_session() as opened:
        yield opened


async def found_by(seed: Seed, session: aiohttp.ClientSession) -> Address:
    found: asyncio.Queue[tuple[Address, ...]] = asyncio.Queue()
    following = asyncio.create_task(follow(seed, session, found.put_nowait))
    try:
        async with asyncio.timeout(10):
            return (await found.get())[0]
    finally:
        following.cancel()


async def test_a_name_is_followed_to_its_addresses(session: aiohttp.ClientSession):
    address = await found_by(parse_seed("localhost:4000"), session)
    assert address.port == 4000 and address.ip in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    "no_answer", ['{"fleet_port": "none"}', '{"a":' + 60_000 * "["], ids=["strange", "deep"]
)
async def test_an_endpoint_is_asked_for_the_port_of_its_fleet_until_it_tells(
    session: aiohttp.ClientSession, no_answer: str
):
    answers = ['{"status": "ok", "fleet_port": 4444}', no_answer]

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response(text=answers.pop())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    assert await found_by(parse_seed(f"http://localhost:{port}"), session) == Address(
        "127.0.0.1", 4444
    )
    await runner.cleanup()
    assert not answers


async def test_what_a_name_means_is_tried_more_often_than_it_is_looked_up(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
):
    looked_up: list[str] = []
    meant = (Address("10.0.0.1", 4000),)
    found: asyncio.Queue[tuple[Address, ...]] = asyncio.Queue()

    async def note(host: str, _port: int) -> tuple[Address, ...]:
        looked_up.append(host)
        return meant

    monkeypatch.setattr(seeds, "look_up", note)
    monkeypatch.setattr(seeds, "LOOK_UP_EVERY_S", 0.06)
    following = asyncio.create_task(follow(parse_seed("borea"), session, found.put_nowait))
    async with asyncio.timeout(10):
        tried = [await found.get() for _ in range(18)]
    following.cancel()
    assert tried == 18 * [meant]
    assert len(looked_up) == 3


async def test_a_name_that_nobody_knows_is_an_error_of_the_system():
    with pytest.raises(OSError):
        await look_up("a name with blanks", 1)


NOW_S = 1_800_000_000


def test_the_book_comes_back_and_forgets_the_longest_unseen(tmp_path: Path):
    path = tmp_path / "peers.json"
    assert Book(path).addresses == ()
    old = tuple(Address("10.0.0.1", port) for port in range(1, MAX_ADDRESSES + 1))
    met = (Address("10.0.0.2", 1), old[0])
    Book(path).add(old, NOW_S)
    book = Book(path)
    assert book.addresses == old
    book.add(met, NOW_S)
    assert Book(path).addresses == book.addresses == (*old[2:], *met)


def test_where_nobody_was_met_for_a_month_is_forgotten_once_others_are_met(tmp_path: Path):
    path = tmp_path / "peers.json"
    left, home, new = (Address("10.0.0.1", port) for port in (1, 2, 3))
    Book(path).add((left, home), NOW_S)
    for day in range(1, 31):
        Book(path).add((home,), NOW_S + day * 86_400)
    assert Book(path).addresses == (left, home)
    long_after_s = NOW_S + 31 * 86_400
    book = Book(path)
    book.add((), long_after_s)
    assert Book(path).addresses == book.addresses == (left, home), "away from all of them"
    book.add((new,), long_after_s)
    assert Book(path).addresses == book.addresses == (home, new)


def test_what_is_met_all_the_time_is_written_once_a_day(tmp_path: Path):
    path = tmp_path / "peers.json"
    book = Book(path)
    home = Address("10.0.0.1", 1)
    written: set[str] = set()
    for minute in range(3 * 24 * 60):
        book.add((home,), NOW_S + 60 * minute)
        written.add(path.read_text())
    assert len(written) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"addresses": [["beast", 1, 1]]}',
        '{"addresses": [["10.0.0.1", 0, 1]]}',
        "{" * 9999,
    ],
)
def test_a_book_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str):
    path = tmp_path / "peers.json"
    path.write_text(text)
    assert Book(path).addresses == ()


async def test_the_own_address_is_what_was_said_else_what_is_listened_on():
    with closing(bind_fleet("127.0.0.1", 0)) as sockets:
        port = sockets.port
        assert await own_addresses(None, sockets) == (Address("127.0.0.1", port),)
        assert await own_addresses("10.1.2.3:99", sockets) == (Address("10.1.2.3", 99),)
        assert await own_addresses("10.1.2.3", sockets) == (Address("10.1.2.3", port),)
        with pytest.raises(InvalidAddress):
            await own_addresses("a b", sockets)
        with pytest.raises(CannotListen, match="nobody knows an address"):
            await own_addresses("a..b", sockets)


async def test_who_listens_everywhere_tells_the_addresses_of_all_interfaces_that_are_of_use():
    wires = (
        Interface("lo", ipv4=("127.0.0.1",), ipv6=("::1",)),
        Interface("tailscale0", ipv4=("100.64.0.9",), has_multicast=False),
        Interface("eth1", ipv4=("10.9.9.9",), ipv6=("fe80::1%3", "2001:db8::9")),
        Interface("eth2", ipv4=("10.8.8.8",), is_up=False),
        Interface("wlan0", ipv4=("169.254.1.1", "10.7.7.7")),
        Interface("docker0", ipv4=("172.17.0.1",)),
    )
    with closing(bind_fleet("0.0.0.0", 0)) as sockets:
        assert addresses_to_dial(wires, "0.0.0.0") == ("10.9.9.9", "10.7.7.7", "100.64.0.9")
        assert addresses_to_dial(wires, "::")[-1] == "2001:db8::9"
        addresses = await own_addresses(None, sockets, lambda: wires)
        assert {Address(ip, sockets.port) for ip in ("10.9.9.9", "10.7.7.7")} < {*addresses}
        assert len(addresses) <= 4 and not any(is_loopback(each.ip) for each in addresses)


def test_an_address_of_this_machine_alone_gives_way_to_one_that_others_see():
    own, seen = Address("127.0.0.1", 5), Address("10.0.0.7", 5)
    assert improved(own, seen) == seen
    assert improved(own, Address("10.0.0.7", 6)) is None  # a NAT's port
    assert improved(own, own) is None
    assert improved(seen, Address("10.0.0.8", 5)) is None


def test_notices_are_kept_once_for_a_while_and_are_few():
    notices = Notices()
    notices.add(0.0, "first\x1b[31m\n")
    notices.add(1.0, "second")
    notices.add(2.0, "first\x1b[31m\n")
    assert notices.at(3.0) == ("first?[31m?", "second"), "nothing moves because it is still so"
    assert notices.at(KEPT_S + 1.5) == ("first?[31m?",)
    for number in range(100):
        notices.add(4.0, f"notice {number}")
    assert len(notices.at(5.0)) == MAX_NOTICES


def test_what_was_told_again_of_late_outlasts_what_was_not():
    notices = Notices()
    for number in range(MAX_NOTICES):
        notices.add(1.0, f"notice {number}")
    notices.add(2.0, "notice 0")
    notices.add(2.0, "one more")
    said = notices.at(3.0)
    assert "notice 0" in said and "notice 1" not in said


def test_what_strangers_say_is_little_and_pushes_out_nothing_that_is_known():
    notices = Notices()
    notices.add(0.0, "cannot read the fleet keys")
    for number in range(100):
        notices.add(1.0, f"somebody says {number}", is_hint=True)
    said = set(notices.at(4.0))
    assert said == {"cannot read the fleet keys", *(f"somebody says {n}" for n in range(96, 100))}
    assert len(said) == MAX_HINTS + 1
    for number in range(100):
        notices.add(5.0, f"notice {number}")
    assert said - set(notices.at(6.0)) == {"cannot read the fleet keys"}


async def test_seeds_may_change_while_they_are_sought(session: aiohttp.ClientSession):
    old, kept, new = (Seed("127.0.0.1", port) for port in (1, 2, 3))
    found: asyncio.Queue[Address] = asyncio.Queue()

    async def next_ports(number: int) -> set[int]:
        return {(await found.get()).port for _ in range(number)}

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        gone: list[Address] = []
        seeking = Seeking(tasks, session, found.put_nowait, gone.append)
        seeking.seek((old, kept))
        assert await next_ports(2) == {1, 2}
        seeking.seek((kept, new))
        assert await next_ports(1) == {3}
        assert [address.port for address in gone] == [1]
        seeking.seek(())
    assert found.empty()
    assert sorted(address.port for address in gone) == [1, 2, 3]


async def test_an_address_that_another_seed_means_too_is_not_gone(session: aiohttp.ClientSession):
    gone: list[Address] = []
    found: asyncio.Queue[Address] = asyncio.Queue()
    one, other = Seed("127.0.0.1", 1), Seed("localhost", 1)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        seeking = Seeking(tasks, session, found.put_nowait, gone.append)
        seeking.seek((one, other))
        seen = [await found.get() for _ in range(2)]
        seeking.seek((other,))
        assert seen[0] == seen[1] and gone == []
        seeking.seek(())


async def test_addresses_that_the_machine_gets_or_loses_are_told():
    home, away = Interface("eth0", ipv4=("10.9.9.9",)), Interface("wlan0", ipv4=("10.7.7.7",))
    now = [(home,)]
    told: asyncio.Queue[tuple[Address, ...]] = asyncio.Queue()
    with closing(bind_fleet("0.0.0.0", 0)) as sockets:
        first = await own_addresses(None, sockets, lambda: now[0])
        following = asyncio.create_task(
            follow_addresses(sockets, first, told.put_nowait, lambda: now[0], poll_s=0.01)
        )
        await asyncio.sleep(0.05)
        now[0] = (away,)
        async with asyncio.timeout(10):
            changed = await told.get()
        following.cancel()
    ips = [each.ip for each in changed]
    assert "10.7.7.7" in ips and "10.9.9.9" not in ips
    assert told.empty()
