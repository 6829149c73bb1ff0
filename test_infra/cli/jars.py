"""Fetches what a first run needs, and says how far it is."""

from __future__ import annotations

import os
from collections.abc import Callable

from test_infra.base.backend import BACKEND_VARIABLE, Backend
from test_infra.cli.progress import Progress
from test_infra.runtime.factory import backend_of


def bring_jars(progress: Progress) -> None:
    """Fetch every jar of the lock that is not cached yet; nothing to say when all are.

    Raises:
        BadJar: a file is not the one that the lock names.
        JarUnavailable: a file cannot be fetched.
    """
    from test_infra.jvm import jars

    if not jars.all_cached():
        _fetch(progress)
    if backend_of(os.environ.get(BACKEND_VARIABLE) or Backend.LOCAL).on_this_machine:  # else an image has them
        _prepare_drivers(progress)


def _prepare_drivers(progress: Progress) -> None:
    """Make the archive from which the streams' drivers start in half the time; without it they start all the same."""
    from test_infra.cdc.stream.control import JAR_GROUPS
    from test_infra.spark.driver.class_archive import archive_of, make_archive

    if archive_of(JAR_GROUPS).exists():
        return
    with progress.doing("preparing fast starts of Spark, once (half a minute)"):
        made = make_archive(JAR_GROUPS)
    if made is None:
        progress.say("  Java made no archive of classes; Spark starts some seconds slower")


def _fetch(progress: Progress) -> None:
    from test_infra.jvm import jars

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
