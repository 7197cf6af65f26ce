"""Azure Blob Storage as a file system, reached as the configuration says.

adlfs brings the operations. What it leaves at the defaults of Azure's library (connections,
retries, timeouts, trusted authorities), and where it reads otherwise than the other stores do,
is here.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

from adlfs import AzureBlobFileSystem
from aiohttp import ClientSession, DummyCookieJar
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry
from fsspec.asyn import get_loop

from lc_platform.config import ObjectStore
from lc_platform.storage.remote.http import (
    PART,
    PARTS_AT_ONCE,
    UnusableError,
    close_at_exit,
    connector,
    pause,
)
from lc_platform.storage.remote.objects import (
    WRITING,
    AsyncObjects,
    ObjectPart,
    content_type,
    whole,
)

_ALL = 2**40
"""Bytes that one request may bring: an object is read as it was at one time."""


class AzureFileSystem(AsyncObjects, AzureBlobFileSystem):  # type: ignore[misc]
    """The account that AZURE_STORAGE_ACCOUNT_NAME or AZURE_STORAGE_CONNECTION_STRING names."""

    def __init__(self, *, settings: dict[str, Any], **given: Any) -> None:
        """``settings`` are those of `ObjectStore`. Raises UnusableError where the environment names
        no account, or contradicts them."""
        self._settings = ObjectStore(**settings)
        super().__init__(anon=False, max_concurrency=PARTS_AT_ONCE, **given)

    @property
    def loop(self) -> Any:
        # adlfs closes the client in it at the end, also one that another loop has used.
        return super().loop or get_loop()

    def do_connect(self) -> None:
        """Make the client; nothing is asked of the store yet."""
        settings = self._settings
        about = {
            "transport": _Transport(settings),
            "retry_policy": _Retry(settings.retries),
            "max_single_get_size": _ALL,
            "max_single_put_size": PART,
            "max_block_size": PART,
        }
        if self.connection_string is not None:
            if settings.endpoint:
                raise UnusableError(
                    "AZURE_STORAGE_CONNECTION_STRING names an endpoint of its own. Unset it, or "
                    "take object_store.endpoint out"
                )
            try:
                self.service_client = BlobServiceClient.from_connection_string(
                    self.connection_string, **about
                )
            except ValueError as error:
                raise UnusableError(
                    "AZURE_STORAGE_CONNECTION_STRING is no connection string. Copy it anew"
                ) from error
        else:
            self.service_client = BlobServiceClient(**self._account(), **about)
        client = self.service_client
        self.place = f"{client.scheme}://{client.primary_hostname}"

    def _account(self) -> dict[str, Any]:
        """The account's URL, and how it is entered."""
        if not self.account_name:
            raise UnusableError(
                "no Azure storage account is named. Set AZURE_STORAGE_ACCOUNT_NAME, or "
                "AZURE_STORAGE_CONNECTION_STRING"
            )
        url = self._settings.endpoint or f"https://{self.account_name}.blob.core.windows.net"
        if self.account_key:
            key = AzureNamedKeyCredential(self.account_name, self.account_key)
            return {"account_url": url, "credential": key}
        if self.sas_token:
            # In the URL, because a copy names its source by it.
            return {"account_url": f"{url}?{self.sas_token.removeprefix('?')}"}
        if url.startswith("http://"):
            raise UnusableError(
                "Azure credentials other than a key go over https only. Give "
                "object_store.endpoint as https://, or set AZURE_STORAGE_ACCOUNT_KEY"
            )
        return {"account_url": url, "credential": self.credential}

    async def _cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        if end is not None and (start or 0) >= 0 and end <= (start or 0):
            return b""
        return (await self._fetch(path, start or 0, end)).content

    async def _fetch(
        self,
        path: str,
        start: int = 0,
        end: int | None = None,
        *,
        origin: bool = False,  # noqa: ARG002 - which this store tells anyway
    ) -> ObjectPart:
        if start < 0:  # which this store cannot be asked
            start = max(0, int((await self._info(path))["size"]) + start)
        length = None if end is None else end - start
        async with self.service_client.get_blob_client(*self.split_path(path)[:2]) as blob:
            try:
                # No start at all, where it is the beginning: an object may have no byte.
                first = start or (None if length is None else 0)
                found = await blob.download_blob(offset=first, length=length)
                content = bytes(await found.readall())
            except ResourceNotFoundError as error:
                raise FileNotFoundError(path) from error
        about = found.properties
        size = whole(about.content_range, content)
        return ObjectPart(content, size, about.etag, about.metadata.get(WRITING))

    async def _send(self, file: str, path: str, writing: str | None) -> None:
        async with self.service_client.get_blob_client(*self.split_path(path)[:2]) as blob:
            with Path(file).open("rb") as content:
                await blob.upload_blob(
                    content,
                    overwrite=True,
                    metadata={WRITING: writing} if writing else None,
                    content_settings=ContentSettings(content_type=content_type(path)),
                    max_concurrency=PARTS_AT_ONCE,
                )

    async def _find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, **given: Any
    ) -> Any:
        found = await super()._find(path, withdirs=withdirs, **given)
        if maxdepth is None:
            return found
        depth = str(self._strip_protocol(path)).strip("/").count("/") + maxdepth
        near = [name for name in found if name.count("/") <= depth]
        return {name: found[name] for name in near} if isinstance(found, dict) else near

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        source, target = (
            self.service_client.get_blob_client(*self.split_path(path)[:2])
            for path in (path1, path2)
        )
        try:
            status = (await target.start_copy_from_url(source.url))["copy_status"]
        except ResourceNotFoundError as error:
            raise FileNotFoundError(path1) from error
        while status == "pending":
            await asyncio.sleep(0.5)
            status = (await target.get_blob_properties()).copy.status
        if status != "success":
            raise OSError(f"{path1} was not copied to {path2}: {status}")


class _Transport(AioHttpTransport):  # type: ignore[misc]
    """So many connections, and no more; an answer counts when all of it is there."""

    session: Any

    def __init__(self, settings: ObjectStore) -> None:
        super().__init__(
            connection_timeout=settings.connect_timeout, read_timeout=settings.read_timeout
        )
        self._connector = connector(settings)

    async def open(self) -> None:
        if self.session is None and not self._has_been_opened:
            self.session = ClientSession(
                connector=self._connector(),
                trust_env=True,
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
            )
            close_at_exit(self, self.session)
        await super().open()

    async def send(self, request: Any, **config: Any) -> Any:
        # What breaks off in an answer that streams, Azure's library does not always try again.
        return await super().send(request, **config | {"stream": False})


class _Retry(ExponentialRetry):  # type: ignore[misc]
    def __init__(self, retries: int) -> None:
        super().__init__(
            retry_total=retries, retry_connect=retries, retry_read=retries, retry_status=retries
        )

    def get_backoff_time(self, settings: dict[str, Any]) -> float:
        return pause(int(settings["count"]) - 1, random.random())
