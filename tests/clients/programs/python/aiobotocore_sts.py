"""aiobotocore."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiobotocore
from aiobotocore.session import get_session
from lines import serve

with asyncio.Runner() as runner:
    opened = AsyncExitStack()

    def _made() -> Any:
        return runner.run(opened.enter_async_context(get_session().create_client("sts")))

    def _arn(sts: Any) -> str:
        arn: str = runner.run(sts.get_caller_identity())["Arn"]
        return arn

    serve(aiobotocore.__version__, _made, _arn)
    runner.run(opened.aclose())
