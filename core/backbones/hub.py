"""Weights that timm and open_clip fetch from their hub by themselves: quick without a network, and checked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.backbones import EMBEDDED
from core.errors import UserError
from core.network import address_of, reachable


@contextmanager
def hub_access(name: str) -> Iterator[None]:
    """Wrap a library's own download of `name`: whatever fails becomes one line that names the two ways out.

    Without a network the hub's client is told so at once, because it would try for a minute: then it has what is in its
    cache, and nothing else.
    """
    try:
        with _knowing_the_network() as network:
            yield
    except (UserError, ModuleNotFoundError):  # a library that is not installed is said by name
        raise
    except Exception as error:  # noqa: BLE001 - each hub and its transport raise their own
        reason = str(error).strip().partition("\n")[0][:160].rstrip(". ") or type(error).__name__
        raise cannot_be_had(name, reason if network else "there is no network, and they are not in the cache") from None


def cannot_be_had(name: str, reason: str) -> UserError:
    """The line for weights of a hub that are not to be had."""
    return UserError(
        f"The weights of {name} cannot be had ({reason}): give a local file with --set backbone.pretrained=FILE, "
        f"or use the embedded {EMBEDDED}."
    )


def has_network() -> bool:
    """Whether the hub answers, or is told not to be asked (HF_HUB_OFFLINE), which is not ours to say."""
    from huggingface_hub import constants

    address = address_of(constants.ENDPOINT)
    return constants.HF_HUB_OFFLINE or address is None or reachable(*address)


@contextmanager
def _knowing_the_network() -> Iterator[bool]:
    from huggingface_hub import constants

    network, before = has_network(), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not network
    try:
        yield network
    finally:
        constants.HF_HUB_OFFLINE = before


def folder_in_cache(repository: str) -> Path:
    """Where the hub's client keeps a repository."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def check_files(repository: str) -> None:
    """Compare the large files of a repository in the cache with their SHA-256, which they are named by there.

    Raises UserError where one is not what it is called, and removes it, so that it is fetched again.
    """
    for blob in (folder_in_cache(repository) / "blobs").glob("*"):
        if not re.fullmatch(r"[0-9a-f]{64}", blob.name):
            continue
        with blob.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != blob.name:
            blob.unlink()
            raise UserError(
                f"Checksum mismatch: a file of {repository} did not arrive as it was published (SHA-256 {found[:12]}…, "
                f"expected {blob.name[:12]}…): it was removed; fetch again."
            )
