"""obstore: Rust's object_store."""

from __future__ import annotations

import os

import obstore
from lines import serve
from obstore.store import S3Store


def _made() -> S3Store:
    return S3Store(os.environ["S3_BUCKET"], endpoint=os.environ["S3_URL"], client_options={"allow_http": True})


serve(obstore.__version__, _made, lambda store: store.list().collect()[0]["path"])
