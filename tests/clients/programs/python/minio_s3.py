"""MinIO's client for Python."""

from __future__ import annotations

import os
from importlib.metadata import version
from urllib.parse import urlsplit

from lines import serve
from minio import Minio
from minio.credentials import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider


def _made() -> Minio:
    chain = ChainedProvider([IamAwsProvider(), AWSConfigProvider(), EnvAWSProvider()])
    host = urlsplit(os.environ["S3_URL"]).netloc
    return Minio(host, secure=False, region=os.environ["AWS_REGION"], credentials=chain)


def _first(client: Minio) -> str:
    return str(next(iter(client.list_objects(os.environ["S3_BUCKET"]))).object_name)


serve(version("minio"), _made, _first)
