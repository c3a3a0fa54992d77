"""What the system and compat tests stand on; tests/conftest.py hands it out as fixtures."""
