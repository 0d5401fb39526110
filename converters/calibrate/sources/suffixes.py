"""The suffixes by which data is told."""

IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
ARRAYS = (".npy", ".npz")
TABLES = (".csv",)
WAVES = (".wav",)
