"""Reading a JSON document into its closed model, with errors that name the member.

What all documents of this package share: strict JSON (no floats, no name twice), unknown members
refused, decimals as strings, names in two languages. What the members mean stands with each model.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from accounting.errors import DocumentError
from evidence.encoding import parse_decimal, strict_json
from evidence.errors import EvidenceError


class Closed(BaseModel):
    """A part of a document: frozen, strict, no members but its own."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Name(Closed):
    """A name in the two languages of the product."""

    zh: Annotated[str, Field(min_length=1, max_length=200)]
    en: Annotated[str, Field(min_length=1, max_length=200)]

    def to_json(self) -> dict[str, str]:
        """The name as a body carries it."""
        return {"zh": self.zh, "en": self.en}


def refusal(en: str, zh: str) -> PydanticCustomError:
    """Make the error a validator raises, in both languages."""
    return PydanticCustomError("refused", "{en}", {"en": en, "zh": zh})


def _decimal(text: object) -> Decimal:
    if not isinstance(text, str):
        raise refusal('a number is written as a string, for example "12.5"', '数值应写成字符串，例如 "12.5"')
    try:
        return parse_decimal(text)
    except EvidenceError as error:
        raise refusal(error.detail, f"不是十进制数：“{text[:40]}”") from None


Number = Annotated[Decimal, BeforeValidator(_decimal)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ChannelId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]

_Model = TypeVar("_Model", bound=Closed)


def read_document(data: bytes, model: type[_Model], file: str, error: type[DocumentError]) -> _Model:
    """Parse and validate a document.

    Raises:
        DocumentError: of the type given, naming file and member path.
    """
    try:
        strict_json(data)
    except EvidenceError as cause:
        raise error(f"{file}: {cause.detail}", f"{file}：不是有效的 JSON（{cause.detail}）") from cause
    try:
        return model.model_validate_json(data)
    except ValidationError as cause:
        first = cause.errors(include_url=False, include_input=False)[0]
        where = _path(first["loc"]) or "document"
        en, zh = _phrase(first)
        raise error(f"{file}: {where}: {en}", f"{file}：{where}：{zh}") from cause


_PHRASES = {
    "extra_forbidden": ("unknown member; remove it or correct its spelling", "未知成员，请删除或更正拼写"),
    "missing": ("missing member; add it", "缺少该成员，请补充"),
    "string_type": ("must be a string", "应为字符串"),
    "int_type": ("must be a whole number", "应为整数"),
    "list_type": ("must be a list", "应为列表"),
    "dict_type": ("must be an object", "应为对象"),
    "model_type": ("must be an object", "应为对象"),
    "model_attributes_type": ("must be an object", "应为对象"),
    "string_pattern_mismatch": ("does not have the right form", "格式不正确"),
    "string_too_short": ("must not be empty", "不能为空"),
    "string_too_long": ("is too long", "过长"),
    "too_short": ("must not be empty", "不能为空"),
    "union_tag_not_found": ("missing formula; name one", "缺少 formula，请写明公式"),
}
_EXPECTED = {"literal_error": "expected", "union_tag_invalid": "expected_tags"}


def _phrase(error: ErrorDetails) -> tuple[str, str]:
    context = error.get("ctx", {})
    if error["type"] == "refused":
        return context["en"], context["zh"]
    if error["type"] in _EXPECTED:
        expected = context[_EXPECTED[error["type"]]]
        return f"must be one of {expected}", f"只能是 {expected}"
    return _PHRASES.get(error["type"], (error["msg"], f"无效（{error['msg']}）"))


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
