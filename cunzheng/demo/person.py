"""A person of the demonstration who signs by program: the same pages and the same statements as in a browser.

Reads each page as a browser would, signs the text that the page shows, and sends the form. The key lives in memory.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import unescape
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode

from cunzheng.errors import CommandError, ExitCode
from evidence.encoding import time_text
from evidence.keys import ES256, SigningKey
from evidence.statement import Statement, sign

_TIMEOUT_S = 30
_FIELD = re.compile(r'<input[^>]*name="csrf_token"[^>]*value="([^"]+)"')
_VERIFIED = re.compile(r'<input[^>]*name="(verified)"[^>]*value="([^"]+)"')
_PAYLOAD = re.compile(r"<pre[^>]*data-payload[^>]*>(.*?)</pre>", re.DOTALL)
_REFUSED = re.compile(r'role="alert"[^>]*>(.*?)</div>', re.DOTALL)


class Person:
    """One logged-in person at one centre."""

    def __init__(self, url: str, name: str, password: str, seed: bytes) -> None:
        self.name = name
        self._url = url
        self._key = SigningKey.from_seed(seed, ES256)
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        page = self._get("/login")
        self._post("/login", {"name": name, "password": password, "csrf_token": _token(page)})

    def enrol(self, plant: str) -> None:
        """Register this person's key."""
        token = _token(self._get("/keys/mine"))
        nonce = json.loads(self._post("/keys/nonce", {"csrf_token": token}))["nonce"]
        enrolment = {
            "v": 1,
            "kind": "key",
            "plant": plant,
            "t": time_text(datetime.now(UTC)),
            "op": "enrol",
            "kid": self._key.kid,
            "jwk": dict(self._key.jwk),
            "nonce": nonce,
        }
        self._post("/keys/mine", {"csrf_token": token, "statement": sign(enrolment, self._key).jws})

    def capture(self, plant: str, period: str, param: str, value: str, source: str) -> Statement:
        """Enter a ledger value and sign it."""
        token = _token(self._get(f"/plants/{plant}/ledger"))
        form = {"param": f"{param}|", "period": period, "value": value, "mode": "measured", "source": source}
        page = self._post(f"/plants/{plant}/ledger", {**form, "csrf_token": token})
        return self._sign(page, f"/plants/{plant}/ledger/signed")

    def declare(self, plant: str, period: str) -> Statement:
        """Declare the month in this person's role."""
        here = f"/plants/{plant}/months/{period}/declare"
        return self._sign(self._get(here), here, fields={"sure": "yes"})

    def review(self, plant: str, period: str, decision: str, note: str = "") -> Statement:
        """Decide on the month at this person's level."""
        here = f"/plants/{plant}/months/{period}/review"
        said = {"decision": decision, "note": note}
        return self._sign(self._get(f"{here}?now=1"), here, members=said, fields=said)

    def ask_readings(self, plant: str, period: str, hour: str, channel: str) -> None:
        """Ask the gateway for the raw readings of an hour (its start as UTC text)."""
        month = f"/plants/{plant}/months/{period}"
        token = _token(self._get(f"{month}/hours/{hour}/{channel}"))
        self._post(f"{month}/readings/{hour}/{channel}", {"csrf_token": token})

    def challenge(self, plant: str, period: str) -> None:
        """Have the plant challenged to show raw tiles of a month."""
        month = f"/plants/{plant}/months/{period}"
        self._post(f"{month}/challenges", {"csrf_token": _token(self._get(month))})

    def inspect(self, plant: str, period: str, findings: Sequence[str]) -> Statement:
        """Record an inspection of the month, with the result of a challenge that has ended."""
        here = f"/plants/{plant}/months/{period}/inspect"
        return self._sign(self._get(here), here, members={"findings": list(findings)})

    def download(self, path: str) -> bytes:
        """Fetch a file."""
        with self._open(urllib.request.Request(self._url + path)) as answer:
            return bytes(answer.read())

    def _sign(
        self,
        page: str,
        target: str,
        *,
        members: Mapping[str, object] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Statement:
        shown = _PAYLOAD.search(page)
        if shown is None:
            raise CommandError(
                f"演示：{self.name} 在 {target} 没有可签署的内容",
                f"demonstration: there is nothing for {self.name} to sign at {target}",
            )
        payload: dict[str, Any] = json.loads(unescape(shown[1]))
        moment = time_text(datetime.now(UTC))
        statement = sign({**payload, **(members or {}), "t": moment}, self._key)
        self._post(target, {**_hidden(page), **(fields or {}), "csrf_token": _token(page), "statement": statement.jws})
        return statement

    def _get(self, path: str) -> str:
        return self.download(path).decode("utf-8")

    def _post(self, path: str, fields: Mapping[str, str]) -> str:
        headers = {"Referer": self._url + path, "X-CSRFToken": fields["csrf_token"]}
        request = urllib.request.Request(self._url + path, urlencode(fields).encode(), headers)
        with self._open(request) as answer:
            return str(answer.read().decode("utf-8"))

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            page = error.read().decode("utf-8", "replace")
            refused = _REFUSED.search(page)
            why = " ".join(re.sub(r"<[^>]+>", " ", refused[1]).split()) if refused else str(error)
            raise CommandError(
                f"演示：{self.name} 在 {request.full_url} 被拒绝：{unescape(why)}",
                f"demonstration: {self.name} was refused at {request.full_url}: {unescape(why)}",
            ) from error
        except OSError as error:
            raise CommandError(
                f"演示：无法连接中心端 {self._url}：{error}",
                f"demonstration: cannot reach the centre at {self._url}: {error}",
                exit_code=ExitCode.COULD_NOT_TELL,
            ) from error


def _hidden(page: str) -> dict[str, str]:
    """What the page wants back as it is: the sealed report on the month."""
    return dict(_VERIFIED.findall(page))


def _token(page: str) -> str:
    found = _FIELD.search(page)
    if found is None:
        raise CommandError("演示：页面没有表单令牌", "demonstration: the page has no form token")
    return found[1]
