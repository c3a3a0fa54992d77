"""What is the same for every sample: a disk of one's own, and memory that the machine has at hand."""

import mmap
import subprocess
from pathlib import Path

from peers import must, need

DISK = 24 << 30  # bytes; a sparse file
WARM = 5 << 30   # more than what any sample writes and reads
REPORTING = Path("/sys/module/page_reporting")


class Disk:
    """A new ext4 in a file, with the journal that every installed system has. (Without one ext4 looks, for
    minutes after a removal, at every inode that was freed before it takes one: recently_deleted.) It is seen in
    the caller's mount namespace alone and ends with it."""

    def __init__(self, folder):
        need("mkfs.ext4")
        self.folder = folder
        file = folder.with_name(folder.name + ".disk")
        with open(file, "wb") as disk:
            disk.truncate(DISK)
        must("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,nodiscard", file)
        device = must("losetup", "--find", "--show", "--direct-io=on", file).strip()
        try:
            must("mount", device, folder)
        finally:
            must("losetup", "--detach", device)  # it goes when it is unmounted

    def close(self):
        subprocess.run(["umount", "--lazy", self.folder])


def warm_memory():
    """Touches memory and frees it. A virtual machine gives what is free back to its host after a while (free page
    reporting), and then pays for each page again: more than a pull costs."""
    if REPORTING.exists():
        with mmap.mmap(-1, WARM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
            pass
