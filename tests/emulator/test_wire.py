"""The query protocol: parameters in, and XML that a stock parser reads back."""

from __future__ import annotations

import botocore.session
from botocore.parsers import create_parser
from hypothesis import given
from hypothesis import strategies as st

from sidecar.emulator import wire

_MODEL = botocore.session.Session().get_service_model("sts")


def test_parameters_come_from_the_query_and_the_body_and_the_first_wins() -> None:
    got = wire.parameters("Action=A&Empty=", b"Action=B&Name=a%2Bb+c&%FF=1")
    assert (got["Action"], got["Empty"], got["Name"]) == ("A", "", "a+b c")


# Characters that XML 1.0 can carry; a carriage return is normalised by every parser.
@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0xD7FF)))
def test_any_message_survives_the_xml(message: str) -> None:
    body = wire.failure("AccessDenied", message, 403, "id-1")
    shape = _MODEL.operation_model("AssumeRole").output_shape
    parsed = create_parser("query").parse({"body": body, "status_code": 403, "headers": {}}, shape)
    assert parsed["Error"] == {"Type": "Sender", "Code": "AccessDenied", "Message": message} or not message.strip()
    assert parsed["ResponseMetadata"]["RequestId"] == "id-1"


def test_an_error_of_500_and_above_is_the_receivers() -> None:
    assert b"<Type>Receiver</Type>" in wire.failure("InternalFailure", "", 500, "id")


def test_instants_are_written_as_sts_writes_them() -> None:
    assert wire.instant(2_000_000_000.9) == "2033-05-18T03:33:20Z"


def test_a_number_that_is_none_is_recorded_as_none() -> None:
    assert [wire.integer({"n": text}, "n") for text in ("900", "", "-1", "٣", "9" * 20)] == [
        900,
        None,
        None,
        None,
        None,
    ]
