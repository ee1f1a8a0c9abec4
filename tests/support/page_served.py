"""The page as an app that any server can be pointed to."""

import json
import os

from tests.support.page_server import SETTINGS, application

app = application(**json.loads(os.environ[SETTINGS]))
os.write(2, b"application loaded\n")
