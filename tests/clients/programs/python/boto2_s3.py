"""boto 2, of Debian's python3-boto: it knows instance metadata of version 1, at the fixed address."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import boto
from boto.s3.connection import OrdinaryCallingFormat, S3Connection
from lines import serve

os.environ["S3_USE_SIGV4"] = "True"


def _made() -> S3Connection:
    where = urlsplit(os.environ["S3_URL"])
    connection = S3Connection(
        host=where.hostname, port=where.port, is_secure=False, calling_format=OrdinaryCallingFormat()
    )
    connection._auth_handler.region_name = os.environ["AWS_REGION"]  # else it is read from the host's name
    return connection


def _first(connection: S3Connection) -> str:
    bucket = connection.get_bucket(os.environ["S3_BUCKET"], validate=False)
    name: str = next(iter(bucket)).name
    return name


serve(boto.__version__, _made, _first)
