"""Small models trained here on real data of the package indexes, for formats and tasks of which the indexes hold no real model."""
