"""Whether this machine's NVIDIA GPUs are asleep, as a laptop's are while nobody draws or computes
there: who asks the driver's tool of one that is wakes it. The kernel tells without waking it.
"""

from __future__ import annotations

from pathlib import Path

_PCI_DEVICES = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
# A GPU's, with a screen or without; what else a card has, as sound, is not its.
_DISPLAY_CLASS = "0x03"


def are_asleep(pci_devices: Path = _PCI_DEVICES) -> bool:
    """All there are, as far as the kernel tells: where it tells of none they are awake."""
    try:
        gpus = [each for each in pci_devices.iterdir() if _is_gpu(each)]
        states = [(each / "power" / "runtime_status").read_text().strip() for each in gpus]
    except OSError:  # no such folder, or one that is just being taken out
        return False
    return bool(states) and set(states) == {"suspended"}


def _is_gpu(device: Path) -> bool:
    is_nvidia = (device / "vendor").read_text().strip() == _NVIDIA
    return is_nvidia and (device / "class").read_text().startswith(_DISPLAY_CLASS)
