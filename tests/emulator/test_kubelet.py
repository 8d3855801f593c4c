"""The kubelet's part: the claims of a service-account token and the swap through `..data`."""

from __future__ import annotations

import threading
from itertools import cycle
from pathlib import Path

import jwt
import pytest

from sidecar.emulator import Emulator, Issuer, Kubelet

ISSUER = Issuer(url="https://issuer.example")


def kubelet_at(directory: Path, now: float = 2_000_000_000.0, pod: str | None = "orders-7d4b9c-xk2lp") -> Kubelet:
    return Kubelet(directory, ISSUER, wall=lambda: now, pod=pod)


def test_a_token_has_the_claims_of_a_projected_service_account_token(tmp_path: Path) -> None:
    kubelet = kubelet_at(tmp_path)
    token = kubelet.mint()
    claims = jwt.decode(token, options={"verify_signature": False})
    private = claims["kubernetes.io"]
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (2_000_000_000, 2_000_000_000, 2_000_086_400)
    assert (claims["aud"], claims["sub"]) == (["sts.amazonaws.com"], "system:serviceaccount:shop:orders")
    assert private["namespace"] == "shop"
    assert private["pod"]["name"] == "orders-7d4b9c-xk2lp"
    assert private["serviceaccount"]["name"] == "orders"
    assert private["pod"]["uid"] != private["serviceaccount"]["uid"]


def test_uids_are_stable_and_tokens_are_not(tmp_path: Path) -> None:
    one, two = (jwt.decode(kubelet_at(tmp_path).mint(), options={"verify_signature": False}) for _ in range(2))
    assert one["kubernetes.io"] == two["kubernetes.io"]
    assert one["jti"] != two["jti"]


def test_a_token_without_a_pod_has_no_pod_claim(tmp_path: Path) -> None:
    claims = jwt.decode(kubelet_at(tmp_path, pod=None).mint(), options={"verify_signature": False})
    assert "pod" not in claims["kubernetes.io"]


def test_the_token_is_swapped_in_through_data(tmp_path: Path) -> None:
    kubelet = kubelet_at(tmp_path)
    first = kubelet.project()
    before = (tmp_path / "..data").readlink()
    second = kubelet.project()
    after = (tmp_path / "..data").readlink()
    assert first != second == kubelet.path.read_text()
    assert before != after
    assert str(kubelet.path.readlink()) == "..data/token"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([str(after), "..data", "token"])
    assert after.name.startswith("..2033_05_18_03_33_20.")


def test_any_text_can_be_projected_with_any_mode(tmp_path: Path) -> None:
    kubelet = Kubelet(tmp_path, ISSUER, wall=lambda: 0.0, mode=0o600)
    assert kubelet.project("half a tok") == kubelet.path.read_text() == "half a tok"
    assert kubelet.path.stat().st_mode & 0o777 == 0o600


def test_a_reader_sees_the_old_token_or_the_new_one_and_never_none(tmp_path: Path) -> None:
    kubelet = kubelet_at(tmp_path)
    texts = [str(number) * 2000 for number in range(10)]
    kubelet.project(texts[0])
    done = threading.Event()

    def rotate() -> None:
        for text in cycle(texts):
            kubelet.project(text)
            if done.is_set():
                return

    rotation = threading.Thread(target=rotate)
    rotation.start()
    seen, looks = set[str](), 0
    while looks < 300 or len(seen) < 3:
        data, looks = (tmp_path / "..data").readlink(), looks + 1  # as a reader that opened what kubelet then removes
        try:
            seen.add((tmp_path / data / "token").read_text())
        except FileNotFoundError:
            assert (tmp_path / "..data").readlink() != data
    done.set()
    rotation.join()
    assert seen <= {*texts}


async def test_a_kubelet_follows_the_emulators_clock_and_key(tmp_path: Path, sts: Emulator) -> None:
    kubelet = Kubelet(tmp_path, sts)
    assert kubelet.issuer is sts.oidc
    assert kubelet.wall() == pytest.approx(sts.wall(), abs=5)
