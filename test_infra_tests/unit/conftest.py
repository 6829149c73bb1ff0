"""Properties may take as long as a busy machine needs: speed is measured in bench/."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
