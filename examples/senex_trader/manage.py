"""A stand-in: answers as Django's own does."""

import sys

ANSWERS = {
    "check": "System check identified no issues (0 silenced).",
    "migrate": "Planned operations:\n  No planned migration operations.",
}

print(ANSWERS.get(sys.argv[1] if len(sys.argv) > 1 else "", "manage.py"))
