"""The Jinja environment of configuration files."""

from __future__ import annotations

import functools
import pathlib

import jinja2

TEMPLATES = pathlib.Path(__file__).parent / "templates"


def lay_out(template: str, **view: object) -> str:
    """Return the text of ``templates/<template>`` for ``view``; a name that the view lacks is an error."""
    return _environment().get_template(template).render(**view)


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files; what goes in is checked where it is declared
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,  # templates do not change while we run
    )
