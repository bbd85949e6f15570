"""Property tests here are timed by the suite, not one example at a time."""

from hypothesis import settings

settings.register_profile("core", deadline=None)
settings.load_profile("core")
