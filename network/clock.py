"""The time zone of everybody who reads a plan."""

from __future__ import annotations

import datetime

JST = datetime.timezone(datetime.timedelta(hours=9), "JST")
"""日本標準時, the only one in Japan and without summer time."""
