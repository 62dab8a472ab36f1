"""Who a key belongs to, in words. Names live in the accounts, never in statements."""

from __future__ import annotations

from flask_babel import gettext as _
from sqlalchemy.orm import Session

from webapp import store_keys, store_users
from webapp.views.language import pick
from webapp.views.wording import ROLES


def signer_name(db: Session, kid: str) -> str:
    """Name the owner of a key, with the roles the registry gives it."""
    row = store_keys.find_row(db, kid)
    if row is None or not row.owner_id:
        return _("unknown key")
    roles = _(", ").join(str(ROLES.get(role, role)) for role in row.roles)
    person = store_users.find(db, row.owner_id) if row.owner_type == "person" else None
    name = row.owner_id if person is None else pick(person.name_zh, person.name_en)
    return _("%(name)s (%(roles)s)", name=name, roles=roles)
