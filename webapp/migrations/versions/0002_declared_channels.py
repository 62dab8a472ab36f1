"""`log_entry.subject` of a `config` event is the channel it declares, so that a query finds it.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

from evidence.statement import parse_envelope

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ENTRIES = sa.table("log_entry", sa.column("idx"), sa.column("kind"), sa.column("jws"), sa.column("subject"))
STEP = 1000


def upgrade() -> None:
    connection = op.get_bind()
    events = sa.select(ENTRIES.c.idx, ENTRIES.c.jws).where(ENTRIES.c.kind == "event").order_by(ENTRIES.c.idx)
    last = -1
    while rows := connection.execute(events.where(ENTRIES.c.idx > last).limit(STEP)).all():
        last = rows[-1].idx
        for index, jws in rows:
            payload = parse_envelope(jws).payload
            if payload["type"] == "config":
                change = sa.update(ENTRIES).where(ENTRIES.c.idx == index)
                connection.execute(change.values(subject=payload["data"]["channel"]))


def downgrade() -> None:
    op.execute(sa.update(ENTRIES).where(ENTRIES.c.kind == "event").values(subject=None))
