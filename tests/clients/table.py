"""The clients: how each is run, what it knows, and what is promised of it. `docs/clients.md` is made of this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tests.clients.toolchains import BUILT, PROGRAMS, TOOLCHAINS, Toolchain

FILE, VARIABLE = "file", "variable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One row. `command` follows the protocol of the programs; of a one-shot tool it is one call.

    `tokens` are the ways in which it can be told the authorization token. `patience` is for how many seconds it rides
    out by itself that nothing can be served. `environ` is what it needs beside the usual. `version` is the command that
    prints a one-shot tool's, `before` what is run once before its first call. `face` is what serves a client that the
    endpoint cannot, `note` why.
    """

    name: str
    language: str
    toolchain: str
    command: tuple[str, ...]
    tokens: tuple[str, ...] = (FILE, VARIABLE)
    patience: float = 0.0
    asks: str = "STS"
    version: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    face: str = ""
    note: str = ""

    @property
    def is_one_shot(self) -> bool:
        """Whether every call is a process of its own."""
        return bool(self.version)

    @property
    def tools(self) -> Toolchain:
        """What builds it."""
        return TOOLCHAINS[self.toolchain]


def _python(name: str, program: str, toolchain: str = "python-modern", **more: object) -> Client:
    python = "/usr/bin/python3" if toolchain == "python3-boto" else str(BUILT / toolchain / "bin" / "python")
    command = (python, str(PROGRAMS / "python" / f"{program}.py"))
    return Client(name=name, toolchain=toolchain, command=command, **{"language": "Python", **more})  # type: ignore[arg-type]


def _java(folder: str, program: str) -> tuple[str, ...]:
    target = BUILT / folder / "target"
    # Half of a start-up is the just-in-time compiler's, for a program that ends soon.
    return ("java", "-XX:TieredStopAtLevel=1", "-cp", f"{target / 'classes'}:{target / 'dependency'}/*", program)


def _node(program: str) -> tuple[str, ...]:
    return ("node", str(BUILT / "javascript" / program))


def _go(program: str) -> tuple[str, ...]:
    return (str(BUILT / "go" / program),)


def _rust() -> tuple[str, ...]:
    return (str(BUILT / "rust" / "target" / "debug" / "client"),)


def _ruby() -> tuple[str, ...]:
    return ("/usr/bin/ruby", str(PROGRAMS / "ruby" / "client.rb"))


def _debian(name: str, tool: str, language: str, *command: str, **more: object) -> Client:
    given = {"toolchain": tool, "tokens": (VARIABLE,), "command": (f"/usr/bin/{tool}", *command), **more}
    return Client(name=name, language=language, version=(f"/usr/bin/{tool}", *_VERSIONS[tool]), **given)  # type: ignore[arg-type]


_VERSIONS: Final = {"aws": ("--version",), "rclone": ("version",), "restic": ("version",), "s3cmd": ("--version",)}
_RESTIC: Final = ("--no-cache", "--repo", "s3:{S3_URL}/{S3_BUCKET}/restic")
_RCLONE: Final = (
    *(
        "--config=",
        "--s3-provider",
        "Other",
        "--s3-env-auth",
        "--s3-endpoint",
        "{S3_URL}",
        "--s3-region",
        "{AWS_REGION}",
    ),
    *("--retries", "1", "--low-level-retries", "1", "lsf", ":s3:{S3_BUCKET}"),
)
_S3CMD: Final = "--config /dev/null --no-ssl --region {AWS_REGION} --host {S3_HOST} --host-bucket {S3_HOST} ls"
_OLD: Final = "Debian's is older than the token file"
_ANONYMOUS: Final = "signs nothing when it gets nothing: the refusal is the service's"

_RECIPE: Final = "with the provider of [its recipe](recipes/s3a.md)"

CLIENTS: Final[tuple[Client, ...]] = (
    _python("boto3", "boto3_sts", patience=3.0),
    _python("aiobotocore", "aiobotocore_sts", patience=3.0),
    _python("botocore 1.13", "botocore_sts", toolchain="python-old", tokens=(VARIABLE,), patience=3.0, note="of 2019"),
    _python("s3fs", "s3fs_s3", asks="S3", patience=3.0),
    _python("minio-py", "minio_s3", asks="S3", patience=6.0),
    _python("awscrt", "awscrt_sts", language="C (by Python)", patience=1.0),
    _python("pyarrow", "pyarrow_s3", language="C++ (by Python)", asks="S3", note=_ANONYMOUS),
    _python("GDAL", "gdal_s3", language="C++ (by Python)", asks="S3"),
    _python("obstore", "obstore_s3", language="Rust (by Python)", asks="S3", tokens=(FILE,), patience=2.0),
    _python("opendal", "opendal_s3", language="Rust (by Python)", asks="S3"),
    Client(name="SDK for Rust", language="Rust", toolchain="rust", command=_rust()),
    Client(
        name="SDK for JavaScript v3",
        language="JavaScript",
        toolchain="javascript",
        command=_node("v3.mjs"),
        patience=3.0,
    ),
    Client(name="SDK for JavaScript v2", language="JavaScript", toolchain="javascript", command=_node("v2.cjs")),
    Client(name="SDK for Go v2", language="Go", toolchain="go", command=_go("v2")),
    Client(name="SDK for Go v1", language="Go", toolchain="go", command=_go("v1"), patience=4.0),
    Client(name="minio-go", language="Go", toolchain="go", command=_go("minio"), asks="S3", note=_ANONYMOUS),
    Client(name="SDK for Java v2", language="Java", toolchain="java", command=_java("java", "SdkV2")),
    Client(name="SDK for Java v1", language="Java", toolchain="java", command=_java("java", "SdkV1")),
    Client(name="Hadoop S3A", language="Java", toolchain="s3a", command=_java("s3a", "S3a"), asks="S3", note=_RECIPE),
    _debian(
        "AWS CLI v2",
        "aws",
        "Python",
        *"sts get-caller-identity --query Arn --output text".split(),
        "--endpoint-url",
        "{STS_URL}",
        patience=3.0,
        note=_OLD,
    ),
    _debian("rclone", "rclone", "Go", *_RCLONE, asks="S3", note=_OLD),
    _debian(
        "restic",
        "restic",
        "Go",
        *_RESTIC,
        *("cat", "config"),
        before=("/usr/bin/restic", *_RESTIC, "init"),
        environ={"RESTIC_PASSWORD": "a password of a test"},
        asks="S3",
        note=_OLD,
    ),
    Client(
        name="SDK for Ruby",
        language="Ruby",
        toolchain="ruby",
        command=_ruby(),
        face="`credential_process`",
        note="Debian's knows `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` alone",
    ),
    _python(
        "boto 2",
        "boto2_s3",
        toolchain="python3-boto",
        asks="S3",
        face="instance metadata, IMDSv1, redirected",
        note="knows the fixed address alone",
    ),
    _debian(
        "s3cmd",
        "s3cmd",
        "Python",
        *_S3CMD.split(),
        "s3://{S3_BUCKET}",
        asks="S3",
        face="instance metadata, IMDSv2, redirected",
        note="knows the fixed address alone",
    ),
)


def client(name: str) -> Client:
    """The row of that name."""
    return next(each for each in CLIENTS if each.name == name)
