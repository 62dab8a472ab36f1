"""The pages of the centre: one blueprint a file, template folders of the same names.

Views fetch and authorise in one place (`access.py`), call `store_*` and the other modules of the centre,
and render. They contain no SQL and no rules of evidence.
"""

from __future__ import annotations

from flask import Flask

from webapp.views import (
    auth,
    cems,
    challenges,
    drilldown,
    error_pages,
    formats,
    health,
    inspect,
    keys,
    language,
    ledger,
    menu,
    month_words,
    months,
    offline_verifier,
    people,
    plants,
    reason_words,
    review,
    signing,
    wording,
)

BLUEPRINTS = (
    auth,
    keys,
    plants,
    months,
    challenges,
    cems,
    drilldown,
    signing,
    review,
    ledger,
    inspect,
    offline_verifier,
    people,
    health,
)


def register(app: Flask) -> None:
    """Add languages, words, error pages and all blueprints to the application."""
    language.prepare(app)
    wording.prepare(app)
    formats.prepare(app)
    month_words.prepare(app)
    reason_words.prepare(app)
    menu.prepare(app)
    error_pages.prepare(app)
    for module in BLUEPRINTS:
        app.register_blueprint(module.blueprint)
