"""A stand-in for the portal."""

print("no issues")
