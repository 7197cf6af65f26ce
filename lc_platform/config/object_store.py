"""The section `object_store`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from lc_platform.config.fields import Number, PositiveWhole, Section, Text, Truth, Whole

GCS, AZURE = ("gs", "gcs"), ("az", "abfs", "abfss")
"""How URLs of Google Cloud Storage and Azure Blob Storage begin."""


class ObjectStore(Section):
    """The connection to an object store; credentials come from the usual chain of its provider.

    S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role. Google Cloud
    Storage: the application default credentials, such as the file that
    GOOGLE_APPLICATION_CREDENTIALS names; none where the endpoint begins with http://. Azure:
    AZURE_STORAGE_CONNECTION_STRING; or AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY,
    AZURE_STORAGE_SAS_TOKEN, or what Azure's default credentials find.
    """

    endpoint: Text | None = None
    """URL of the server; by default the provider's own. Of Azure, that of the account: of another
    cloud than the public one, or of an emulator."""
    region: Text | None = None
    """S3's only. By default that of the environment, or of the profile."""
    path_style: Truth | None = None
    """S3's only. Whether the bucket stands in the path and not in the host's name; by default
    where the endpoint is not the provider's own."""
    verify: Truth | Text = True
    """Whether TLS certificates are checked, or the file of the authorities that are trusted."""
    profile: Text | None = None
    """S3's only. Of the credentials file; by default that of the environment."""
    connections: PositiveWhole = 32
    """Requests of a process that are under way at the same time, for cubes and for files each."""
    retries: Whole = Field(5, ge=0)
    """Retries of a request that failed for a transient reason, ever later, at random intervals."""
    connect_timeout: Number = Field(10.0, gt=0)
    """Seconds."""
    read_timeout: Number = Field(60.0, gt=0)
    """Seconds without a byte."""
    keep_replaced: Number = Field(24.0, ge=0)
    """Hours that `prune` leaves what was replaced, for those who are still reading it."""
    keep_unfinished: Number = Field(60.0, ge=0)
    """Days that `prune` leaves what has come of acquisitions that stopped on the way, as at a spent
    budget: the next run goes on from there. In a folder too."""

    @field_validator("endpoint")
    @classmethod
    def _without_credentials(cls, endpoint: str | None) -> str | None:
        if endpoint is None or endpoint.startswith("${"):
            return endpoint
        if not re.match(r"https?://[^/]", endpoint):
            raise ValueError(
                f"{endpoint} is no URL of a server. Write for example https://s3.example.org"
            )
        if "@" in endpoint:
            raise ValueError(
                "a URL with a password in it is refused. Give the credentials by the environment, "
                "or by a profile"
            )
        return endpoint.rstrip("/")

    def check_fits(self, storage: str) -> None:
        """Raises ValueError where a key is given that does nothing at a store's URL."""
        protocol = urlsplit(storage).scheme
        if protocol not in (*GCS, *AZURE):
            return
        for key in ("region", "path_style", "profile"):
            if getattr(self, key) is not None:
                raise ValueError(
                    f"object_store.{key}: does nothing at {protocol}://, it is S3's. Take it out"
                )
        if (
            protocol in GCS
            and self.endpoint
            and "://" in self.endpoint
            and urlsplit(self.endpoint).path
        ):
            raise ValueError(
                f"object_store.endpoint: {self.endpoint} has a path, and a server of Google Cloud "
                "Storage has none. Take it out"
            )
