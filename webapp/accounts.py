"""People's accounts as the web application sees them: roles, passwords, and the session they may keep.

A session names the account and its `session_generation`; raising the generation ends all sessions at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask_login import UserMixin

from webapp.models import User

TECHNICIAN, RESPONSIBLE = "technician", "responsible"
CITY, PROVINCE, NATION = "city", "province", "nation"
INSPECTOR = "inspector"
ADMIN = "admin"
PLANT_ROLES = (TECHNICIAN, RESPONSIBLE)
REVIEW_ROLES = (CITY, PROVINCE, NATION)
CHALLENGE_ROLES = (*REVIEW_ROLES, INSPECTOR)
"""Who may ask a plant to show raw tiles that nobody chose."""
ROLES = (*PLANT_ROLES, *REVIEW_ROLES, INSPECTOR, ADMIN)
MIN_PASSWORD = 10
"""Characters; long enough that the rate limit makes guessing hopeless."""

_hasher = PasswordHasher()
_NO_ACCOUNT_HASH = _hasher.hash("no such account")


@dataclass(frozen=True)
class Account(UserMixin):
    """A person who is logged in."""

    name: str
    name_zh: str
    name_en: str
    role: str
    plants: tuple[str, ...]
    region: str
    kid: str | None
    enabled: bool
    enrolments_left: int
    session_generation: int

    @classmethod
    def of(cls, row: User) -> Account:
        """Read an account from its row."""
        return cls(
            row.name,
            row.name_zh,
            row.name_en,
            row.role,
            tuple(row.plants),
            row.region,
            row.kid,
            row.enabled,
            row.enrolments_left,
            row.session_generation,
        )

    @property
    def is_active(self) -> bool:
        """A disabled account keeps no session."""
        return self.enabled

    @property
    def is_reviewer(self) -> bool:
        return self.role in REVIEW_ROLES

    def get_id(self) -> str:
        """What the session cookie holds."""
        return f"{self.name}:{self.session_generation}"

    @property
    def may_see_all(self) -> bool:
        """Whether every plant is this person's business."""
        return self.role == ADMIN or (self.role in CHALLENGE_ROLES and not self.region)

    def may_see(self, plant: str, region: str) -> bool:
        """Tell whether a plant (in `region`) is this person's business."""
        if self.may_see_all:
            return True
        if self.role in PLANT_ROLES:
            return plant in self.plants
        return region.startswith(self.region)


def hash_password(password: str) -> str:
    """Hash with argon2id."""
    return _hasher.hash(password)


def is_password(password_hash: str | None, password: str) -> bool:
    """Check a password; takes as long when there is no such account."""
    try:
        return _hasher.verify(password_hash or _NO_ACCOUNT_HASH, password) and password_hash is not None
    except (VerificationError, InvalidHashError):
        return False
