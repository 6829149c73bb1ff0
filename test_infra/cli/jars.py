"""Brings what a first run has to fetch, and says how far it is."""

from __future__ import annotations

from collections.abc import Callable

from test_infra.cli.progress import Progress


def bring_jars(progress: Progress) -> None:
    """Fetch every jar of the lock that is not cached yet; nothing to say when all are.

    Raises:
        BadJar: a file is not the one that the lock names.
        JarUnavailable: a file cannot be fetched.
    """
    from test_infra.jvm import jars

    if jars.all_cached():
        return
    groups = sorted({group for jar in jars.lock().jars for group in jar.groups})
    for group in groups:
        with progress.doing(f"fetching the jars of {group}") as change:

            def tell(download: jars.Download, group: str = group, change: Callable[[str], None] = change) -> None:
                mib = 1024 * 1024
                text = (
                    f"fetching the jars of {group}: {download.done} of {download.total} files, "
                    f"{download.done_bytes / mib:.0f} of {download.total_bytes / mib:.0f} MiB"
                )
                change(text)
                if download.done % 20 == 0 or download.done == download.total:
                    progress.say(f"  {text}")

            jars.fetch(group, progress=tell)
