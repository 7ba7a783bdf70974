"""Files of a model hub: from its local cache, and from the network only where that is asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def snapshot(identifier: str, patterns: Sequence[str], download: bool) -> Path:
    """Return the folder that holds those files of `identifier`, owner/name, that fit `patterns`.

    Without `download` nothing but the local cache is looked at.

    Raises:
        ValueError: it is not in the cache, or cannot be fetched. The remedy is the caller's to say.
    """
    if ID.fullmatch(identifier) is None:
        raise ValueError(f"{identifier}: neither there nor an id of a hub, owner/name")
    try:
        folder = snapshot_download(
            identifier, allow_patterns=list(patterns), local_files_only=not download
        )
    except LocalEntryNotFoundError:
        where = "on the hub, or the hub cannot be reached" if download else "in the hub's cache"
        raise ValueError(f"{identifier}: not {where}") from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise ValueError(f"{identifier}: cannot be fetched ({error})") from None
    return Path(folder)


def or_fetch(identifier: str, download: bool) -> str:
    """Return the end of a remedy: how to fetch it, where that is possible and not allowed yet."""
    if download or ID.fullmatch(identifier) is None:
        return ""
    return ", or set autoencoder.download: true to fetch it"
