"""The forms people fill in, with the checks that need no database."""

from __future__ import annotations

import re
import unicodedata

from flask_babel import lazy_gettext as _
from flask_wtf import FlaskForm
from flask_wtf.file import FileField
from wtforms import HiddenField, PasswordField, RadioField, SelectField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice  # type: ignore[attr-defined]  # newer than its stubs
from wtforms.validators import DataRequired, InputRequired, Length, ValidationError

from evidence.encoding import FIRST_YEAR, LAST_YEAR

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?\Z", re.ASCII)
_NEGATIVE_ZERO = re.compile(r"-0(\.0*)?\Z", re.ASCII)
_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])\Z", re.ASCII)
MAX_DIGITS = 40


def half_width(text: str | None) -> str:
    """Return what was typed with full-width digits, signs and points made ordinary; nothing else changes."""
    typed = (text or "").strip()
    return "".join(unicodedata.normalize("NFKC", character) for character in typed).replace("。", ".").replace("−", "-")


class LoginForm(FlaskForm):
    """Name and password, and where the person wanted to go."""

    name = StringField(
        _("Login name"),
        [InputRequired(_("Enter your login name.")), Length(max=64)],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        _("Password"),
        [InputRequired(_("Enter your password.")), Length(max=200)],
        render_kw={"autocomplete": "current-password"},
    )
    next = HiddenField()


class LedgerForm(FlaskForm):
    """One value of a plan's ledger item for one month."""

    param = SelectField(_("What"), [InputRequired(_("Choose what you enter."))])
    period = SelectField(_("Month"), [InputRequired(_("Choose the month."))], choices=[], validate_choice=False)
    """The view knows the plant's months; what was sent is checked below all the same."""
    value = StringField(
        _("Value"),
        [InputRequired(_("Enter the value."))],
        filters=[half_width],
        render_kw={"inputmode": "decimal", "autocomplete": "off"},
    )
    mode = RadioField(
        _("How the value was obtained"),
        [InputRequired(_("Choose how the value was obtained."))],
        choices=[
            SelectChoice("measured", _("measured")),
            SelectChoice("default", _("default value")),
            SelectChoice("calculated", _("calculated")),
        ],
    )
    source = TextAreaField(
        _("Source"),
        [DataRequired(_("Say where the value comes from.")), Length(max=500)],
        render_kw={"rows": 3},
    )
    attachment = FileField(_("Original document (optional)"))

    def validate_period(self, field: SelectField) -> None:
        """A month is YYYY-MM."""
        field.data = half_width(field.data)
        if not _PERIOD.match(field.data) or not FIRST_YEAR <= int(field.data[:4]) <= LAST_YEAR:
            raise ValidationError(_("Write the month as YYYY-MM, for example 2026-10."))

    def validate_value(self, field: StringField) -> None:
        """A value is a plain decimal number; its digits are kept exactly."""
        typed = field.data or ""
        if len(typed) > MAX_DIGITS or not _DECIMAL.match(typed) or _NEGATIVE_ZERO.match(typed):
            raise ValidationError(
                _("Write a plain number such as 1234.50: digits and one point, no unit, no thousands sign.")
            )
