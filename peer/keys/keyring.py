"""The fleet keys that a peer holds: the one it uses, others it trusts, and those that are retired.

A ring never changes; adding, using and dropping a key give a new one. A dropped key stays known as
retired, so that a peer which missed the change can be told so under the only key it has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import FleetKeyNotHeld, InvalidFleetKey
from ..private_file import write_private
from .fleet_key import FleetKey, parse_fleet_key

MAX_KEYS = 8
MAX_RETIRED = 8
_RETIRED = "retired "
# Far above what a ring takes: whatever else lies there is not read into memory.
_MAX_FILE_CHARS = 64 * 1024


@dataclass(frozen=True, slots=True)
class Keyring:
    primary: FleetKey
    others: tuple[FleetKey, ...] = ()
    retired: tuple[FleetKey, ...] = ()

    @property
    def trusted(self) -> tuple[FleetKey, ...]:
        return (self.primary, *self.others)

    def adding(self, key: FleetKey) -> Keyring:
        """Trust this key too; a retired one comes back.

        Raises InvalidFleetKey where the ring is full, or where the key's name is another key's.
        """
        if key in self.trusted:
            return self
        if len(self.trusted) == MAX_KEYS:
            raise InvalidFleetKey(
                f"{MAX_KEYS} fleet keys are held, and no more can be",
                "drop one with `cortex key drop`",
            )
        retired = tuple(old for old in self.retired if old != key)
        if key.key_id in {held.key_id for held in (*self.trusted, *retired)}:
            raise InvalidFleetKey(
                f"another fleet key held here has the same name, {key.key_id.hex()}",
                "make a new one",
            )
        return replace(self, others=(*self.others, key), retired=retired)

    def using(self, key_id: bytes) -> Keyring:
        """Seal with that key from now on, and trust the one before.

        Raises FleetKeyNotHeld.
        """
        key = self._held(key_id)
        others = tuple(other for other in self.trusted if other != key)
        return replace(self, primary=key, others=others)

    def dropping(self, key_id: bytes) -> Keyring:
        """Trust that key no longer.

        Raises FleetKeyNotHeld, and InvalidFleetKey for the key in use.
        """
        key = self._held(key_id)
        if key == self.primary:
            raise InvalidFleetKey(
                f"fleet key {key_id.hex()} is in use", "use another with `cortex key use` first"
            )
        others = tuple(other for other in self.others if other != key)
        return replace(self, others=others, retired=(key, *self.retired)[:MAX_RETIRED])

    def _held(self, key_id: bytes) -> FleetKey:
        for key in self.trusted:
            if key.key_id == key_id:
                return key
        held = ", ".join(key.key_id.hex() for key in self.trusted)
        raise FleetKeyNotHeld(f"fleet key {key_id.hex()} is not held here", f"held are {held}")


def write_keyring(path: Path, keyring: Keyring) -> None:
    """Raises OSError; what stood there before stands there then."""
    lines = [key.text for key in keyring.trusted]
    lines += [_RETIRED + key.text for key in keyring.retired]
    write_private(path, "".join(f"{line}\n" for line in lines))


def read_keyring(path: Path) -> Keyring | None:
    """The ring in the file, or None where there is no file.

    Raises InvalidFleetKey with the line that is none, and OSError.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_FILE_CHARS)
    except FileNotFoundError:
        return None
    trusted: list[FleetKey] = []
    retired: list[FleetKey] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            keys = retired if line.startswith(_RETIRED) else trusted
            keys.append(_key_in(line.removeprefix(_RETIRED), path, number))
    if not trusted:
        raise InvalidFleetKey(
            f"{path} holds no fleet key", "delete it and join with `cortex join` again"
        )
    ring = Keyring(trusted[0], retired=tuple(retired[:MAX_RETIRED]))
    for key in trusted[1:]:
        ring = ring.adding(key)
    return ring


def _key_in(text: str, path: Path, number: int) -> FleetKey:
    try:
        return parse_fleet_key(text)
    except InvalidFleetKey as error:
        raise InvalidFleetKey(f"{path}, line {number}: {error.message}", error.hint) from None
