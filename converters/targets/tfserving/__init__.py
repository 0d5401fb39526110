"""TensorFlow Serving: a versioned SavedModel with warm-up requests."""
