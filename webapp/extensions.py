"""The Flask extensions of the centre, made once and bound to an application by the factory.

`views.register` adds what only pages need: the login page of `login_manager`, and Flask-Babel.
"""

from __future__ import annotations

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_wtf.csrf import CSRFProtect

csrf = CSRFProtect()
login_manager = LoginManager()
limiter = Limiter(key_func=get_remote_address)

LANGUAGES = ("zh", "en")
