"""S3, and what speaks like it, as a file system, reached as the configuration says."""

from __future__ import annotations

from typing import Any

from s3fs import S3FileSystem as _S3FileSystem
from s3fs.core import _error_wrapper

from lc_platform.config import ObjectStore
from lc_platform.storage.remote.http import BODIES, PART, PARTS_AT_ONCE
from lc_platform.storage.remote.objects import (
    WRITING,
    AsyncObjects,
    ObjectPart,
    byte_range,
    content_type,
    whole,
)

_STYLES = {None: "auto", True: "path", False: "virtual"}


class S3FileSystem(AsyncObjects, _S3FileSystem):  # type: ignore[misc]
    """What the credentials of the environment, of a profile or of the machine may reach."""

    def __init__(self, *, settings: dict[str, Any], **given: Any) -> None:
        """``settings`` are those of `ObjectStore`."""
        reached = ObjectStore(**settings)
        named = {"endpoint_url": reached.endpoint, "profile": reached.profile}
        super().__init__(
            **{name: value for name, value in named.items() if value},
            client_kwargs={"verify": reached.verify}
            | ({"region_name": reached.region} if reached.region else {}),
            config_kwargs={
                "s3": {"addressing_style": _STYLES[reached.path_style]},
                "max_pool_connections": reached.connections,
                "retries": {"mode": "standard", "total_max_attempts": reached.retries + 1},
                "connect_timeout": reached.connect_timeout,
                "read_timeout": reached.read_timeout,
            },
            max_concurrency=PARTS_AT_ONCE,
            **given,
        )
        self.place = reached.endpoint
        self.retries = BODIES

    async def _fetch(
        self,
        path: str,
        start: int = 0,
        end: int | None = None,
        *,
        origin: bool = False,  # noqa: ARG002 - which this store tells anyway
    ) -> ObjectPart:
        bucket, key, _ = self.split_path(path)
        some = {} if not start and end is None else {"Range": byte_range(start, end)}

        async def read() -> ObjectPart:
            answer = await self._call_s3("get_object", Bucket=bucket, Key=key, **some)
            try:
                content = await answer["Body"].read()
            finally:
                answer["Body"].close()
            return ObjectPart(
                content,
                whole(answer.get("ContentRange"), content),
                answer["ETag"],
                answer.get("Metadata", {}).get(WRITING),
            )

        return await _error_wrapper(read, retries=self.retries)  # type: ignore[no-any-return]

    async def _send(self, file: str, path: str, writing: str | None) -> None:
        about: dict[str, Any] = {"ContentType": content_type(path)}
        if writing:
            about["Metadata"] = {WRITING: writing}
        # In parts where it is more than two of them.
        await self._put_file(file, path, chunksize=PART, **about)
