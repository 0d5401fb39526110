"""OpenVINO on the device: its library, the file that holds a model of it, and compiled models kept between starts."""
